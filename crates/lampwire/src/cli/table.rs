//! Aligned tables.

use std::io::{self, Write};

use super::output::plain;

/// Between two columns.
const GAP: &str = "  ";

/// A column is no wider than this for the sake of those to its right; a longer cell pushes its own line only.
const WIDTH_MAX: usize = 60;

/// A table that is printed in pieces: columns keep their widths from piece to piece, and grow where they must.
#[derive(Debug)]
pub(crate) struct Table {
    head: &'static [&'static str],
    widths: Vec<usize>,
    begun: bool,
    colour: bool,
}

impl Table {
    /// A table with these column names; with `colour` the head is bold and states are coloured.
    pub(crate) fn new(head: &'static [&'static str], colour: bool) -> Self {
        let widths = head.iter().map(|name| name.chars().count()).collect();
        Self {
            head,
            widths,
            begun: false,
            colour,
        }
    }

    /// Prints rows; before the first ones, the head. Nothing is printed where there is no row.
    pub(crate) fn print(&mut self, out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
        let in_print = |row: &Vec<String>| row.iter().map(|it| plain(it).into_owned()).collect();
        let rows: &[Vec<String>] = &rows.iter().map(in_print).collect::<Vec<_>>();
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count().min(WIDTH_MAX));
            }
        }
        if !self.begun && !rows.is_empty() {
            self.begun = true;
            let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
            let line = self.line(&head, |_| None);
            if self.colour {
                writeln!(out, "\x1b[1m{line}\x1b[0m")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        for row in rows {
            writeln!(
                out,
                "{}",
                self.line(row, |cell| if self.colour { colour_of(cell) } else { None })
            )?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], colour: impl Fn(&str) -> Option<&'static str>) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            match colour(cell) {
                Some(code) => line.extend(["\x1b[", code, "m", cell, "\x1b[0m"]),
                None => line.push_str(cell),
            }
            if index + 1 < cells.len() {
                let width = self.widths.get(index).copied().unwrap_or(0);
                line.extend(std::iter::repeat_n(
                    ' ',
                    width.saturating_sub(cell.chars().count()),
                ));
                line.push_str(GAP);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The SGR code of a word that says how something stands: the lamps' colours, and those of trouble.
pub(crate) fn colour_of(word: &str) -> Option<&'static str> {
    match word {
        "NOT_INUSE" | "up" | "arrives" => Some("32"),
        "INUSE" | "BUSY" => Some("31"),
        "RINGING" | "RINGINUSE" | "publishing" => Some("33"),
        "ONHOLD" => Some("35"),
        "down" | "back-off" => Some("31;1"),
        "UNAVAILABLE" | "UNKNOWN" | "INVALID" | "unknown" | "resolving" | "stopped" => Some("2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn printed(colour: bool, rows: &[&[&str]]) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|&cell| cell.to_owned()).collect())
            .collect();
        let mut out = Vec::new();
        Table::new(&["DEVICE", "STATE"], colour)
            .print(&mut out, &rows)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_in_line() {
        let text = printed(false, &[&["PJSIP/1001", "INUSE"], &["Custom:ü", ""]]);
        assert_eq!(text, "DEVICE      STATE\nPJSIP/1001  INUSE\nCustom:ü\n");
    }

    #[test]
    fn a_cell_is_text_whatever_it_holds() {
        let text = printed(false, &[&["a\u{1b}[2J\n", "INUSE"]]);
        assert_eq!(text, "DEVICE        STATE\na\\u{1b}[2J\\n  INUSE\n");
    }

    #[test]
    fn nothing_has_no_head() {
        assert_eq!(printed(false, &[]), "");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let text = printed(true, &[&["INUSE", "x"]]);
        assert_eq!(
            text,
            "\x1b[1mDEVICE  STATE\x1b[0m\n\x1b[31mINUSE\x1b[0m   x\n"
        );
    }
}
