//! What a metric is: its kind, name, help, labels and bounds, checked once at registration.

use prometheus::{DEFAULT_BUCKETS, Error, HistogramOpts, Opts, core::Desc};

use crate::{
    format::{GaugeMode, Kind},
    key, number,
};

/// Options of a gauge: those of every metric, and the mode that merges several processes.
///
/// ```
/// use prometheus_multiprocess::{GaugeMode, GaugeOpts};
/// use prometheus::Opts;
///
/// let opts = GaugeOpts::from(Opts::new("free", "Free places").const_label("hall", "a"));
/// assert_eq!(opts.mode, GaugeMode::All);
/// let opts = opts.mode(GaugeMode::Min);
/// assert_eq!((opts.common_opts.name.as_str(), opts.mode), ("free", GaugeMode::Min));
/// ```
#[derive(Debug, Clone)]
pub struct GaugeOpts {
    /// Name, help and labels.
    pub common_opts: Opts,
    /// How the values of several processes are merged.
    pub mode: GaugeMode,
}

impl GaugeOpts {
    /// Options with the mode [`GaugeMode::All`], which is Python's default.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> GaugeOpts {
        Opts::new(name, help).into()
    }

    /// Sets the mode.
    pub fn mode(mut self, mode: GaugeMode) -> GaugeOpts {
        self.mode = mode;
        self
    }
}

impl From<Opts> for GaugeOpts {
    fn from(common_opts: Opts) -> GaugeOpts {
        GaugeOpts {
            common_opts,
            mode: GaugeMode::default(),
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) kind: Kind,
    /// The name of the family; that of a counter is without `_total`.
    pub(crate) name: String,
    pub(crate) help: String,
    /// Names of the labels whose values come with each series, in the caller's order.
    pub(crate) label_names: Vec<String>,
    constant_labels: Vec<(String, String)>,
    /// Whether each series has label names of its own, as in OpenTelemetry.
    pub(crate) is_open: bool,
    /// Upper bounds of a histogram, ascending, the last one infinite; else empty.
    pub(crate) bounds: Vec<f64>,
}

impl Definition {
    /// Checks the options of any metric but a histogram.
    pub(crate) fn new(kind: Kind, opts: Opts, label_names: &[&str]) -> Result<Definition, Error> {
        let mut name = opts.fq_name();
        let refused = |why: String| Error::Msg(format!("metric {name:?}: {why}"));
        let mut names = opts.variable_labels.clone();
        names.extend(label_names.iter().map(|&name| name.to_owned()));
        // An empty help is as good here as in Python.
        let help = Some(opts.help.clone()).filter(|help| !help.is_empty());
        Desc::new(
            name.clone(),
            help.unwrap_or_else(|| name.clone()),
            names.clone(),
            opts.const_labels.clone(),
        )
        .map_err(|error| match error {
            Error::Msg(why) => refused(why),
            other => refused(other.to_string()),
        })?;
        for label in names.iter().chain(opts.const_labels.keys()) {
            let reserved = match kind {
                Kind::Histogram => label == "le",
                Kind::Summary => label == "quantile",
                Kind::Gauge(_) => label == "pid" && kind.is_per_process(),
                Kind::Counter => false,
            };
            if reserved || label.starts_with("__") {
                return Err(refused(format!("the label name {label:?} is reserved")));
            }
            if names.contains(label) && opts.const_labels.contains_key(label) {
                return Err(refused(format!(
                    "the label {label:?} is both constant and variable"
                )));
            }
        }
        if kind == Kind::Counter
            && let Some(family) = name
                .strip_suffix("_total")
                .filter(|family| !family.is_empty())
        {
            name = family.to_owned();
        }
        let mut constant_labels: Vec<_> = opts.const_labels.into_iter().collect();
        constant_labels.sort();
        Ok(Definition {
            kind,
            name,
            help: opts.help,
            label_names: names,
            constant_labels,
            is_open: false,
            bounds: Vec::new(),
        })
    }

    /// Checks the options of a histogram.
    pub(crate) fn histogram(
        opts: HistogramOpts,
        label_names: &[&str],
    ) -> Result<Definition, Error> {
        let mut definition = Definition::new(Kind::Histogram, opts.common_opts, label_names)?;
        let mut bounds = opts.buckets;
        if bounds.is_empty() {
            bounds = DEFAULT_BUCKETS.to_vec();
        }
        if bounds.last() != Some(&f64::INFINITY) {
            bounds.push(f64::INFINITY);
        }
        if let Some(pair) = bounds
            .windows(2)
            .find(|pair| pair[0].is_nan() || pair[0] >= pair[1])
        {
            return Err(Error::Msg(format!(
                "metric {:?}: bucket bounds must increase, but {} comes before {}",
                definition.name, pair[0], pair[1]
            )));
        }
        definition.bounds = bounds;
        Ok(definition)
    }

    /// Whether both can be one metric. Libraries that are instrumented with OpenTelemetry may
    /// describe it differently.
    pub(crate) fn is_same(&self, other: &Definition) -> bool {
        self == other
            || self.is_open
                && other.is_open
                && (self.kind, &self.name, &self.bounds) == (other.kind, &other.name, &other.bounds)
    }

    /// How many entries one series has.
    pub(crate) fn entries(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Gauge(_) => 1,
            Kind::Summary => 2,
            Kind::Histogram => 1 + self.bounds.len(),
        }
    }

    /// The keys of the entries of one series, in the order in which Python creates them.
    pub(crate) fn keys<V: AsRef<str>>(&self, values: &[V]) -> Vec<String> {
        let constant = self
            .constant_labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let variable = self
            .label_names
            .iter()
            .map(String::as_str)
            .zip(values.iter().map(AsRef::as_ref));
        let mut labels: Vec<(&str, &str)> = constant.chain(variable).collect();
        labels.sort_unstable();
        self.keys_of(&labels)
    }

    /// The keys of the series with these labels, which are sorted by name.
    pub(crate) fn keys_of(&self, labels: &[(&str, &str)]) -> Vec<String> {
        let write = |sample: &str, labels: &[(&str, &str)]| {
            let key = key::write(&self.name, sample, labels.iter().copied(), &self.help);
            if self.is_open { key::open(key) } else { key }
        };
        let key = |suffix: &str| write(&format!("{}{suffix}", self.name), labels);
        match self.kind {
            Kind::Counter => vec![key("_total")],
            Kind::Gauge(_) => vec![key("")],
            Kind::Summary => vec![key("_count"), key("_sum")],
            Kind::Histogram => {
                let mut keys = vec![key("_sum")];
                let sample = format!("{}_bucket", self.name);
                keys.extend(self.bounds.iter().map(|&bound| {
                    let mut le = String::new();
                    number::push(&mut le, bound);
                    let mut labels = labels.to_vec();
                    labels.push(("le", &le));
                    labels.sort_unstable();
                    write(&sample, &labels)
                }));
                keys
            }
        }
    }
}
