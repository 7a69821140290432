//! The demo's board: a pure function from what is known to lines, and the screen that shows them.

use std::io::{self, Stdout, Write};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{execute, queue};

use super::model::{Lamp, Model, Side};
use crate::cli::colour_of;

/// How long a lamp that has changed is shown in bold.
const FRESH: Duration = Duration::from_millis(800);

/// The least width of half a board that has room for both the other node's state and the time it took.
const WIDE: usize = 48;

/// The node that commands ask where none is named.
const DEFAULT_NODE: &str = "http://127.0.0.1:7060";

/// What does not change while the demo runs.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Names of the nodes.
    pub(crate) names: [String; 2],
    /// Where their SIP is.
    pub(crate) sip: [String; 2],
    /// Where their HTTP is.
    pub(crate) http: [String; 2],
}

/// A line: pieces of text, each with its SGR code or none.
#[derive(Clone, Debug, Default)]
struct Line {
    pieces: Vec<(String, Option<&'static str>)>,
    width: usize,
}

impl Line {
    fn add(&mut self, text: &str, colour: Option<&'static str>) -> &mut Self {
        self.width += text.chars().count();
        self.pieces.push((text.to_owned(), colour));
        self
    }

    /// Text in a column: cut or filled to its width, and a blank.
    fn column(&mut self, text: &str, width: usize, colour: Option<&'static str>) -> &mut Self {
        let mut cell: String = text.chars().take(width).collect();
        if text.chars().count() > width {
            cell.pop();
            cell.push('…');
        }
        let used = cell.chars().count();
        self.add(&cell, colour)
            .add(&" ".repeat(width - used + 1), None)
    }

    fn append(&mut self, other: Self) -> &mut Self {
        self.width += other.width;
        self.pieces.extend(other.pieces);
        self
    }

    /// Exactly this width: cut or filled.
    fn fit(&mut self, width: usize) -> &mut Self {
        let mut left = width;
        for (text, _) in &mut self.pieces {
            *text = text.chars().take(left).collect();
            left -= text.chars().count();
        }
        self.width = width - left;
        self.fill(width)
    }

    fn fill(&mut self, width: usize) -> &mut Self {
        let missing = width.saturating_sub(self.width);
        self.add(&" ".repeat(missing), None)
    }

