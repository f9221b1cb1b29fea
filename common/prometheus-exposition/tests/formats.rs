//! The same metrics in each format.

use prometheus_exposition::{Escaping, Format, Request, Syntax};

const OPENMETRICS: Format = Format {
    syntax: Syntax::OpenMetrics,
    escaping: None,
};

fn text(escaping: Escaping, text: &str) -> String {
    let syntax = Syntax::Text1;
    let escaping = Some(escaping);
    Format { syntax, escaping }.encode(text.to_owned())
}

#[test]
fn the_default_format_is_the_text_as_it_is() {
    let plain =
        "# a comment\n# HELP a_total \"H\"\n# TYPE a_total counter\na_total{b=\"c,\"} 1\nd 2\n";
    assert_eq!(
        Format::default().encode(plain.to_owned()),
        plain.replace("# a comment\n", "")
    );
    let plain = plain.replace(",", "");
    assert_eq!(Format::default().encode(plain.clone()), plain);
    assert_eq!(text(Escaping::AllowUtf8, &plain), plain);
}

#[test]
fn openmetrics_has_its_own_headers_bounds_and_end() {
    let plain = concat!(
        "# HELP a_total The \"a\"\n# TYPE a_total counter\na_total 1.0\n",
        "# HELP old Not named as a counter\n# TYPE old counter\nold 1.0\n",
        "# TYPE u untyped\nu 1.0\n",
        "# TYPE h histogram\n",
        "h_bucket{le=\"1\",role=\"2\"} 1\nh_bucket{le=\"2.5\",role=\"2\"} 1\nh_bucket{le=\"+Inf\",role=\"2\"} 1\n",
        "h_sum{role=\"2\"} 1\nh_count{role=\"2\"} 1\n",
        "# TYPE s summary\ns{quantile=\"1\",x=\"a,quantile=\"} 5\ns_sum 5\ns_count 1\n",
    );
    let expected = concat!(
        "# HELP a The \\\"a\\\"\n# TYPE a counter\na_total 1.0\n",
        "# HELP old Not named as a counter\n# TYPE old unknown\nold 1.0\n",
        "# TYPE u unknown\nu 1.0\n",
        "# TYPE h histogram\n",
        "h_bucket{le=\"1.0\",role=\"2\"} 1\nh_bucket{le=\"2.5\",role=\"2\"} 1\nh_bucket{le=\"+Inf\",role=\"2\"} 1\n",
        "h_sum{role=\"2\"} 1\nh_count{role=\"2\"} 1\n",
        "# TYPE s summary\ns{quantile=\"1.0\",x=\"a,quantile=\"} 5\ns_sum 5\ns_count 1\n",
        "# EOF\n"
    );
    assert_eq!(OPENMETRICS.encode(plain.to_owned()), expected);
    assert_eq!(OPENMETRICS.encode(String::new()), "# EOF\n");
}

#[test]
fn a_histogram_with_negative_bounds_has_only_buckets_in_openmetrics() {
    let plain =
        "# TYPE h histogram\nh_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum -3\nh_count 1\n";
    let expected = "# TYPE h histogram\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n";
    assert_eq!(OPENMETRICS.encode(plain.to_owned()), expected);
}

#[test]
fn a_gauge_with_the_name_of_a_counter_is_told_apart_in_openmetrics() {
    let plain = "# TYPE a gauge\na 1\n# TYPE a_total counter\na_total 1\n";
    let expected = "# TYPE a gauge\na 1\n# TYPE a_total unknown\na_total 1\n# EOF\n";
    assert_eq!(OPENMETRICS.encode(plain.to_owned()), expected);
}

#[test]
fn openmetrics_has_the_start_times_and_exemplars_of_what_is_a_counter_there() {
    let plain = concat!(
        "# TYPE a_total counter\na_total 1 # {t=\"# x\"} 1 5\na_created 5\n",
        "# TYPE \"b.c_total\" counter\n{\"b.c_total\",x=\"_created\"} 1 # {t=\"x\"} 1 5\n{\"b.c_created\",x=\"_created\"} 5\n",
        "# TYPE d gauge\nd 1\n# TYPE d_total counter\nd_total{x=\"y\"} 1 # {t=\"x\"} 1 5\nd_created{x=\"y\"} 5\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {t=\"x\"} 1 5\nh_sum 3\nh_count 1\nh_created 5\n",
    );
    let expected = concat!(
        "# TYPE a counter\na_total 1 # {t=\"# x\"} 1 5\na_created 5\n",
        "# TYPE b_c counter\nb_c_total{x=\"_created\"} 1 # {t=\"x\"} 1 5\nb_c_created{x=\"_created\"} 5\n",
        "# TYPE d gauge\nd 1\n# TYPE d_total unknown\nd_total{x=\"y\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {t=\"x\"} 1 5\nh_sum 3\nh_count 1\nh_created 5\n",
        "# EOF\n"
    );
    assert_eq!(OPENMETRICS.encode(plain.to_owned()), expected);
}

const UTF8: &str = concat!(
    "# HELP \"http.requests_total\" Requests\n# TYPE \"http.requests_total\" counter\n",
    "{\"http.requests_total\",\"url.scheme\"=\"a \\\"b\\\"\"} 1\n",
    "# TYPE plain_one gauge\nplain_one{\"a.b\"=\"1\",a_b=\"2\"} 1\n",
    "# TYPE \"time in s\" histogram\n",
    "{\"time in s_bucket\",le=\"1\"} 1\n{\"time in s_bucket\",le=\"+Inf\"} 1\n",
    "{\"time in s_sum\"} 1\n{\"time in s_count\"} 1\n",
);

