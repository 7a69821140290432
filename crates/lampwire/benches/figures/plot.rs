//! Plots as SVG, to be read on a light and on a dark page.

use std::fmt::Write as _;

use crate::report::{Curve, number};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
/// What is around the field: left, right (for the names of the lines), top, bottom.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// An axis whose ends are further apart than this has powers of ten.
const LOGARITHMIC_FROM: f64 = 30.0;
/// Told apart by people who see few colours, on white and on black.
const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9",
];

/// One axis: where a value stands, and the values that are written.
struct Axis {
    first: f64,
    last: f64,
    logarithmic: bool,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        if least > 0.0 && most / least > LOGARITHMIC_FROM {
            return Self {
                first: 10f64.powf(least.log10().floor()),
                last: 10f64.powf(most.log10().ceil()),
                logarithmic: true,
            };
        }
        let step = step(most);
        Self {
            first: 0.0,
            last: (most / step).ceil().max(1.0) * step,
            logarithmic: false,
        }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value / self.first).ln() / (self.last / self.first).ln(),
            false => (value - self.first) / (self.last - self.first),
        }
    }

    fn marks(&self) -> Vec<f64> {
        let next = |value: f64| match self.logarithmic {
            true => value * 10.0,
            false => value + step(self.last),
        };
        let marks = std::iter::successors(Some(self.first), |value| Some(next(*value)));
        marks
            .take_while(|value| *value <= self.last * 1.001)
            .collect()
    }
}

/// A round number of which four to ten reach so far.
fn step(most: f64) -> f64 {
    let power = 10f64.powf(most.max(1e-9).log10().floor());
    let parts = most / power;
    match parts {
        it if it <= 2.0 => power / 4.0,
        it if it <= 5.0 => power / 2.0,
        _ => power,
    }
}

/// A mark's text: thousands and millions by a letter.
fn mark(value: f64) -> String {
    match value {
        it if it >= 1e6 => format!("{}M", it / 1e6),
        it if it >= 1e3 => format!("{}k", it / 1e3),
        it if it >= 1.0 || it == 0.0 => format!("{}", (it * 100.0).round() / 100.0),
        it => number(it).trim_end_matches('0').to_owned(),
    }
}

/// The curve as an SVG.
pub(crate) fn svg(curve: &Curve) -> String {
    let points = || curve.lines.iter().flat_map(|(_, points)| points.iter());
    let known = |value: &f64| value.is_finite();
    let across = Axis::new(points().map(|it| it.0).filter(known));
    let up = Axis::new(points().map(|it| it.1).filter(known));
    let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM);
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n\
         <style>text {{ font: 13px sans-serif; fill: #333 }} .title {{ font-size: 15px }} .grid {{ stroke: #999; stroke-opacity: .3 }} \
         .line {{ fill: none; stroke-width: 2 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ccc }} }}</style>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"20\">{}</text>\n",
        curve.title, curve.title
    );
    for value in across.marks() {
        let at = x(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            mark(value)
        );
    }
    for value in up.marks() {
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            mark(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text x=\"16\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1})\">{}</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0,
        curve.x,
        f64::midpoint(TOP, bottom),
        f64::midpoint(TOP, bottom),
        curve.y
    );
    for (index, (name, points)) in curve.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points = points
            .iter()
            .filter(|it| it.0.is_finite() && it.1.is_finite());
        let places: Vec<String> = points
            .map(|it| format!("{:.1},{:.1}", x(it.0), y(it.1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class=\"line\" stroke=\"{colour}\" points=\"{}\"/>",
            places.join(" ")
        );
        for place in &places {
            if let Some((cx, cy)) = place.split_once(',') {
                let _ = write!(
                    svg,
                    "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
        }
        let at = TOP + 10.0 + 20.0 * index as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{at}\" x2=\"{:.1}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            right + 12.0,
            right + 30.0,
            right + 36.0,
            at + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
