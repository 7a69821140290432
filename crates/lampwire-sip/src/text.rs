//! The lexical rules of RFC 3261 25.1 that several headers share.

use std::borrow::Cow;

use crate::limits;

/// Blanks, and the line breaks of folded headers.
pub(crate) fn is_blank(character: char) -> bool {
    u8::try_from(character).is_ok_and(is_blank_byte)
}

/// The same of a byte. Texts are searched by bytes: all that has a meaning in SIP is ASCII.
pub(crate) const fn is_blank_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where the first blank stands.
pub(crate) fn find_blank(text: &str) -> Option<usize> {
    text.bytes().position(is_blank_byte)
}

/// `text` without blanks around it.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        // As a rule there are none.
        [first, .., last] if !is_blank_byte(*first) && !is_blank_byte(*last) => text,
        _ => text.trim_matches(is_blank),
    }
}

/// The text before the first such ASCII character, and the text behind it.
pub(crate) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    // What is before it is short as a rule, too short for a search by vectors.
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// The bytes without blanks around them.
pub(crate) fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let bytes = trim_blanks_end(bytes);
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t'))
        .unwrap_or(bytes.len());
    &bytes[start..]
}

/// The bytes without blanks behind them: those of RFC 3261 alone, not all that ASCII has.
pub(crate) fn trim_blanks_end(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Whether `text` is a token: at least one of the characters that need no quoting.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// RFC 3261 25.1: alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~".
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        byte += 1;
    }
    table
};

/// Where the first `wanted` stands outside quoted strings and angle brackets. `None` also where a quote is never closed.
pub(crate) fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    match search_outside(text, wanted) {
        Search::Found(at) => Some(at),
        Search::End { .. } => None,
    }
}

/// Whether all quotes and angle brackets are closed: what is written behind the text does not become a part of it.
pub(crate) fn is_closed(text: &str) -> bool {
    // A quote is never found for its own sake.
    matches!(search_outside(text, b'"'), Search::End { closed: true })
}

/// What a search outside of quoted strings and angle brackets came to.
enum Search {
    Found(usize),
    /// The end of the text; `closed`: outside of both.
    End {
        closed: bool,
    },
}

fn search_outside(text: &str, wanted: u8) -> Search {
    let bytes = text.as_bytes();
    let (mut at, mut angle) = (0, false);
    loop {
        let rest = &bytes[at..];
        let next = match angle {
            true => memchr::memchr2(b'"', b'>', rest),
            false => memchr::memchr3(b'"', b'<', wanted, rest),
        };
        let Some(next) = next else {
            return Search::End { closed: !angle };
        };
        at += next;
        match bytes[at] {
            b'"' => match end_of_quoted(&bytes[at..]) {
                Some(length) => at += length,
                None => return Search::End { closed: false },
            },
            b'<' | b'>' => {
                angle = !angle;
                at += 1;
            }
            _ => return Search::Found(at),
        }
    }
}

/// The length of the quoted string at the front, which begins with its quote; `None` where it is not closed.
fn end_of_quoted(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            // What is escaped ends nothing.
            _ => at += 2,
        }
    }
}

/// The values of a list header, which commas outside of quotes and angle brackets part. Empty ones are passed over.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside(text, b',') {
            Some(comma) => {
                rest = Some(&text[comma + 1..]);
                Some(trim(&text[..comma]))
            }
            None => {
                rest = None;
                Some(trim(text))
            }
        }
    })
    .filter(|value| !value.is_empty())
}

/// The inside of a quoted string, its escapes undone and each fold one blank (RFC 3261 25.1); a text without quotes as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    if memchr::memchr3(b'\\', b'\r', b'\n', inside.as_bytes()).is_none() {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut characters = inside.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // A line break cannot be escaped: it is a fold all the same.
            '\\' => match characters.peek() {
                Some('\r' | '\n') => {}
                _ => plain.push(characters.next().unwrap_or('\\')),
            },
            '\r' | '\n' => {
                plain.truncate(plain.trim_end_matches([' ', '\t']).len());
                while characters
                    .next_if(|character| is_blank(*character))
                    .is_some()
                {}
                plain.push(' ');
            }
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// What a hexadecimal digit of either case stands for.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes `text` as the inside of a quoted string.
pub(crate) fn escape(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    // Each part but the last ends with a character that wants a backslash before it.
    for part in text.split_inclusive(['"', '\\']) {
        match part.char_indices().next_back() {
            Some((at, last @ ('"' | '\\'))) => write!(f, "{}\\{last}", &part[..at])?,
            Some(_) | None => f.write_str(part)?,
        }
    }
    Ok(())
}

