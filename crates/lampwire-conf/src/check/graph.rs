//! Who tells whom what, as a picture: SVG for people, DOT for other programs. Both are text made here, of one look at the links.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use lampwire_sip::EventPackage;

use super::instance::Instance;
use super::link::Verdict;
use super::web::Web;

/// The box of an instance.
const WIDTH: f64 = 176.0;
const HEIGHT: f64 = 62.0;
/// Around the whole.
const MARGIN: f64 = 48.0;
/// What an arrow bends to its right, so that there and back do not lie upon each other.
const BEND: f64 = 34.0;
/// Beyond so many instances, arrows have no labels but those that the pointer shows.
const LABELLED: usize = 7;
/// Longest text of a label in characters.
const LABEL: usize = 30;

/// All that one instance tells another.
struct Arrow {
    from: usize,
    to: usize,
    /// One line for each link.
    lines: Vec<String>,
    worst: Look,
}

/// How a link is drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Works,
    Unknown,
    Filtered,
    Fails,
}

impl Look {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Works => Self::Works,
            Verdict::Unknown => Self::Unknown,
            Verdict::Filtered(_) => Self::Filtered,
            Verdict::Fails(_) => Self::Fails,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Unknown => "unknown",
            Self::Filtered => "filtered",
            Self::Fails => "fails",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Works => "#1f8a5b",
            Self::Unknown => "#7a8594",
            Self::Filtered => "#c27c0e",
            Self::Fails => "#d0342c",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Works => "arrives",
            Self::Unknown => "cannot be said",
            Self::Filtered => "filtered out",
            Self::Fails => "fails",
        }
    }
}

/// The links by sender and receiver, in order.
fn arrows(web: &Web) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    let mut places: HashMap<(usize, usize), usize> = HashMap::new();
    for link in &web.links {
        let what = match link.event {
            EventPackage::DeviceState => "devices",
            EventPackage::Mwi => "mailboxes",
        };
        let filter = link.sends.as_ref().or(link.takes.as_ref());
        let filter = filter.map_or_else(String::new, |filter| format!(" {filter}"));
        let line = match link.verdict {
            Verdict::Works => format!("{what}{filter}"),
            Verdict::Unknown => format!("{what}{filter} ?"),
            Verdict::Filtered(code) | Verdict::Fails(code) => format!("{what}: {code}"),
        };
        let look = Look::of(link.verdict);
        let place = places.get(&(link.from, link.to)).copied();
        match place.and_then(|place| arrows.get_mut(place)) {
            Some(arrow) => {
                if !arrow.lines.contains(&line) {
                    arrow.lines.push(line);
                }
                arrow.worst = arrow.worst.max(look);
            }
            None => {
                places.insert((link.from, link.to), arrows.len());
                arrows.push(Arrow {
                    from: link.from,
                    to: link.to,
                    lines: vec![line],
                    worst: look,
                });
            }
        }
    }
    arrows
}

/// The second and third line of a box.
fn details(instance: &Instance) -> (String, String) {
    let kind = match (instance.config.lampwire.relay, instance.kind) {
        (true, super::Kind::Lampwire) => "Lampwire, hub",
        (_, kind) => kind.as_str(),
    };
    let address = match &instance.address {
        Some(address) => address.host.clone(),
        None => instance
            .config
            .transports
            .iter()
            .find(|transport| !transport.bind.ip().is_unspecified())
            .map(|transport| transport.bind.ip().to_string())
            .unwrap_or_default(),
    };
    (kind.to_owned(), address)
}

/// The picture in Graphviz's language.
pub fn dot(instances: &[Instance], web: &Web) -> String {
    let mut out = String::from(
        "digraph exchange {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    for (index, instance) in instances.iter().enumerate() {
        let (kind, address) = details(instance);
        let _ = writeln!(
            out,
            "  n{index} [label=\"{}\\n{}\\n{}\"];",
            DotText(&instance.name),
            DotText(&kind),
            DotText(&address)
        );
    }
    for arrow in arrows(web) {
        let style = match arrow.worst {
            Look::Works => "solid",
            Look::Unknown => "dotted",
            Look::Filtered | Look::Fails => "dashed",
        };
        let lines: Vec<String> = arrow
            .lines
            .iter()
            .map(|line| DotText(line).to_string())
            .collect();
        let _ = writeln!(
            out,
            "  n{} -> n{} [label=\"{}\", color=\"{colour}\", fontcolor=\"{colour}\", style={style}];",
            arrow.from,
            arrow.to,
            lines.join("\\n"),
            colour = arrow.worst.colour()
        );
    }
    out.push_str("}\n");
    out
}