#[test]
fn names_are_escaped_as_the_scraper_asks() {
    assert_eq!(text(Escaping::AllowUtf8, UTF8), UTF8);
    assert_eq!(
        text(Escaping::Underscores, UTF8),
        concat!(
            "# HELP http_requests_total Requests\n# TYPE http_requests_total counter\n",
            "http_requests_total{url_scheme=\"a \\\"b\\\"\"} 1\n",
            "# TYPE plain_one gauge\nplain_one{U__a_2e_b=\"1\",a_b=\"2\"} 1\n",
            "# TYPE time_in_s histogram\n",
            "time_in_s_bucket{le=\"1\"} 1\ntime_in_s_bucket{le=\"+Inf\"} 1\n",
            "time_in_s_sum 1\ntime_in_s_count 1\n",
        )
    );
    assert_eq!(
        text(Escaping::Dots, UTF8),
        concat!(
            "# HELP http_dot_requests_total Requests\n# TYPE http_dot_requests_total counter\n",
            "http_dot_requests_total{url_dot_scheme=\"a \\\"b\\\"\"} 1\n",
            "# TYPE plain__one gauge\nplain__one{a_dot_b=\"1\",a__b=\"2\"} 1\n",
            "# TYPE time__in__s histogram\n",
            "time__in__s_bucket{le=\"1\"} 1\ntime__in__s_bucket{le=\"+Inf\"} 1\n",
            "time__in__s_sum 1\ntime__in__s_count 1\n",
        )
    );
    let values = text(Escaping::Values, UTF8);
    assert!(
        values.contains("\nU__http_2e_requests_total{U__url_2e_scheme=\"a \\\"b\\\"\"} 1\n"),
        "{values}"
    );
    assert!(
        values.contains("\nU__time_20_in_20_s_count 1\n"),
        "{values}"
    );
    let openmetrics = Format::negotiate("application/openmetrics-text;escaping=allow-utf-8");
    let openmetrics = openmetrics.encode(UTF8.to_owned());
    assert!(
        openmetrics
            .starts_with("# HELP \"http.requests\" Requests\n# TYPE \"http.requests\" counter\n"),
        "{openmetrics}"
    );
}

#[test]
fn families_whose_escaped_names_collide_are_told_apart() {
    let utf8 = concat!(
        "# TYPE \"a b\" gauge\n{\"a b\"} 1\n",
        "# TYPE \"a.b\" gauge\n{\"a.b\"} 2\n",
        "# TYPE \"a.b.count\" gauge\n{\"a.b.count\"} 3\n",
        "# TYPE U__a_2e_b gauge\nU__a_2e_b 4\n",
        "# TYPE a_b summary\na_b_count 5\na_b_sum 5\n",
    );
    let expected = concat!(
        "# TYPE U__a_20_b gauge\nU__a_20_b 1\n",
        "# TYPE U__a_2e_b_ gauge\nU__a_2e_b_ 2\n",
        "# TYPE U__a_2e_b_2e_count gauge\nU__a_2e_b_2e_count 3\n",
        "# TYPE U__a_2e_b gauge\nU__a_2e_b 4\n",
        "# TYPE a_b summary\na_b_count 5\na_b_sum 5\n",
    );
    assert_eq!(text(Escaping::Underscores, utf8), expected);
}

#[test]
fn only_the_families_that_a_scrape_names_are_in_its_answer() {
    let names = |query| {
        let answer = Request::new(None, None, Some(query)).answer(UTF8.to_owned());
        let text = String::from_utf8(answer.body).unwrap();
        let headers = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = headers.filter_map(|rest| Some(rest.split_once(' ')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    let all = ["http_requests_total", "plain_one", "time_in_s"];
    assert_eq!(names(""), all);
    assert_eq!(names("other=plain_one"), all);
    assert_eq!(names("name[]=plain_one&name[]=http.requests"), all[..2]);
    assert_eq!(names("name%5B%5D=http_requests_total"), all[..1]);
    assert_eq!(names("name[]=time+in+s_count"), all[2..]);
    assert!(names("name[]=none").is_empty());
}

#[cfg(feature = "gzip")]
#[test]
fn an_answer_is_compressed_if_the_scraper_accepts_it() {
    use std::io::Read;

    for (header, is_compressed) in [
        ("gzip", true),
        ("deflate, GZIP;q=0.5", true),
        ("gzip;q=0", false),
        ("identity", false),
        ("", false),
    ] {
        let answer = Request::new(None, Some(header), None).answer(UTF8.to_owned());
        assert_eq!(answer.content_encoding.is_some(), is_compressed, "{header}");
        if is_compressed {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&answer.body[..]);
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, Format::default().encode(UTF8.to_owned()));
        }
    }
}

#[test]
fn no_text_makes_it_fail() {
    // A torn or hostile text: every prefix of one that has everything, and its lines in any order.
    let lines: Vec<&str> = UTF8.split_inclusive('\n').collect();
    let shuffled: String = lines.iter().rev().copied().collect();
    for text in [UTF8, &shuffled] {
        for end in 0..text.len() {
            for accept in [
                "application/openmetrics-text;escaping=dots",
                "text/plain",
                "text/plain;version=1.0.0;escaping=values",
            ] {
                let format = Format::negotiate(accept);
                format.encode(text[..end].to_owned());
            }
        }
    }
}
