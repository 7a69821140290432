//! Pattern -> tree, as glibc's `regcomp` reads it with REG_EXTENDED.
//!
//! What POSIX leaves open, glibc decides: `^` and `$` are anchors anywhere; `*`, `+`, `?` and `{` with nothing to repeat (at the start,
//! behind `(`, `|` or an anchor) are errors; a `)` without `(` and a `}` are themselves; `()` and empty alternatives match the empty text;
//! repetitions stack.

use super::{Case, FilterError};
use crate::limits::{
    MAX_CLASS_NAME, MAX_PATTERN, MAX_PATTERN_NESTING, MAX_PATTERN_SIZE, MAX_REPEAT,
};

/// A pattern. What it holds of letters is already such that only characters in upper case need be asked for
/// where case is ignored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    Literal(char),
    Class(Class),
    Look(Look),
    Concat(Vec<Self>),
    Alternate(Vec<Self>),
    /// `max` None: without end.
    Repeat {
        node: Box<Self>,
        min: u32,
        max: Option<u32>,
    },
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Start,
    End,
    WordStart,
    WordEnd,
    WordBoundary,
    NotWordBoundary,
}

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// The ASCII characters in it, a bit each.
    pub(super) ascii: u128,
    /// The others: ranges that may overlap.
    pub(super) others: Vec<(char, char)>,
    pub(super) negated: bool,
}

impl Class {
    fn new(ascii: impl Fn(u8) -> bool, negated: bool) -> Self {
        let ascii = (0..128u8)
            .filter(|byte| ascii(*byte))
            .fold(0, |set, byte| set | 1 << byte);
        Self {
            ascii,
            others: Vec::new(),
            negated,
        }
    }
}

pub(super) fn parse(pattern: &str, case: Case) -> Result<Node, FilterError> {
    if pattern.len() > MAX_PATTERN {
        return Err(FilterError {
            offset: MAX_PATTERN,
            message: format!("it is longer than {MAX_PATTERN} bytes"),
        });
    }
    if let Some(offset) = pattern.find('\0') {
        return Err(FilterError {
            offset,
            message: "it has a NUL in it".to_owned(),
        });
    }
    let mut parser = Parser {
        pattern,
        at: 0,
        case,
    };
    let node = parser.alternation(0)?;
    if height(&node) > MAX_HEIGHT {
        return Err(FilterError {
            offset: 0,
            message: "its groups and repetitions nest too deep".to_owned(),
        });
    }
    if size(&node) > MAX_PATTERN_SIZE {
        let message = format!(
            "it is too large: with its repetitions written out it has more than {MAX_PATTERN_SIZE} characters"
        );
        return Err(FilterError { offset: 0, message });
    }
    Ok(node)
}

/// Characters and brackets with repetitions written out.
fn size(node: &Node) -> u64 {
    match node {
        Node::Empty | Node::Look(_) => 1,
        Node::Literal(_) | Node::Class(_) => 1,
        Node::Concat(parts) | Node::Alternate(parts) => {
            parts.iter().map(size).fold(1, u64::saturating_add)
        }
        Node::Repeat { node, min, max } => size(node)
            .saturating_mul(u64::from(max.unwrap_or(*min).max(*min).max(1)))
            .saturating_add(1),
    }
}

/// A group has three levels at most: its alternatives, their parts and a repetition. One level is of repetitions stacked on it.
const MAX_HEIGHT: usize = MAX_PATTERN_NESTING * 4;

/// The levels of the tree. What comes after recurses over them.
fn height(node: &Node) -> usize {
    match node {
        Node::Empty | Node::Look(_) | Node::Literal(_) | Node::Class(_) => 1,
        Node::Concat(parts) | Node::Alternate(parts) => {
            1 + parts.iter().map(height).max().unwrap_or(0)
        }
        Node::Repeat { node, .. } => 1 + height(node),
    }
}

/// How deep repetitions are stacked on a node without a group between them.
fn stacked(node: &Node) -> usize {
    let mut depth = 0;
    let mut node = node;
    while let Node::Repeat { node: inner, .. } = node {
        depth += 1;
        node = inner;
    }
    depth
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    End,
    Character(char),
    Any,
    Star,
    Plus,
    Question,
    OpenInterval,
    CloseInterval,
    OpenGroup,
    CloseGroup,
    Bar,
    OpenBracket,
    Look(Look),
    Word { negated: bool },
    Space { negated: bool },
    BackReference,
    LoneBackslash,
}

struct Parser<'p> {
    pattern: &'p str,
    at: usize,
    case: Case,
}

type Parsed<T> = Result<T, FilterError>;

