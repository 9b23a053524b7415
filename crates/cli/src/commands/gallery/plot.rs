//! The curve of an evaluation as an SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 56.0;

/// A curve: name, colour, points with both coordinates between 0 and 1.
pub struct Curve<'a> {
    pub name: &'a str,
    pub colour: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// Shares over thresholds from 0 to 1, with a line at the threshold in use.
pub fn svg(title: &str, curves: &[Curve], threshold: f64) -> String {
    let x = |value: f64| MARGIN + value.clamp(0.0, 1.0) * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - value.clamp(0.0, 1.0) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"28\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for step in 0..=5 {
        let value = f64::from(step) / 5.0;
        let (left, right, top, bottom) = (x(0.0), x(1.0), y(1.0), y(0.0));
        let (at_x, at_y) = (x(value), y(value));
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at_y}H{right}M{at_x} {top}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}%</text>\
             <text x=\"{at_x}\" y=\"{}\" text-anchor=\"middle\">{value:.1}</text>",
            left - 6.0,
            at_y + 4.0,
            100.0 * value,
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{0} {1}V{2}\" stroke=\"#888\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{3}\" y=\"{4}\" text-anchor=\"middle\">threshold (cosine)</text>",
        x(threshold),
        y(1.0),
        y(0.0),
        WIDTH / 2.0,
        HEIGHT - 14.0
    );
    for (place, curve) in curves.iter().enumerate() {
        let points: Vec<String> =
            curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{1}\" stroke-width=\"2\"/>\
             <text x=\"{2}\" y=\"{3}\" fill=\"{1}\">{4}</text>",
            points.join(" "),
            curve.colour,
            x(0.62),
            y(0.9) + 18.0 * place as f64,
            escaped(curve.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
