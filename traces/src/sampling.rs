//! Which traces are recorded, as `OTEL_TRACES_SAMPLER` and its argument say.
//!
//! The SDK reads the variables too, but takes a bad value for "record everything".

use opentelemetry_sdk::trace::Sampler;

/// The samplers by name; `true` for those that ask the parent first.
const SAMPLERS: [(&str, Kind, bool); 6] = [
    ("always_on", Kind::On, false),
    ("always_off", Kind::Off, false),
    ("traceidratio", Kind::Ratio, false),
    ("parentbased_always_on", Kind::On, true),
    ("parentbased_always_off", Kind::Off, true),
    ("parentbased_traceidratio", Kind::Ratio, true),
];

#[derive(Clone, Copy)]
enum Kind {
    On,
    Off,
    Ratio,
}

/// The sampler of this name, with its argument; `parentbased_always_on` if there is
/// no name, and everything if there is no ratio.
///
/// # Errors
///
/// One line that names the variable, its value and what is allowed.
pub(crate) fn parse(name: Option<&str>, argument: Option<&str>) -> Result<Sampler, String> {
    let name = name.unwrap_or("parentbased_always_on");
    let known = SAMPLERS.iter().find(|(known, ..)| *known == name);
    let Some(&(_, kind, asks_parent)) = known else {
        let names = SAMPLERS.map(|(name, ..)| name).join(", ");
        return Err(format!(
            "OTEL_TRACES_SAMPLER is {name:?}, and one of {names} is allowed"
        ));
    };
    let sampler = match kind {
        Kind::On => Sampler::AlwaysOn,
        Kind::Off => Sampler::AlwaysOff,
        Kind::Ratio => Sampler::TraceIdRatioBased(ratio(argument)?),
    };
    Ok(if asks_parent {
        Sampler::ParentBased(Box::new(sampler))
    } else {
        sampler
    })
}

fn ratio(argument: Option<&str>) -> Result<f64, String> {
    let Some(text) = argument else {
        return Ok(1.0);
    };
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!(
            "OTEL_TRACES_SAMPLER_ARG is {text:?}, and a number from 0 to 1 is allowed"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: Option<&str>, argument: Option<&str>) -> String {
        format!("{:?}", parse(name, argument).unwrap())
    }

    #[test]
    fn names_and_argument_make_the_sampler() {
        assert_eq!(shown(None, Some("0.1")), "ParentBased(AlwaysOn)");
        assert_eq!(
            shown(Some("parentbased_traceidratio"), Some("0.1")),
            "ParentBased(TraceIdRatioBased(0.1))"
        );
        assert_eq!(shown(Some("traceidratio"), None), "TraceIdRatioBased(1.0)");
        assert_eq!(shown(Some("always_off"), None), "AlwaysOff");
    }

    #[test]
    fn a_bad_argument_is_an_error_where_there_is_a_ratio() {
        for bad in ["10%", "-0.1", "1.5", "NaN", "inf"] {
            let error = parse(Some("traceidratio"), Some(bad)).unwrap_err();
            assert!(error.contains("OTEL_TRACES_SAMPLER_ARG"), "{error}");
            assert!(error.contains(bad), "{error}");
            // Other samplers have no argument, and what is set there is not read.
            assert!(parse(Some("always_on"), Some(bad)).is_ok());
        }
    }
}
