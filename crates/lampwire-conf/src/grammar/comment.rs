//! A line without its comments, every byte still knowing its column.

use crate::limits::MAX_COMMENT_DEPTH;

/// What is left of one line, and where each byte of it stood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    columns: Vec<u32>,
    /// The text behind the `;` that ended the line, where no blank stood before that.
    pub(crate) cut: Option<String>,
}

impl Text {
    /// The column of the byte at `index`, or that behind the last byte.
    pub(crate) fn column(&self, index: usize) -> u32 {
        self.columns
            .get(index)
            .copied()
            .or_else(|| self.columns.last().map(|last| last.saturating_add(1)))
            .unwrap_or(1)
    }

    fn push(&mut self, byte: u8, column: u32) {
        self.bytes.push(byte);
        self.columns.push(column);
    }
}

/// What is wrong with the comments of a line, at this column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CommentError {
    /// `--;` where no block comment is open.
    EndsNothing(u32),
    /// More than [`MAX_COMMENT_DEPTH`] open ones.
    TooDeep(u32),
}

/// The block comments that are open, outermost first, each as line and column of its `;--`.
#[derive(Debug, Default)]
pub(crate) struct Comments {
    pub(crate) open: Vec<(u32, u32)>,
}

impl Comments {
    /// Takes the comments out of one line.
    ///
    /// `\;` is a semicolon. `;--` begins a block comment, `;---` does not; `--;` ends one. Any other `;` outside of block
    /// comments begins a comment that ends with the line.
    pub(crate) fn strip(&mut self, raw: &[u8], line: u32) -> (Text, Option<CommentError>) {
        let mut text = Text::default();
        let mut error = None;
        // Neither a backslash nor the dashes of an end are looked for before this index: what stands there has
        // already been part of another mark.
        let mut floor = 0;
        let mut index = 0;
        let mut column = 0;
        while index < raw.len() {
            let byte = raw[index];
            if byte & 0xc0 != 0x80 {
                column += 1;
            }
            if byte != b';' {
                if self.open.is_empty() {
                    text.push(byte, column);
                }
                index += 1;
                continue;
            }
            let dashes_before = index >= floor + 2 && raw[index - 2..index] == *b"--";
            if index > floor && raw[index - 1] == b'\\' {
                if self.open.is_empty() {
                    text.bytes.pop();
                    text.columns.pop();
                    text.push(b';', column - 1);
                }
                index += 1;
            } else if raw[index..].starts_with(b";--") && raw.get(index + 3) != Some(&b'-') {
                if self.open.len() == MAX_COMMENT_DEPTH {
                    error = error.or(Some(CommentError::TooDeep(column)));
                } else {
                    self.open.push((line, column));
                }
                index += 3;
                column += 2;
            } else if dashes_before && !self.open.is_empty() {
                self.open.pop();
                index += 1;
            } else if self.open.is_empty() {
                if dashes_before {
                    error = error.or(Some(CommentError::EndsNothing(column)));
                }
                if text.bytes.last().is_some_and(|last| *last > b' ') {
                    text.cut = Some(String::from_utf8_lossy(&raw[index + 1..]).into_owned());
                }
                break;
            } else {
                index += 1;
            }
            floor = index;
        }
        (text, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(comments: &mut Comments, raw: &str) -> String {
        String::from_utf8(comments.strip(raw.as_bytes(), 1).0.bytes).unwrap()
    }

    #[test]
    fn line_comments() {
        for (raw, left) in [
            ("a=b", "a=b"),
            ("a=b ; c", "a=b "),
            ("a=b\\;c", "a=b;c"),
            ("a=b\\;c;d", "a=b;c"),
            ("a=b\\;;d", "a=b;"),
            ("a=b\\\\;d", "a=b\\;d"),
            (";---- a --;", ""),
            (";", ""),
            ("\\;a", ";a"),
        ] {
            let mut comments = Comments::default();
            assert_eq!(strip(&mut comments, raw), left, "{raw}");
            assert!(comments.open.is_empty(), "{raw}");
        }
    }

    #[test]
    fn block_comments() {
        for (lines, left) in [
            (&["a;--b--;c"][..], &["ac"][..]),
            (&["a;--b", "c", "d--;e"], &["a", "", "e"]),
            (&[";--", ";-- in --;", "still", "--;x"], &["", "", "", "x"]),
            (&[";--;", "x --; y"], &["", " y"]),
            (&[";--", ";-------", "a \\--; b"], &["", "", " b"]),
            (&[";--a--;b;--c--;d ; e"], &["bd "]),
            (&[";--", "a ; b", "--;c"], &["", "", "c"]),
        ] {
            let mut comments = Comments::default();
            let got: Vec<String> = lines
                .iter()
                .map(|line| strip(&mut comments, line))
                .collect();
            assert_eq!(got, left, "{lines:?}");
            assert!(comments.open.is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn columns_are_those_of_the_file() {
        let mut comments = Comments::default();
        let (text, _) = comments.strip("é;--ü--;b\\;c".as_bytes(), 1);
        assert_eq!(text.bytes, "éb;c".as_bytes());
        assert_eq!(
            (
                text.column(0),
                text.column(2),
                text.column(3),
                text.column(4)
            ),
            (1, 9, 10, 12)
        );
        assert_eq!(text.column(99), 13);
    }

    #[test]
    fn an_end_without_a_start() {
        let mut comments = Comments::default();
        let (text, error) = comments.strip(b"a --; b", 1);
        assert_eq!(text.bytes, b"a --");
        assert_eq!(error, Some(CommentError::EndsNothing(5)));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut comments = Comments::default();
        let raw = ";--x".repeat(MAX_COMMENT_DEPTH + 1);
        assert!(matches!(
            comments.strip(raw.as_bytes(), 1).1,
            Some(CommentError::TooDeep(_))
        ));
        assert_eq!(comments.open.len(), MAX_COMMENT_DEPTH);
    }
}
