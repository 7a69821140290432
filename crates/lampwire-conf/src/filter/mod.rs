//! Filters: POSIX extended regular expressions as `regcomp` of glibc reads them with REG_EXTENDED and REG_ICASE, which is what
//! Asterisk does.
//!
//! The pattern is parsed here ([`parse`]) and matched by an automaton that takes time in proportion to the name, whatever the
//! pattern. What matters is only whether the pattern is found somewhere in the name. glibc decides what a pattern means, its
//! extensions with it. The deliberate differences:
//!
//! - Back-references (`\1`) are refused. So are patterns above the bounds in [`limits`](crate::limits): glibc would take
//!   `a{32767}`, and hundreds of megabytes for some of what can be built from it.
//! - Names are UTF-8, and a character is what `.`, brackets and repetitions count, as glibc does in a UTF-8 locale. (An Asterisk whose
//!   locale is C counts bytes. In ASCII there is no difference.)
//! - Case is that of ASCII, and beyond it Unicode's simple folding, but no ASCII letter is the same as one beyond: U+212A (Kelvin) is no `k`.
//! - The classes `[[:alpha:]]` and so on, `\w`, `\s`, `\b` and their kin know ASCII alone, as in the C locale.
//! - Ranges and `[=x=]` of characters beyond ASCII go by code point; glibc refuses them in some locales.
//! - `^` is the start of the name alone. glibc may find it behind a line feed too; names have none.
//! - `---` in brackets is a range from `-` to `-`; some versions of glibc take the three for one.
//! - `\d` and other escaped letters that mean nothing are the letter in either case. glibc compares an escaped lower-case letter with the
//!   name in upper case, and so never finds it.
//! - An empty pattern cannot be written as a filter: the option is then not set, and everything passes.

mod parse;
mod reach;
mod sample;
mod translate;

use std::fmt;

use regex_automata::meta;

use parse::{Look, Node};

/// A compiled filter. Cheap to clone; `Display` gives the text as written.
///
/// ```
/// use lampwire_conf::Filter;
///
/// let filter = Filter::parse("^PJSIP/1[0-9]{3}$")?;
/// assert!(filter.is_match("pjsip/1000"));
/// assert!(!filter.is_match("PJSIP/10000"));
/// assert_eq!(Filter::parse("(PJSIP").unwrap_err().to_string(), "a `(` has no `)`");
/// # Ok::<(), lampwire_conf::FilterError>(())
/// ```
#[derive(Clone)]
pub struct Filter {
    text: std::sync::Arc<str>,
    matcher: Matcher,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// Where, in bytes from the start of the pattern.
    pub offset: usize,
    /// What, without a full stop.
    pub message: String,
}

/// Most filters are one literal at the start; for them no automaton is asked.
#[derive(Clone)]
enum Matcher {
    /// Found in everything.
    Everything,
    /// `^literal` without case, the literal in ASCII.
    Prefix(std::sync::Arc<[u8]>),
    /// `^literal$` without case, the literal in ASCII.
    Whole(std::sync::Arc<[u8]>),
    Automaton(meta::Regex),
}

/// Whether letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// As filters do.
    Ignored,
    /// As the patterns of `match_header` do.
    Kept,
}

impl Filter {
    /// Compiles a pattern that matches without case. Err: it is no POSIX extended regular expression, or above a bound.
    pub fn parse(pattern: &str) -> Result<Self, FilterError> {
        Self::compile(pattern, Case::Ignored)
    }

    /// Compiles a pattern that matches with case (REG_EXTENDED alone), as those of `identify` sections do.
    pub fn parse_with_case(pattern: &str) -> Result<Self, FilterError> {
        Self::compile(pattern, Case::Kept)
    }

    fn compile(pattern: &str, case: Case) -> Result<Self, FilterError> {
        let node = parse::parse(pattern, case)?;
        let matcher = match shortcut(&node, case) {
            Some(matcher) => matcher,
            None => Matcher::Automaton(
                translate::automaton(&node, case)
                    .map_err(|message| FilterError { offset: 0, message })?,
            ),
        };
        Ok(Self {
            text: pattern.into(),
            matcher,
        })
    }

    /// Whether the pattern is found in the name. Takes time in proportion to the name; allocates nothing once warm.
    pub fn is_match(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::Prefix(literal) => name
                .as_bytes()
                .get(..literal.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(literal)),
            Matcher::Whole(literal) => name.as_bytes().eq_ignore_ascii_case(literal),
            Matcher::Automaton(automaton) => automaton.is_match(name),
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What the pattern is where it needs no automaton.
fn shortcut(node: &Node, case: Case) -> Option<Matcher> {
    if case == Case::Kept {
        return None;
    }
    let parts = match node {
        Node::Empty => return Some(Matcher::Everything),
        Node::Concat(parts) => parts.as_slice(),
        Node::Look(Look::Start | Look::End) => return Some(Matcher::Everything),
        Node::Literal(_)
        | Node::Class(_)
        | Node::Look(_)
        | Node::Alternate(_)
        | Node::Repeat { .. } => return None,
    };
    let (Node::Look(Look::Start), rest) = parts.split_first()? else {
        return None;
    };
    let (whole, literals) = match rest.split_last() {
        Some((Node::Look(Look::End), literals)) => (true, literals),
        Some(_) | None => (false, rest),
    };
    let literal: Option<Vec<u8>> = literals
        .iter()
        .map(|part| match part {
            Node::Literal(character) => u8::try_from(*character).ok().filter(u8::is_ascii),
            Node::Empty
            | Node::Class(_)
            | Node::Look(_)
            | Node::Concat(_)
            | Node::Alternate(_)
            | Node::Repeat { .. } => None,
        })
        .collect();
    let literal = literal?.into();
    Some(if whole {
        Matcher::Whole(literal)
    } else {
        Matcher::Prefix(literal)
    })
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

/// Two filters are equal if they are written alike.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}