/// Cuts a quoted string off the front: (with its quotes, what follows). `None` where it is not closed.
pub(crate) fn quoted_string(text: &str) -> Option<(&str, &str)> {
    Some(text.split_at(end_of_quoted(text.as_bytes())?))
}

/// Cuts comments and blanks off the front. `None` where a comment is not closed or is nested too deeply.
pub(crate) fn skip_comments(text: &str) -> Option<&str> {
    let mut rest = trim(text);
    while rest.starts_with('(') {
        let (mut depth, mut escaped, mut end) = (0usize, false, None);
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth > limits::MAX_COMMENT_DEPTH {
                return None;
            }
            if depth == 0 {
                end = Some(at + 1);
                break;
            }
        }
        rest = trim(&rest[end?..]);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_parted_outside_of_quotes_and_brackets() {
        let parted: Vec<_> = list(r#"a, "b,c" <sip:x,y>;p ,, d"#).collect();
        assert_eq!(parted, ["a", r#""b,c" <sip:x,y>;p"#, "d"]);
        assert_eq!(
            list(r#"a,"never closed, b"#).collect::<Vec<_>>(),
            ["a", r#""never closed, b"#]
        );
    }

    #[test]
    fn what_is_open_is_seen() {
        for (text, closed) in [
            ("", true),
            ("a;b=\"c\\\"d\"", true),
            ("<a\">\">", true),
            ("a>", true),
            ("<a", false),
            ("\"a", false),
            ("\"a\\\"", false),
        ] {
            assert_eq!(is_closed(text), closed, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_search_takes_byte_by_byte_to_the_same_place(text in r#"[ab;,"<>\\ü]{0,24}"#) {
            // The rules, a byte at a time: quoted strings with what is escaped in them, and brackets, in which quotes are quotes too.
            let (mut quoted, mut escaped, mut angle, mut found) = (false, false, false, None);
            for (at, byte) in text.bytes().enumerate() {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    _ if quoted => {}
                    b';' if !angle => found = found.or(Some(at)),
                    b'<' => angle = true,
                    b'>' => angle = false,
                    _ => {}
                }
            }
            prop_assert_eq!(find_outside(&text, b';'), found);
            prop_assert_eq!(is_closed(&text), !quoted && !angle);
        }
    }

    #[test]
    fn quoting_and_unquoting_agree() {
        struct Escaped<'a>(&'a str);
        impl std::fmt::Display for Escaped<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                escape(f, self.0)
            }
        }
        for text in ["", "plain", r#"a"b\c"#, r#"\""#, "ü\"", "\\"] {
            let quoted = format!("\"{}\"", Escaped(text));
            assert_eq!(unquote(&quoted), text);
            assert_eq!(quoted_string(&format!("{quoted};x")).unwrap().1, ";x");
        }
    }

    #[test]
    fn a_fold_within_quotes_is_one_blank() {
        assert_eq!(unquote("\"a \t\r\n\t b\r\n c\""), "a b c");
        assert_eq!(unquote("\"\r\n \""), " ");
        assert_eq!(unquote("\"a\\\r\n b\""), "a b");
    }

    #[test]
    fn only_the_blanks_of_sip_are_blanks() {
        assert_eq!(trim_blanks_end(b"a \t "), b"a");
        assert_eq!(trim_blanks_end(b"a\x0c"), b"a\x0c");
        assert_eq!(trim_blanks_end(b" "), b"");
        assert_eq!(trim_blanks(b"\t a b \t"), b"a b");
        assert_eq!(trim_blanks(b"\x0ca"), b"\x0ca");
    }

    #[test]
    fn comments_nest_to_a_bound() {
        assert_eq!(skip_comments("(a (b) \\) c) rest"), Some("rest"));
        assert_eq!(skip_comments("(a"), None);
        let deep = "(".repeat(limits::MAX_COMMENT_DEPTH + 1);
        assert_eq!(
            skip_comments(&format!("{deep}{}", ")".repeat(deep.len()))),
            None
        );
    }
}