    /// The text, cut to the width.
    fn painted(&self, width: usize, colour: bool) -> String {
        let mut text = String::new();
        let mut left = width;
        for (piece, code) in &self.pieces {
            let part: String = piece.chars().take(left).collect();
            left -= part.chars().count();
            match code {
                Some(code) if colour => text.extend(["\x1b[", code, "m", &part, "\x1b[0m"]),
                _ => text.push_str(&part),
            }
        }
        text
    }
}

/// The board's lines for a terminal of this size. `log` holds the last log lines, oldest first.
pub(crate) fn render(
    frame: &Frame,
    model: &Model,
    log: &[String],
    now: Instant,
    (width, height): (usize, usize),
    colour: bool,
) -> Vec<String> {
    let half = (width.saturating_sub(3)) / 2;
    let mut lines = vec![title(width), Line::default()];
    let mut halves: [Vec<Line>; 2] = [0, 1].map(|node| side(frame, model, node, half, now));
    let rows = halves[0].len().max(halves[1].len());
    let foot = foot(frame, model);
    // Lamps give way to what explains them where the terminal is low.
    let room = height.saturating_sub(lines.len() + foot.len() + 1);
    for row in 0..rows.min(room) {
        let mut line = Line::default();
        let [left, right] = &mut halves;
        line.append(left.get_mut(row).map(std::mem::take).unwrap_or_default())
            .fit(half)
            .add(" │ ", Some("2"));
        line.append(right.get_mut(row).map(std::mem::take).unwrap_or_default());
        lines.push(line);
    }
    lines.push(Line::default());
    lines.extend(foot);
    let room = height.saturating_sub(lines.len() + 1);
    if room > 0 && !log.is_empty() {
        lines.push(Line::default());
        for text in log.iter().skip(log.len().saturating_sub(room)) {
            let mut line = Line::default();
            line.add(" ", None).add(text, Some("2"));
            lines.push(line);
        }
    }
    lines.truncate(height);
    lines
        .iter()
        .map(|line| line.painted(width, colour))
        .collect()
}

fn title(width: usize) -> Line {
    let mut line = Line::default();
    line.add(" Lampwire", Some("1")).add(
        " · two nodes, the example of Asterisk's documentation",
        None,
    );
    let end = "Ctrl-C ends it ";
    line.fill(width.saturating_sub(end.len()))
        .add(end, Some("2"));
    line
}

fn side(frame: &Frame, model: &Model, node: usize, width: usize, now: Instant) -> Vec<Line> {
    let other = &frame.names[1 - node];
    let Side {
        devices, mailboxes, ..
    } = &model.sides[node];
    let mut head = Line::default();
    head.add(" ", None)
        .add(&frame.names[node], Some("1"))
        .add(&format!("  SIP {}", frame.sip[node]), None);
    let mut web = Line::default();
    web.add(&format!("   {}", frame.http[node]), Some("2"));
    let mut columns = Line::default();
    columns
        .add("   ", None)
        .column("own", name_width(width), Some("2"))
        .column("says", 11, Some("2"));
    columns.add(other, Some("2"));
    if width >= WIDE {
        columns.add(" shows", Some("2"));
    }
    let mut lines = vec![head, web, Line::default(), columns];
    lines.extend(
        devices
            .iter()
            .map(|(name, lamp)| row("●", name, lamp, width, now)),
    );
    if !mailboxes.is_empty() {
        lines.push(Line::default());
        let mut head = Line::default();
        head.add("   ", None).add("new/old messages", Some("2"));
        lines.push(head);
    }
    lines.extend(
        mailboxes
            .iter()
            .map(|(name, lamp)| row("✉", name, lamp, width, now)),
    );
    lines
}

fn name_width(width: usize) -> usize {
    // Lamp, the name's gap, own state with its gap, and the other's: a state and a time, or a mark and a time.
    width
        .saturating_sub(3 + 1 + 12 + if width >= WIDE { 12 + 8 } else { 10 })
        .clamp(8, 28)
}

fn row(sign: &str, name: &str, lamp: &Lamp, width: usize, now: Instant) -> Line {
    let colour = colour_of(&lamp.own);
    let fresh = lamp
        .changed_at
        .is_some_and(|at| now.saturating_duration_since(at) < FRESH);
    let mut line = Line::default();
    line.add(" ", None)
        .add(sign, colour.or(Some("36")))
        .add(" ", None);
    line.column(name, name_width(width), fresh.then_some("1"))
        .column(&lamp.own, 11, colour);
    match &lamp.seen {
        Some(seen) if *seen == lamp.own => {
            let time = lamp.latency.map(milliseconds).unwrap_or_default();
            if width >= WIDE {
                line.column(seen, 11, colour).add(&time, Some("2"));
            } else {
                line.add("✓ ", Some("32")).add(&time, Some("2"));
            }
        }
        Some(seen) => {
            line.add(seen, colour_of(seen));
        }
        None => {
            line.add("not yet", Some("2"));
        }
    }
    line
}

fn foot(frame: &Frame, model: &Model) -> Vec<Line> {
    let mut counts = Line::default();
    counts
        .add(" ", None)
        .add(&model.crossed.to_string(), Some("1"))
        .add(" changes crossed", None);
    if let Some(median) = model.median() {
        counts.add(
            &format!(
                ", half within {}, slowest {}",
                milliseconds(median),
                milliseconds(model.worst)
            ),
            None,
        );
    }
    let differing = model.differing();
    if differing > 0 {
        counts.add(&format!(" · {differing} on the way"), Some("33"));
    }
    let mut hint = Line::default();
    hint.add(" In another terminal: ", None)
        .add("lampwire set device Custom:hello INUSE", Some("1"));
    let mut lines = vec![counts, hint];
    if frame.http[0] != DEFAULT_NODE {
        let mut option = Line::default();
        option
            .add("                      with ", None)
            .add(&format!("--node {}", frame.http[0]), Some("1"));
        lines.push(option);
    }
    lines
}

/// A duration as milliseconds with one digit behind the point.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// The terminal while the board has it. Dropping it gives it back as it was.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take() -> io::Result<Self> {
        let mut out = io::stdout();
        execute!(out, EnterAlternateScreen, Hide)?;
        let screen = Self { out };
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            previous(info);
        }));
        Ok(screen)
    }

    /// Its size: columns, lines.
    pub(crate) fn size() -> (usize, usize) {
        let (width, height) = crossterm::terminal::size().unwrap_or((80, 24));
        (usize::from(width), usize::from(height))
    }

    /// Shows the lines.
    pub(crate) fn show(&mut self, lines: &[String]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                queue!(self.out, Print("\r\n"))?;
            }
            queue!(self.out, Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(
            self.out,
            Clear(ClearType::FromCursorDown),
            EndSynchronizedUpdate
        )?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // Nothing can be done where the terminal is gone.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::device;
    use super::*;

    fn board(size: (usize, usize)) -> Vec<String> {
        let frame = Frame {
            names: ["instance1", "instance2"].map(str::to_owned),
            sip: ["127.0.1.1:5060", "127.0.1.2:5060"].map(str::to_owned),
            http: ["http://127.0.0.1:7060", "http://127.0.0.1:7061"].map(str::to_owned),
        };
        let mut model = Model::new(["a".to_owned(), "b".to_owned()]);
        let begin = Instant::now();
        model.take(0, &device("a", "PJSIP/1001", "INUSE", begin));
        model.take(
            1,
            &device(
                "a",
                "PJSIP/1001",
                "INUSE",
                begin + Duration::from_micros(600),
            ),
        );
        model.take(1, &device("b", "PJSIP/2001", "RINGING", begin));
        render(
            &frame,
            &model,
            &["a line of the log".to_owned()],
            begin,
            size,
            false,
        )
    }

    #[test]
    fn both_nodes_stand_side_by_side() {
        let lines = board((80, 24));
        let row = lines
            .iter()
            .find(|line| line.contains("PJSIP/1001"))
            .expect("a row");
        assert_eq!(
            row.trim_end(),
            " ● PJSIP/1001   INUSE       ✓ 0.6 ms   │  ● PJSIP/2001   RINGING     not yet"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("1 changes crossed") && line.contains("1 on the way"))
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("lampwire set device Custom:hello INUSE"))
        );
        assert!(lines.iter().any(|line| line.contains("a line of the log")));
    }

    #[test]
    fn a_wide_terminal_shows_what_the_other_shows() {
        let row = board((120, 30))
            .into_iter()
            .find(|line| line.contains("PJSIP/1001"))
            .expect("a row");
        assert!(row.contains("INUSE       INUSE       0.6 ms"), "{row}");
    }

    #[test]
    fn no_size_breaks_it() {
        for width in [0, 1, 10, 39, 80, 300] {
            for height in [0, 1, 5, 24] {
                let lines = board((width, height));
                assert!(lines.len() <= height);
                assert!(lines.iter().all(|line| line.chars().count() <= width));
            }
        }
    }
}
