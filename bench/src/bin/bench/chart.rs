//! A chart of how much better or worse each of our figures is than the peer's.

use std::fmt::Write;

use bench::{
    Row,
    row::{Better, factor},
};

const LABELS: f64 = 540.0;
const BARS: f64 = 430.0;
const LINE: f64 = 17.0;
/// Powers of ten to the left and to the right of 1.
const DECADES: (f64, f64) = (-1.0, 3.0);

/// Draws the rows that have a ratio as SVG.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    for (row, advantage) in rows.iter().filter_map(advantage) {
        y += LINE;
        bar(&mut body, y, row, advantage);
    }
    let (width, height) = (LABELS + BARS + 150.0, y + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>Ours beside the peers, by ratio</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    grid(&mut svg, height);
    svg + &body + "</svg>\n"
}

/// The factor by which our figure is better. Below 1 if it is worse.
fn advantage(row: &Row) -> Option<(&Row, f64)> {
    let ratio = row.ratio().filter(|&ratio| ratio > 0.0)?;
    Some((
        row,
        match row.better {
            Better::Lower => 1.0 / ratio,
            Better::Higher => ratio,
        },
    ))
}

/// Position of a factor on the logarithmic scale.
fn x(factor: f64) -> f64 {
    let (low, high) = DECADES;
    LABELS + BARS * (factor.log10().clamp(low, high) - low) / (high - low)
}

fn grid(svg: &mut String, height: f64) {
    for (factor, name) in [
        (0.1, "10 x worse"),
        (1.0, "the same"),
        (10.0, "10 x better"),
        (100.0, "100 x"),
        (1000.0, "1000 x"),
    ] {
        let (x, end) = (x(factor), height - 5.0);
        let colour = if factor == 1.0 { "#333" } else { "#ddd" };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{end}\" stroke=\"{colour}\"/>\
             <text x=\"{x}\" y=\"20\" text-anchor=\"middle\" fill=\"#555\">{name}</text>"
        );
    }
}

fn bar(svg: &mut String, y: f64, row: &Row, advantage: f64) {
    let peer = row.peer.as_ref().map_or("", |peer| &peer.name);
    let label = escaped(&format!("{} / {peer}", row.what));
    let (start, end) = (x(1.0).min(x(advantage)), x(1.0).max(x(advantage)));
    let colour = match (row.is_reached(), advantage >= 1.0) {
        (Some(false), _) => "#c0392b",
        (_, true) => "#2e7d52",
        (_, false) => "#d9a441",
    };
    let text = if advantage >= 1.0 {
        format!("{} better", factor(advantage))
    } else {
        format!("{} worse", factor(1.0 / advantage))
    };
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{label}</text>\
         <rect x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"11\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{y}\" fill=\"#555\">{text}</text>",
        LABELS - 8.0,
        y - 9.5,
        (end - start).max(1.0),
        end + 6.0
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
