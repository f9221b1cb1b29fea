//! Charts as inline SVG. Sizes are attributes: the policy of the page allows no inline style.

use std::fmt::Write;

use maud::{Markup, html};

use crate::pulse::{LATENCIES, Rows};

/// The size of a drawing. It is stretched to the place that it has on the page.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 120.0;

/// Seconds that are one column of a heat map.
const COLUMN: usize = 3;

/// Colours of processes.
pub(super) const COLOURS: usize = 8;

/// The class of a process's colour.
pub(super) fn colour(place: usize) -> String {
    format!("w{}", place % COLOURS)
}

/// A small line with its area.
pub(super) fn spark(values: &[f64], class: &str) -> Markup {
    spark_with_marks(values, class, &[])
}

/// The same, with marks: their share of the width, and whether something bad happened.
pub(super) fn spark_with_marks(values: &[f64], class: &str, marks: &[(f64, bool)]) -> Markup {
    let top = highest(values);
    let line = path(values, top, 232.0, 34.0);
    html! {
        svg class={ "spark " (class) } viewBox="0 0 232 36" preserveAspectRatio="none" aria-hidden="true" {
            path class="area" d={ (line) " L232,36 L0,36 Z" } {}
            path class="line" d=(line) {}
            (self::marks(marks, 232.0, 36.0))
        }
    }
}

/// Vertical lines of events that are within the chart or were just now.
fn marks(marks: &[(f64, bool)], width: f64, height: f64) -> Markup {
    html! {
        @for (share, is_bad) in marks.iter().filter(|(share, _)| *share >= 0.0) {
            @let x = format!("{:.1}", share.min(1.0) * (width - 1.0));
            line.mark.bad[*is_bad] x1=(x) x2=(x) y1="0" y2=(height) {}
        }
    }
}

/// A thick line for the sum, and a line for each worker, from 0 to `top`.
pub(super) fn lines(
    sum: &[f64],
    lines: &[(usize, Vec<f64>)],
    marks: &[(f64, bool)],
    top: f64,
) -> Markup {
    let total = path(sum, top, WIDTH, HEIGHT);
    html! {
        svg class="chart" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
            line class="grid" x1="0" x2=(WIDTH) y1="1" y2="1" {}
            line class="grid" x1="0" x2=(WIDTH) y1=(HEIGHT / 2.0) y2=(HEIGHT / 2.0) {}
            line class="grid" x1="0" x2=(WIDTH) y1=(HEIGHT - 1.0) y2=(HEIGHT - 1.0) {}
            path class="area sum" d={ (total) " L" (WIDTH) "," (HEIGHT) " L0," (HEIGHT) " Z" } {}
            path class="line sum" d=(total) {}
            (self::marks(marks, WIDTH, HEIGHT))
            @for (place, values) in lines {
                path class={ "line " (colour(*place)) } d=(path(values, top, WIDTH, HEIGHT)) {}
            }
        }
    }
}

/// A round number that is not below any value.
pub(super) fn top(values: &[f64]) -> f64 {
    let highest = highest(values);
    let magnitude = 10_f64.powf(highest.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= highest);
    step.unwrap_or(10.0) * magnitude
}

fn highest(values: &[f64]) -> f64 {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let highest = finite.fold(0.0, f64::max);
    if highest > 0.0 { highest } else { 1.0 }
}

fn path(values: &[f64], top: f64, width: f64, height: f64) -> String {
    let mut path = String::with_capacity(values.len() * 12);
    let step = width / (values.len().max(2) - 1) as f64;
    for (index, value) in values.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        // The line is within the drawing at its full width.
        let share = if value.is_nan() { 0.0 } else { value / top };
        let y = 2.0 + (height - 3.0) * (1.0 - share.clamp(0.0, 1.0));
        // Writing to a string cannot fail.
        let _ = write!(path, "{letter}{:.1},{y:.1} ", index as f64 * step);
    }
    path.truncate(path.trim_end().len());
    path
}

/// A heat map: its drawing, and the latencies at its upper and lower end in seconds.
pub(super) struct Heat {
    pub(super) drawing: Markup,
    pub(super) highest: f64,
    pub(super) middle: f64,
    pub(super) lowest: f64,
}

/// Latencies by time. There is none without requests.
pub(super) fn heat(seconds: &[Rows]) -> Option<Heat> {
    let mut rows = Rows::default();
    for second in seconds {
        for (row, count) in second.iter().enumerate() {
            rows[row] += count;
        }
    }
    let first = rows.iter().position(|count| *count > 0)?;
    let last = rows.iter().rposition(|count| *count > 0)?;
    // A few more, so that one row does not fill the chart.
    let first = first.saturating_sub(2);
    let last = (last + 2).max(first + 6).min(LATENCIES.len());
    let columns: Vec<Rows> = seconds
        .chunks(COLUMN)
        .map(|chunk| {
            let mut column = Rows::default();
            for second in chunk {
                for (row, count) in second.iter().enumerate() {
                    column[row] += count;
                }
            }
            column
        })
        .collect();
    let most = columns.iter().flatten().copied().max().unwrap_or(1).max(1);
    let (width, height) = (
        WIDTH / columns.len() as f64,
        HEIGHT / (last - first + 1) as f64,
    );
    let drawing = html! {
        svg class="chart" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
            @for (column, counts) in columns.iter().enumerate() {
                @for row in first..=last {
                    @if counts[row] > 0 {
                        rect class="heat"
                            x=(format!("{:.1}", column as f64 * width))
                            y=(format!("{:.1}", (last - row) as f64 * height))
                            width=(format!("{:.1}", width - 0.8)) height=(format!("{:.1}", height - 0.8))
                            rx="1" fill-opacity=(format!("{:.2}", opacity(counts[row], most))) {}
                    }
                }
            }
        }
    };
    let bound = |row: usize| LATENCIES.get(row).copied().unwrap_or(20.0);
    Some(Heat {
        drawing,
        highest: bound(last),
        middle: bound((first + last) / 2),
        lowest: first.checked_sub(1).map_or(0.0, bound),
    })
}

/// On a logarithmic scale, so that a single slow request is seen beside a thousand quick ones.
fn opacity(count: u32, most: u32) -> f64 {
    let share = f64::from(count).ln_1p() / f64::from(most).ln_1p();
    0.18 + 0.82 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_ends_at_a_round_number() {
        for (highest, expected) in [(0.0, 1.0), (3.2, 4.0), (637.0, 1_000.0), (180.0, 200.0)] {
            assert!((top(&[highest]) - expected).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_draws_nothing_odd() {
        let drawing = spark(&[f64::NAN, f64::INFINITY, -1.0], "w0").into_string();
        assert!(
            !drawing.contains("inf") && !drawing.contains("NaN"),
            "{drawing}"
        );
    }
}