impl Parser<'_> {
    fn error<T>(&self, offset: usize, message: &str) -> Parsed<T> {
        Err(FilterError {
            offset,
            message: message.to_owned(),
        })
    }

    /// The token here and how many bytes it takes.
    fn peek(&self) -> (Token, usize) {
        let mut characters = self.pattern[self.at..].chars();
        let Some(character) = characters.next() else {
            return (Token::End, 0);
        };
        let token = match character {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    return (Token::LoneBackslash, 1);
                };
                let token = match escaped {
                    '1'..='9' => Token::BackReference,
                    '<' => Token::Look(Look::WordStart),
                    '>' => Token::Look(Look::WordEnd),
                    'b' => Token::Look(Look::WordBoundary),
                    'B' => Token::Look(Look::NotWordBoundary),
                    '`' => Token::Look(Look::Start),
                    '\'' => Token::Look(Look::End),
                    'w' => Token::Word { negated: false },
                    'W' => Token::Word { negated: true },
                    's' => Token::Space { negated: false },
                    'S' => Token::Space { negated: true },
                    other => Token::Character(other),
                };
                return (token, 1 + escaped.len_utf8());
            }
            '.' => Token::Any,
            '*' => Token::Star,
            '+' => Token::Plus,
            '?' => Token::Question,
            '{' => Token::OpenInterval,
            '}' => Token::CloseInterval,
            '(' => Token::OpenGroup,
            ')' => Token::CloseGroup,
            '|' => Token::Bar,
            '[' => Token::OpenBracket,
            '^' => Token::Look(Look::Start),
            '$' => Token::Look(Look::End),
            other => Token::Character(other),
        };
        (token, character.len_utf8())
    }

    fn next(&mut self) -> Token {
        let (token, length) = self.peek();
        self.at += length;
        token
    }

    /// Alternatives up to the end, or to the `)` that closes the group. `depth`: how many groups are open.
    fn alternation(&mut self, depth: usize) -> Parsed<Node> {
        let mut branches = vec![self.branch(depth)?];
        while self.peek().0 == Token::Bar {
            self.next();
            branches.push(self.branch(depth)?);
        }
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Alternate(branches),
        })
    }

    fn branch(&mut self, depth: usize) -> Parsed<Node> {
        let mut parts = Vec::new();
        loop {
            match self.peek().0 {
                Token::End | Token::Bar => break,
                Token::CloseGroup if depth > 0 => break,
                _ => parts.push(self.repeated(depth)?),
            }
        }
        Ok(match parts.len() {
            0 => Node::Empty,
            1 => parts.remove(0),
            _ => Node::Concat(parts),
        })
    }

    /// One thing and the repetitions behind it.
    fn repeated(&mut self, depth: usize) -> Parsed<Node> {
        let start = self.at;
        let mut node = match self.next() {
            Token::Question if self.pattern[..start].ends_with('(') => {
                return self.error(
                    start,
                    "`(?` is not of these patterns; filters match without case anyway",
                );
            }
            Token::Star | Token::Plus | Token::Question | Token::OpenInterval => {
                return self.error(start, "nothing stands before this to repeat");
            }
            // Behind an anchor the next repetition has nothing to repeat either.
            Token::Look(look) => return Ok(Node::Look(look)),
            Token::OpenGroup => {
                if depth == MAX_PATTERN_NESTING {
                    return self.error(
                        start,
                        &format!("groups nest deeper than {MAX_PATTERN_NESTING}"),
                    );
                }
                let node = self.alternation(depth + 1)?;
                if self.next() != Token::CloseGroup {
                    return self.error(start, "a `(` has no `)`");
                }
                node
            }
            Token::CloseGroup => Node::Literal(')'),
            Token::CloseInterval => Node::Literal('}'),
            Token::Character(character) => self.literal(character),
            Token::Any => Node::Class(Class {
                ascii: 0,
                others: Vec::new(),
                negated: true,
            }),
            Token::Word { negated } => Node::Class(Class::new(
                |byte| byte.is_ascii_alphanumeric() || byte == b'_',
                negated,
            )),
            Token::Space { negated } => Node::Class(Class::new(is_space, negated)),
            Token::OpenBracket => self.bracket(start)?,
            Token::BackReference => {
                return self.error(
                    start,
                    "back-references are not taken: write out what may stand there",
                );
            }
            Token::LoneBackslash => return self.error(start, "it ends in a backslash"),
            Token::End | Token::Bar => Node::Empty,
        };
        loop {
            let start = self.at;
            let (min, max) = match self.peek().0 {
                Token::Star => (0, None),
                Token::Plus => (1, None),
                Token::Question => (0, Some(1)),
                Token::OpenInterval => {
                    self.next();
                    let (min, max) = self.interval(start)?;
                    node = repeat(node, min, max);
                    if stacked(&node) > MAX_PATTERN_NESTING {
                        return self.error(start, "too many repetitions of repetitions");
                    }
                    continue;
                }
                _ => return Ok(node),
            };
            self.next();
            node = repeat(node, min, max);
            if stacked(&node) > MAX_PATTERN_NESTING {
                return self.error(start, "too many repetitions of repetitions");
            }
        }
    }

    fn literal(&self, character: char) -> Node {
        Node::Literal(match self.case {
            Case::Ignored => character.to_ascii_uppercase(),
            Case::Kept => character,
        })
    }

    /// `{m}`, `{m,}`, `{,n}`, `{m,n}` behind the brace.
    fn interval(&mut self, start: usize) -> Parsed<(u32, Option<u32>)> {
        const SHAPE: &str = "an interval is {m}, {m,}, {,n} or {m,n}";
        let (min, ended) = self.interval_number(start)?;
        if ended == Token::CloseInterval {
            let Some(min) = min else {
                return self.error(start, SHAPE);
            };
            self.check_count(start, min)?;
            return Ok((min, Some(min)));
        }
        let (max, ended) = self.interval_number(start)?;
        if ended != Token::CloseInterval {
            return self.error(start, SHAPE);
        }
        let min = min.unwrap_or(0);
        if max.is_some_and(|max| min > max) {
            return self.error(
                start,
                "the first number of the interval is above the second",
            );
        }
        self.check_count(start, max.unwrap_or(min))?;
        Ok((min, max))
    }

    fn check_count(&self, start: usize, count: u32) -> Parsed<()> {
        if count > MAX_REPEAT {
            return self.error(
                start,
                &format!("an interval's number is above {MAX_REPEAT}"),
            );
        }
        Ok(())
    }

    /// Digits up to a comma or the closing brace, and which of them ended it.
    fn interval_number(&mut self, start: usize) -> Parsed<(Option<u32>, Token)> {
        let mut number: Option<u32> = None;
        loop {
            match self.next() {
                Token::End | Token::LoneBackslash => {
                    return self.error(start, "an interval has no closing `}`");
                }
                Token::CloseInterval => return Ok((number, Token::CloseInterval)),
                Token::Character(',') => return Ok((number, Token::Character(','))),
                Token::Character(digit) if digit.is_ascii_digit() => {
                    let digit = digit.to_digit(10).unwrap_or(0);
                    number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                }
                _ => {
                    return self.error(
                        start,
                        "an interval holds numbers and a comma, and nothing else",
                    );
                }
            }
        }
    }

    /// What stands behind `[`. Escapes mean nothing here.
    fn bracket(&mut self, start: usize) -> Parsed<Node> {
        let mut class = Class {
            ascii: 0,
            others: Vec::new(),
            negated: false,
        };
        if self.rest().starts_with('^') {
            class.negated = true;
            self.at += 1;
        }
        let mut first = true;
        loop {
            // A `]` that comes first is itself.
            if !first && self.rest().starts_with(']') {
                self.at += 1;
                return Ok(Node::Class(class));
            }
            let element_at = self.at;
            let element = self.bracket_element(start, first)?;
            first = false;
            let low = match element {
                Element::Set(set) => {
                    class.ascii |= set;
                    continue;
                }
                Element::Equivalent(character) => {
                    add(&mut class, character, character);
                    continue;
                }
                Element::Character(character) => character,
            };
            // A `-` is a range unless `]` follows it.
            let rest = self.rest();
            if !rest.starts_with('-') || rest.starts_with("-]") {
                add(&mut class, low, low);
                continue;
            }
            self.at += 1;
            if self.rest().is_empty() {
                return self.error(start, UNCLOSED);
            }
            match self.bracket_element(start, true)? {
                Element::Character(high) if low <= high => add(&mut class, low, high),
                Element::Character(_) => {
                    return self.error(element_at, "the range's first character is above its last");
                }
                Element::Set(_) | Element::Equivalent(_) => {
                    return self.error(element_at, "a range does not end in a class");
                }
            }
        }
    }

    fn rest(&self) -> &str {
        &self.pattern[self.at..]
    }

    /// `hyphen`: a `-` may stand here for itself although `]` does not follow.
    fn bracket_element(&mut self, start: usize, hyphen: bool) -> Parsed<Element> {
        let at = self.at;
        let rest = self.rest();
        for (open, close) in [("[:", ":]"), ("[=", "=]"), ("[.", ".]")] {
            if let Some(inner) = rest.strip_prefix(open) {
                // At least one character stands before the end, so `[=]=]` is `]`.
                let first = inner.chars().next().map_or(0, char::len_utf8);
                let Some(end) = inner[..]
                    .get(first..)
                    .and_then(|tail| tail.find(close))
                    .map(|found| found + first)
                else {
                    return self.error(start, UNCLOSED);
                };
                let name = &inner[..end];
                let parsed = self.symbol(at, open, name)?;
                self.at += open.len() + end + close.len();
                return Ok(parsed);
            }
        }
        let Some(character) = rest.chars().next() else {
            return self.error(start, UNCLOSED);
        };
        if character == '-' && !hyphen && !rest.starts_with("-]") {
            return self.error(
                at,
                "a `-` that is no range stands first or last in the brackets",
            );
        }
        self.at += character.len_utf8();
        Ok(Element::Character(self.fold(character)))
    }

    fn fold(&self, character: char) -> char {
        match self.case {
            Case::Ignored => character.to_ascii_uppercase(),
            Case::Kept => character,
        }
    }

    fn symbol(&self, at: usize, open: &str, name: &str) -> Parsed<Element> {
        if open == "[:" {
            if name.len() >= MAX_CLASS_NAME {
                return self.error(at, "no character class has so long a name");
            }
            return match named_class(name, self.case) {
                Some(set) => Ok(Element::Set(set)),
                None => {
                    let near = crate::nearest::nearest(name, CLASSES.iter().map(|(name, _)| *name));
                    let help = near
                        .map(|near| format!(", did you mean [:{near}:]?"))
                        .unwrap_or_default();
                    self.error(
                        at,
                        &format!("there is no character class of this name{help}"),
                    )
                }
            };
        }
        let mut characters = name.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) if open == "[=" => {
                Ok(Element::Equivalent(self.fold(character)))
            }
            (Some(character), None) => Ok(Element::Character(self.fold(character))),
            _ => self.error(at, "a collating symbol is one character here"),
        }
    }
}

