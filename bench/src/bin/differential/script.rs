//! Generates the script of a round.

use bench::Random;
use common::multiprocess::GaugeMode;

/// A metric, which is the same in each worker.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) labels: Vec<String>,
    pub(crate) bounds: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge(GaugeMode),
    Histogram,
    Summary,
}

/// An update of one series by one worker.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) worker: usize,
    /// An index into [`Script::metrics`].
    pub(crate) metric: usize,
    pub(crate) values: Vec<String>,
    pub(crate) numbers: Vec<f64>,
}

/// The metrics and the steps of a round.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) workers: usize,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) steps: Vec<Step>,
}

impl Script {
    pub(crate) fn new(random: &mut Random) -> Self {
        let workers = 1 + random.below(4);
        let count = 1 + random.below(8);
        let metrics: Vec<Metric> = (0..count).map(|number| metric(random, number)).collect();
        let steps = (0..1 + random.below(60))
            .map(|_| step(random, workers, &metrics))
            .collect();
        Self {
            workers,
            metrics,
            steps,
        }
    }
}

fn metric(random: &mut Random, number: usize) -> Metric {
    let kind = match random.below(5) {
        0 => Kind::Counter,
        1 | 2 => Kind::Gauge(*random.one_of(&GaugeMode::ALL)),
        3 => Kind::Histogram,
        _ => Kind::Summary,
    };
    let names = [
        "a",
        "b",
        "le_",
        "zone",
        "A",
        "_x",
        "l9",
        "label_with_a_long_name",
    ];
    let labels = names.iter().filter(|_| random.below(3) == 0);
    let labels = labels.map(|&name| name.to_owned()).collect();
    let suffix = match kind {
        Kind::Counter if random.below(2) == 0 => "_total",
        _ => *random.one_of(&["", "", ":x", "_seconds"]),
    };
    Metric {
        kind,
        name: format!("{}{number}{suffix}", random.one_of(&["metric:", "m", "_m"])),
        // Like the `prometheus` crate, our store requires a help text.
        help: format!("Help {}", text(random)),
        labels,
        bounds: bounds(random),
    }
}

fn bounds(random: &mut Random) -> Vec<f64> {
    let all = [
        -1e300, -1.0, -0.1, 0.0, 5e-324, 1e-7, 0.005, 0.1, 0.25, 1.0, 75.0, 1e6, 1.5e10, 1e15,
        1e16, 1e17, 1e21, 1e300,
    ];
    let bounds: Vec<f64> = all.into_iter().filter(|_| random.below(3) == 0).collect();
    if bounds.is_empty() { vec![1.0] } else { bounds }
}

fn step(random: &mut Random, workers: usize, metrics: &[Metric]) -> Step {
    let metric = random.below(metrics.len());
    let kind = metrics[metric].kind;
    // Few repeating values, and some unique ones.
    let value = |random: &mut Random| match random.below(3) {
        0 => text(random),
        1 => random.one_of(&["", "GET", "\u{e9}\"\\\n"]).to_string(),
        _ => random.below(4).to_string(),
    };
    Step {
        worker: random.below(workers),
        metric,
        values: metrics[metric]
            .labels
            .iter()
            .map(|_| value(random))
            .collect(),
        numbers: (0..random.below(5)).map(|_| number(random, kind)).collect(),
    }
}

/// Hostile text: parts with a special meaning, and random characters.
fn text(random: &mut Random) -> String {
    const PIECES: [&str; 24] = [
        "",
        "plain",
        "\"",
        "\\",
        "\n",
        "\\n",
        "\\u00e9",
        "\u{e9}",
        "\u{1f600}",
        "\u{7f}",
        "\u{0}",
        "\u{85}\u{2028}",
        "{}=,",
        " ",
        "\u{65e5}\u{672c}",
        "%s",
        "\r\t\u{8}\u{c}",
        "/",
        "\u{10ffff}",
        "\u{fffd}\u{feff}",
        "\u{d7ff}\u{e000}",
        "[\"",
        "a\u{301}",
        "1.0",
    ];
    let mut text = String::new();
    for _ in 0..random.below(5) {
        match random.below(8) {
            0 => text.extend(any_char(random)),
            1 => text.push_str(&"x".repeat(random.below(3000))),
            _ => text.push_str(random.one_of::<&str>(&PIECES)),
        }
    }
    text
}

fn any_char(random: &mut Random) -> Option<char> {
    let limit = *random.one_of(&[0x80, 0x100, 0x3000, 0x11_0000]);
    char::from_u32(u32::try_from(random.below(limit)).ok()?)
}

/// For kinds that are summed, numbers whose sum does not depend on the order. Otherwise any numbers.
fn number(random: &mut Random, kind: Kind) -> f64 {
    let exact = random.below(1 << 22) as f64 / 4.0;
    match kind {
        Kind::Counter => exact,
        Kind::Gauge(mode) if !matches!(mode, GaugeMode::Sum | GaugeMode::LiveSum) => {
            let any = f64::from_bits(random.bits() << 11 | random.bits() & 0x7ff);
            // With several NaN, Python keeps the first one, in an undefined order.
            let any = if any.is_nan() { 1e-7 } else { any };
            let odd = [
                any,
                exact,
                -0.0,
                1e16,
                999_999.999,
                1e6,
                123_456_789.123,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ];
            let number = *random.one_of(&odd);
            // 0 and -0 are equal, so the minimum would depend on the order of the files.
            let compares = !matches!(
                mode,
                GaugeMode::All
                    | GaugeMode::LiveAll
                    | GaugeMode::MostRecent
                    | GaugeMode::LiveMostRecent
            );
            if compares && number == 0.0 {
                0.0
            } else {
                number
            }
        }
        _ if random.below(2) == 0 => exact,
        _ => -exact / 1024.0,
    }
}
