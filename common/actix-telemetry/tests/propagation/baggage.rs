//! The header `baggage`.

use super::service::{get, passed_on};

/// The members that are passed on where this list comes in, sorted.
fn baggage(list: &str) -> Vec<String> {
    let header = passed_on("baggage", &[&format!("baggage: {list}")]);
    let mut members: Vec<_> = header
        .iter()
        .flat_map(|header| header.split(','))
        .map(str::to_owned)
        .collect();
    members.sort();
    members
}

#[test]
fn baggage_is_passed_on_unaltered() {
    for member in [
        "user=jo%20an;secret",
        "SomeKey=SomeValue=equals",
        "token=abc123==",
        "a=%25",
        "a=",
        "a=b;p=%0d%0aX-Evil: 1;q",
        "SomeKey=SomeValue;SomeProp;SomeProp=PropValue;SomeProp=AnotherPropValue",
        // The name of a property is never decoded.
        "SomeKey=SomeValue;ValueProp%20%09%20%3D%20%09%20PropVal",
        "SomeKey=SomeValue;SomePropKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29",
    ] {
        assert_eq!(baggage(member), [member]);
    }
    assert_eq!(
        baggage("a=b;r=%2cforged=1,c=d"),
        ["a=b;r=%2cforged=1", "c=d"]
    );
    // Characters that may stand as they are need not stay encoded.
    assert_eq!(
        baggage("k=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29%5C%2C"),
        ["k=%09%20%22'%3B=asdf!@#$%25^&*()%5C%2C"]
    );
    for malformed in ["", "=v", "k", "k k=v", "k@=v", "é=v"] {
        assert_eq!(baggage(malformed), [""; 0], "{malformed}");
    }
}

#[test]
fn handlers_see_decoded_values_and_the_properties_without_blanks_around_them() {
    let encoded = "%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29";
    let decoded = "\t \"';=asdf!@#$%^&*()";
    for (list, member) in [
        ("SomeKey=SomeValue", "SomeKey|SomeValue|"),
        ("SomeKey \t = \t SomeValue \t ", "SomeKey|SomeValue|"),
        ("SomeKey=SomeValue=equals", "SomeKey|SomeValue=equals|"),
        ("SomeKey=SomeValue;SomeProp", "SomeKey|SomeValue|SomeProp"),
        (
            "SomeKey \t = \t SomeValue \t ; \t SomeProp",
            "SomeKey|SomeValue|SomeProp",
        ),
        (
            "SomeKey=SomeValue;SomePropKey=SomePropValue",
            "SomeKey|SomeValue|SomePropKey=SomePropValue",
        ),
        (
            "SomeKey \t = \t SomeValue \t ; \t SomePropKey \t = \t SomePropValue",
            "SomeKey|SomeValue|SomePropKey=SomePropValue",
        ),
        (
            "SomeKey=SomeValue;SomeProp;SecondProp=PropValue",
            "SomeKey|SomeValue|SomeProp;SecondProp=PropValue",
        ),
        (
            "SomeKey \t = \t SomeValue \t ; \t SomeProp \t ; \t SecondProp \t = \t PropValue",
            "SomeKey|SomeValue|SomeProp;SecondProp=PropValue",
        ),
        (&format!("k={encoded}"), &format!("k|{decoded}|")),
        (
            &format!("k \t = \t {encoded} \t "),
            &format!("k|{decoded}|"),
        ),
        ("enc=%20x%ff%25", "enc| x\u{fffd}%|"),
    ] {
        let seen = get("/baggage", &[&format!("baggage: {list}")]);
        assert_eq!(seen.strip_suffix('\n'), Some(member), "{list}");
    }
}

#[test]
fn handlers_see_the_members_of_all_baggage_headers() {
    let headers = [
        "baggage: a=1;p \t , \t b \t = \t 2 \t ; \t q \t = \t 3",
        "Baggage: c=4;r=5,d=abc123==",
    ];
    let seen = get("/baggage", &headers);
    assert_eq!(seen, "a|1|p\nb|2|q=3\nc|4|r=5\nd|abc123==|\n");
    // What comes in with blanks goes out without, and no member is lost for them.
    let sent = passed_on("baggage", &headers).unwrap();
    let mut sent: Vec<_> = sent.split(',').collect();
    sent.sort_unstable();
    assert_eq!(sent, ["a=1;p", "b=2;q=3", "c=4;r=5", "d=abc123=="]);
}

#[test]
fn baggage_of_any_size_stays_within_the_limits_of_its_specification() {
    let members = |count| {
        let members: Vec<_> = (0..count).map(|n| format!("key{n}=value")).collect();
        members.join(",")
    };
    assert_eq!(baggage(&members(64)).len(), 64);
    // More may be dropped, also where they are within 8,192 bytes, as these are.
    assert_eq!(baggage(&members(500)).len(), 64);
    let longest = format!("a={}", "0123456789".repeat(819));
    assert_eq!(longest.len(), 8_192);
    assert_eq!(baggage(&longest), [longest.as_str()]);
    // A member that does not fit is not cut.
    assert_eq!(baggage(&format!("k=v,{longest}")), ["k=v"]);
    assert_eq!(baggage(&format!("{longest}0")), [""; 0]);
}
