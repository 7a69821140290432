//! Standard output of the commands.

use std::borrow::Cow;
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output, in large pieces. Flush it at the end: an error of the last piece would be lost otherwise.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Prints a value as JSON, indented, with a line end.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = stdout();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Words that came from elsewhere, as they may be printed: no control character of theirs reaches the terminal as such.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |it| it.is_control())
}

/// The same of several lines.
pub(crate) fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |it| it.is_control() && it != '\n')
}

fn escaped(text: &str, unfit: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unfit) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match unfit(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    Cow::Owned(line)
}

/// Whether the error is that of a pipe whose reader has had enough.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_words_lead_the_terminal() {
        assert_eq!(plain("a \u{fc}"), "a \u{fc}");
        assert_eq!(plain("a\n\u{1b}[2J\u{9b}1m"), "a\\n\\u{1b}[2J\\u{9b}1m");
        assert_eq!(plain_lines("a\nb\r\u{7}"), "a\nb\\r\\u{7}");
    }
}
