//! Line charts.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::scale::{Axis, Scale};

/// Size of the drawing, and the room for what is written beside the axes.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// Lines over one pair of axes.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) series: Vec<Series>,
    /// Whether the room below the lines is filled.
    pub(super) filled: bool,
    /// What follows the drawing.
    pub(super) below: String,
}

/// One line.
pub(super) struct Series {
    pub(super) name: Cow<'static, str>,
    /// The class that gives it its colour.
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

impl Chart {
    /// The chart as a figure; `None` without anything to draw.
    pub(super) fn svg(mut self) -> Option<String> {
        self.series.retain(|series| !series.points.is_empty());
        let points = || self.series.iter().flat_map(|series| &series.points);
        points().next()?;
        let x = self.x.axis(points().map(|(x, _)| *x));
        let y = self.y.axis(points().map(|(_, y)| *y));
        let mut svg = format!(
            "<figure><figcaption>{}{}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            self.title,
            self.legend(),
            self.title
        );
        grid(&mut svg, &x, &y);
        for series in &self.series {
            self.line(&mut svg, series, &x, &y);
        }
        svg.push_str("</svg>");
        svg.push_str(&self.below);
        svg.push_str("</figure>\n");
        Some(svg)
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let keys = self.series.iter();
        let keys = keys.map(|one| format!("<span class=\"key {}\">{}</span>", one.class, one.name));
        format!("<span class=\"keys\">{}</span>", keys.collect::<String>())
    }

    // Writing to a String does not fail.
    fn line(&self, svg: &mut String, series: &Series, x: &Axis, y: &Axis) {
        let mut path = String::new();
        for (index, point) in series.points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", across(x, point.0), up(y, point.1));
        }
        if self.filled
            && let (Some(first), Some(last)) = (series.points.first(), series.points.last())
        {
            let (from, to, floor) = (across(x, first.0), across(x, last.0), HEIGHT - BOTTOM);
            let area = format!("{path}L{to:.1} {floor}L{from:.1} {floor}Z");
            let _ = writeln!(svg, "<path class=\"area {}\" d=\"{area}\"/>", series.class);
        }
        let _ = writeln!(svg, "<path class=\"line {}\" d=\"{path}\"/>", series.class);
    }
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let (floor, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, text) in &y.ticks {
        let at = up(y, *value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{end}\"/>\
             <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (value, text) in x.ticks.iter().filter(|(value, _)| x.holds(*value)) {
        let at = across(x, *value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{floor}\"/>\
             <text class=\"x\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>",
            floor + 18.0
        );
    }
}

fn across(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)
}

fn up(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.at(value) * (HEIGHT - TOP - BOTTOM)
}
