//! Formats the metrics of one export request: the increase, the worker's total, the sum over all
//! workers.

use super::{Style, attributes, counted, duration, escape, now, quote, values, worker};
use crate::{
    harness,
    instance::Instance,
    points::Nature,
    totals::Change,
    value::{Distribution, Number, Value},
};

/// Maximum number of printed series of a request.
const MAX_LINES: usize = 50;

const MAX_NAME: usize = 200;

/// Formats the changes. Empty if nothing changed, so that an idle service prints nothing.
pub(crate) fn block(instance: &Instance, changes: &[Change], style: Style) -> String {
    let changes: Vec<_> = changes
        .iter()
        .filter(|change| !style.is_brief || is_news(change))
        .collect();
    if changes.is_empty() {
        return String::new();
    }
    let mut block = format!(
        "{} {} {} pushed metrics\n",
        style.dim(now()),
        style.bold(quote(instance.service(), MAX_NAME)),
        worker(instance),
    );
    let shown = &changes[..changes.len().min(MAX_LINES)];
    let width = shown
        .iter()
        .map(|change| title(change, style).chars().count())
        .max();
    // Short titles are aligned in a column. After a long title the figures start on the next line.
    let width = width.unwrap_or_default().min(44);
    for change in shown {
        block.push_str(&line(change, width, style));
    }
    let rest = changes.len() - shown.len();
    if rest > 0 {
        block.push_str(&format!("  … and {rest} more changed series\n"));
    }
    block
}

/// Whether something was counted by the service itself, not by the harness of its workers.
fn is_news(change: &Change) -> bool {
    let is_process = change.metric.starts_with("process.");
    change.nature != Nature::Latest && !is_process && harness::metric(&change.metric).is_none()
}

fn line(change: &Change, width: usize, style: Style) -> String {
    let title = title(change, style);
    let gap = if title.chars().count() > width {
        format!("\n{:width$}", "", width = width + 2)
    } else {
        " ".repeat(width - title.chars().count())
    };
    let mut line = format!("  {title}{gap}  {}\n", figures(change, style));
    if let Some(example) = &change.example {
        let value = show(example.value.as_f64(), &change.unit);
        let (trace, span) = (&example.trace_id, &example.span_id);
        let example = format!("e.g. {value} trace_id={trace} span_id={span}");
        line.push_str(&format!("      {}\n", style.dim(example)));
    }
    line
}

fn title(change: &Change, style: Style) -> String {
    let name = escape(&change.metric, MAX_NAME);
    let attributes = match style.is_brief {
        true => values(&change.attributes),
        false => attributes(&change.attributes),
    };
    match attributes.as_str() {
        "" => name,
        attributes => format!("{name} {attributes}"),
    }
}

fn figures(change: &Change, style: Style) -> String {
    let unit = unit(change);
    let added = match change.added {
        Number::Int(0) => "new".to_owned(),
        added => format!("{added:+}"),
    };
    let mut figures = match change.nature {
        Nature::Counter | Nature::Delta => {
            format!("{} → {}{unit}", style.green(added), change.total.amount())
        }
        Nature::Latest => format!("now {}{unit}", change.total.amount()),
    };
    figures.push_str(&format!(
        "{}sum over {}: {}{unit}",
        style.dim("  |  "),
        counted(change.instances, "worker"),
        style.bold(change.sum.amount()),
    ));
    if let Value::Distribution(distribution) = &change.sum {
        figures.push_str(&shape(distribution, &change.unit));
    }
    figures
}

/// Mean and approximate quantiles over all workers.
fn shape(distribution: &Distribution, unit: &str) -> String {
    let figures = [
        ("mean ", distribution.mean()),
        ("p50 ≈ ", distribution.quantile(0.5)),
        ("p95 ≈ ", distribution.quantile(0.95)),
    ];
    figures
        .into_iter()
        .filter_map(|(name, value)| Some(format!(", {name}{}", show(value?, unit))))
        .collect()
}

fn show(value: f64, unit: &str) -> String {
    match unit {
        "s" => duration(value),
        "ms" => duration(value / 1e3),
        _ => format!("{}{}", Number::Double(value), suffix(unit)),
    }
}

/// The unit after a number. A distribution counts observations, so it has none.
fn unit(change: &Change) -> String {
    match change.total {
        Value::Number(_) => suffix(&change.unit),
        Value::Distribution(_) => String::new(),
    }
}

/// A UCUM unit. Annotations such as `{request}` and the unit `1` are left out.
fn suffix(unit: &str) -> String {
    match unit {
        "" | "1" => String::new(),
        unit if unit.starts_with('{') => String::new(),
        unit => format!(" {}", escape(unit, 20)),
    }
}