/// The picture as SVG, light or dark as its reader is.
pub fn svg(instances: &[Instance], web: &Web) -> String {
    let arrows = arrows(web);
    let places = places(instances);
    let reach = |by: fn(&(f64, f64)) -> f64| places.iter().map(by).fold(0.0, f64::max);
    let width = reach(|place| place.0) + WIDTH / 2.0 + MARGIN;
    let height = reach(|place| place.1) + HEIGHT / 2.0 + MARGIN + 28.0;
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="Who tells whom what">
<style>
svg {{ --paper: #ffffff; --box: #f4f6f9; --line: #c3cad4; --ink: #18212e; --faint: #5b6675; font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }}
@media (prefers-color-scheme: dark) {{ svg {{ --paper: #12171f; --box: #1c2430; --line: #3a4658; --ink: #e8edf4; --faint: #98a5b6; }} }}
.paper {{ fill: var(--paper); }}
.box {{ fill: var(--box); stroke: var(--line); stroke-width: 1.2; }}
.hub {{ stroke: #3f6fd8; stroke-width: 2.2; }}
.name {{ fill: var(--ink); font-size: 14px; font-weight: 600; }}
.detail {{ fill: var(--faint); font-size: 11.5px; }}
.label {{ font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 9px; stroke-linejoin: round; }}
.arrow {{ fill: none; stroke-width: 1.8; }}
"##
    );
    for look in [Look::Works, Look::Unknown, Look::Filtered, Look::Fails] {
        let dashes = match look {
            Look::Works => "",
            Look::Unknown => " stroke-dasharray: 2 5;",
            Look::Filtered => " stroke-dasharray: 9 4;",
            Look::Fails => " stroke-dasharray: 6 5;",
        };
        let (class, colour) = (look.class(), look.colour());
        let _ = writeln!(
            out,
            ".arrow.{class} {{ stroke: {colour};{dashes} }} .label.{class}, .head.{class} {{ fill: {colour}; }}"
        );
    }
    out.push_str("</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n");
    let mut labels = String::new();
    for arrow in &arrows {
        if let (Some(from), Some(to)) = (places.get(arrow.from), places.get(arrow.to)) {
            draw_arrow(&mut out, &mut labels, arrow, *from, *to, instances);
        }
    }
    if instances.len() <= LABELLED {
        out.push_str(&labels);
    }
    for (instance, (x, y)) in instances.iter().zip(&places) {
        let (kind, address) = details(instance);
        let hub = if instance.config.lampwire.relay {
            " hub"
        } else {
            ""
        };
        let detail = match address.is_empty() {
            true => kind,
            false => format!("{kind} · {address}"),
        };
        let _ = writeln!(
            out,
            r#"<g><rect class="box{hub}" x="{:.1}" y="{:.1}" width="{WIDTH}" height="{HEIGHT}" rx="10"/><text class="name" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="detail" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text></g>"#,
            x - WIDTH / 2.0,
            y - HEIGHT / 2.0,
            y - 4.0,
            XmlText(&tail(&instance.name, 22)),
            y + 16.0,
            XmlText(&head(&detail, 30)),
        );
    }
    legend(&mut out, &arrows, height);
    out.push_str("</svg>\n");
    out
}

/// Hubs in the middle, the others around them; two side by side.
fn places(instances: &[Instance]) -> Vec<(f64, f64)> {
    let is_hub = |instance: &&Instance| instance.config.lampwire.relay;
    let hubs = instances.iter().filter(is_hub).count();
    let middle = match hubs == instances.len() {
        true => 0,
        false => hubs,
    };
    let around = instances.len() - middle;
    let radius = (number(around) * 52.0).max(190.0);
    let wide = radius * 1.35;
    let (centre_x, centre_y) = match around {
        0 | 1 => (WIDTH / 2.0 + MARGIN + wide, HEIGHT / 2.0 + MARGIN),
        2 => (
            wide + WIDTH / 2.0 + MARGIN,
            HEIGHT / 2.0 + MARGIN + 16.0 + number(middle) * 60.0,
        ),
        _ => (wide + WIDTH / 2.0 + MARGIN, radius + HEIGHT / 2.0 + MARGIN),
    };
    let turn = std::f64::consts::TAU;
    // Two lie side by side, more begin at the top.
    let first = if around <= 2 {
        -turn / 2.0
    } else {
        -turn / 4.0
    };
    let (mut outer, mut inner) = (0, 0);
    instances
        .iter()
        .map(|instance| {
            if middle > 0 && instance.config.lampwire.relay {
                inner += 1;
                let offset = number(inner) - (number(middle) + 1.0) / 2.0;
                (centre_x, centre_y + offset * HEIGHT * 2.2)
            } else {
                let angle = first + turn * number(outer) / number(around.max(1));
                outer += 1;
                (
                    centre_x + wide * angle.cos(),
                    centre_y + radius * angle.sin(),
                )
            }
        })
        .collect()
}

fn draw_arrow(
    out: &mut String,
    labels: &mut String,
    arrow: &Arrow,
    from: (f64, f64),
    to: (f64, f64),
    instances: &[Instance],
) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let side = (-dy / length, dx / length);
    let bend = (
        (from.0 + to.0) / 2.0 + side.0 * BEND * 2.0,
        (from.1 + to.1) / 2.0 + side.1 * BEND * 2.0,
    );
    let start = border(from, bend, 2.0);
    let end = border(to, bend, 10.0);
    let class = arrow.worst.class();
    let title = format!(
        "{} to {}: {}",
        name(instances, arrow.from),
        name(instances, arrow.to),
        arrow.lines.join(", ")
    );
    let _ = writeln!(
        out,
        r#"<path class="arrow {class}" d="M{:.1} {:.1} Q{:.1} {:.1} {:.1} {:.1}"><title>{}</title></path>"#,
        start.0,
        start.1,
        bend.0,
        bend.1,
        end.0,
        end.1,
        XmlText(&title)
    );
    let (hx, hy) = (end.0 - bend.0, end.1 - bend.1);
    let head_length = hx.hypot(hy).max(1.0);
    let (ux, uy) = (hx / head_length, hy / head_length);
    let tip = (end.0 + ux * 8.0, end.1 + uy * 8.0);
    let _ = writeln!(
        out,
        r#"<path class="head {class}" d="M{:.1} {:.1} L{:.1} {:.1} L{:.1} {:.1} Z"/>"#,
        tip.0,
        tip.1,
        end.0 - ux * 3.0 - uy * 5.0,
        end.1 - uy * 3.0 + ux * 5.0,
        end.0 - ux * 3.0 + uy * 5.0,
        end.1 - uy * 3.0 - ux * 5.0,
    );
    let at = (
        start.0 * 0.25 + bend.0 * 0.5 + end.0 * 0.25,
        start.1 * 0.25 + bend.1 * 0.5 + end.1 * 0.25,
    );
    let top = at.1 - (number(arrow.lines.len()) - 1.0) * 7.0 + 4.0;
    for (line, text) in arrow.lines.iter().take(4).enumerate() {
        let _ = writeln!(
            labels,
            r#"<text class="label {class}" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            at.0,
            top + number(line) * 14.0,
            XmlText(&head(text, LABEL))
        );
    }
}

/// Where the line from the middle of a box to a point leaves it, and a gap further.
fn border(middle: (f64, f64), towards: (f64, f64), gap: f64) -> (f64, f64) {
    let (dx, dy) = (towards.0 - middle.0, towards.1 - middle.1);
    let length = dx.hypot(dy).max(1.0);
    let across = (WIDTH / 2.0 / dx.abs().max(0.001)).min(HEIGHT / 2.0 / dy.abs().max(0.001));
    let part = (across + gap / length).min(0.9);
    (middle.0 + dx * part, middle.1 + dy * part)
}

fn legend(out: &mut String, arrows: &[Arrow], height: f64) {
    let mut x = MARGIN;
    for look in [Look::Works, Look::Filtered, Look::Fails, Look::Unknown] {
        if !arrows.iter().any(|arrow| arrow.worst == look) {
            continue;
        }
        let (class, y) = (look.class(), height - 20.0);
        let _ = writeln!(
            out,
            r#"<path class="arrow {class}" d="M{x:.1} {y:.1} h34"/><text class="detail" x="{:.1}" y="{:.1}">{}</text>"#,
            x + 42.0,
            y + 4.0,
            look.says()
        );
        x += 150.0;
    }
}

fn name(instances: &[Instance], index: usize) -> &str {
    instances
        .get(index)
        .map_or("", |instance| instance.name.as_str())
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The first characters of a long text.
fn head(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// The last characters of a long text: paths differ at their ends.
fn tail(text: &str, most: usize) -> String {
    let count = text.chars().count();
    match count > most {
        true => ['…']
            .into_iter()
            .chain(text.chars().skip(count - most + 1))
            .collect(),
        false => text.to_owned(),
    }
}

/// Text within XML.
struct XmlText<'a>(&'a str);

impl fmt::Display for XmlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no way to write these, and U+FFFE and U+FFFF.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    f.write_char('\u{fffd}')?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Text within a quoted string of DOT.
struct DotText<'a>(&'a str);

impl fmt::Display for DotText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
