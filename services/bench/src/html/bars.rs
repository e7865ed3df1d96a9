//! The processor time of each process, as bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::scale::number;

const WIDTH: f64 = 640.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
/// Room for the names to the left and for the numbers to the right.
const LEFT: f64 = 92.0;
const RIGHT: f64 = 60.0;

/// The figure, the longest bar first; `None` without any.
pub(super) fn svg(used: &BTreeMap<String, f64>) -> Option<String> {
    let mut used: Vec<_> = used.iter().map(|(name, used)| (name.as_str(), *used)).collect();
    used.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let longest = used.first()?.1.max(f64::MIN_POSITIVE);
    let all: f64 = used.iter().map(|(_, used)| used).sum();
    let title = format!("CPU by process, µs a message: {} together", number(all.round()));
    let mut svg = format!(
        "<figure><figcaption>{title}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\">\n",
        ROW * used.len() as f64
    );
    for (row, (name, used)) in used.iter().enumerate() {
        let top = ROW * row as f64;
        let length = (WIDTH - LEFT - RIGHT) * used / longest;
        let text = top + ROW / 2.0 + 4.0;
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<text class=\"y\" x=\"{:.1}\" y=\"{text:.1}\">{name}</text>\
             <rect class=\"bar\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
            LEFT - 8.0,
            top + (ROW - BAR) / 2.0,
            LEFT + length + 6.0,
            number(used.round())
        );
    }
    svg.push_str("</svg></figure>\n");
    Some(svg)
}