const UNCLOSED: &str = "a `[` has no `]`";

enum Element {
    Character(char),
    /// `[=x=]`, which cannot begin or end a range.
    Equivalent(char),
    /// A named class, in ASCII.
    Set(u128),
}

fn add(class: &mut Class, low: char, high: char) {
    for byte in 0..128u8 {
        if (low..=high).contains(&char::from(byte)) {
            class.ascii |= 1 << byte;
        }
    }
    if high > '\u{7f}' {
        class.others.push((low.max('\u{80}'), high));
    }
}

/// `isspace` of C, which has the vertical tab beside Rust's.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

type Member = fn(u8) -> bool;

const CLASSES: [(&str, Member); 12] = [
    ("alnum", |byte| byte.is_ascii_alphanumeric()),
    ("alpha", |byte| byte.is_ascii_alphabetic()),
    ("blank", |byte| matches!(byte, b' ' | b'\t')),
    ("cntrl", |byte| byte.is_ascii_control()),
    ("digit", |byte| byte.is_ascii_digit()),
    ("graph", |byte| byte.is_ascii_graphic()),
    ("lower", |byte| byte.is_ascii_lowercase()),
    ("print", |byte| byte.is_ascii_graphic() || byte == b' '),
    ("punct", |byte| byte.is_ascii_punctuation()),
    ("space", is_space),
    ("upper", |byte| byte.is_ascii_uppercase()),
    ("xdigit", |byte| byte.is_ascii_hexdigit()),
];

fn named_class(name: &str, case: Case) -> Option<u128> {
    // Without case, upper and lower are alpha.
    let name = match (name, case) {
        ("upper" | "lower", Case::Ignored) => "alpha",
        (name, _) => name,
    };
    let (_, member) = CLASSES.iter().find(|(known, _)| *known == name)?;
    Some(Class::new(member, false).ascii)
}

/// Repetitions by `*`, `+` and `?` of such repetitions are one: `a**` need not nest.
fn repeat(node: Node, min: u32, max: Option<u32>) -> Node {
    let simple = |min: u32, max: Option<u32>| matches!((min, max), (0 | 1, None) | (0, Some(1)));
    match node {
        Node::Repeat {
            node,
            min: inner_min,
            max: inner_max,
        } if simple(min, max) && simple(inner_min, inner_max) => {
            let max = inner_max.and(max);
            Node::Repeat {
                node,
                min: min * inner_min,
                max,
            }
        }
        node => Node::Repeat {
            node: Box::new(node),
            min,
            max,
        },
    }
}
