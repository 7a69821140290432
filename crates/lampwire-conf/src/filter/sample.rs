//! Names that a filter finds something in: what is tried when the filters of two instances are compared.

use super::parse::{Class, Look, Node};
use super::{Case, Filter, parse};

/// Most names that are made of one filter.
const SAMPLES: usize = 64;
/// Most names that are kept while they are put together, and the longest of them in characters.
const PARTS: usize = 32;
const LONGEST: usize = 64;
/// What may stand before and behind where the pattern is not anchored.
const BEFORE: [&str; 2] = ["", "Custom:"];
const BEHIND: [&str; 4] = ["", "1", "0017", "@default"];
/// Tried first where a class has them, so that names look like names.
const LIKELY: &[u8] = b"10259PJSIPabcxyzABC/:@-_ ";

impl Filter {
    /// Names that pass, at least one where the filter is of the usual kind; each has been tried.
    pub(crate) fn samples(&self) -> Vec<String> {
        let Ok(node) = parse::parse(&self.text, Case::Ignored) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for core in expand(&node) {
            for before in BEFORE {
                for behind in BEHIND {
                    let name = format!("{before}{core}{behind}");
                    if names.len() < SAMPLES && self.is_match(&name) && !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        names
    }
}

fn expand(node: &Node) -> Vec<String> {
    match node {
        Node::Empty
        | Node::Look(
            Look::Start
            | Look::End
            | Look::WordStart
            | Look::WordEnd
            | Look::WordBoundary
            | Look::NotWordBoundary,
        ) => vec![String::new()],
        Node::Literal(character) => vec![character.to_string()],
        Node::Class(class) => likely(class),
        Node::Alternate(nodes) => {
            let mut all: Vec<String> = nodes.iter().flat_map(expand).collect();
            all.truncate(PARTS);
            all
        }
        Node::Concat(nodes) => nodes.iter().fold(vec![String::new()], |heads, node| {
            let tails = expand(node);
            // Of a long list of alternatives each is met at least once, whatever stands around it.
            let most = heads.len().max(tails.len()).clamp(4, PARTS);
            (0..most.min(heads.len() * tails.len()))
                .map(|index| {
                    let head = &heads[index % heads.len()];
                    let tail = &tails[index % tails.len()];
                    head.chars().chain(tail.chars()).take(LONGEST).collect()
                })
                .collect()
        }),
        Node::Repeat { node, min, max } => {
            let once = expand(node);
            let mut all = Vec::new();
            for times in [*min, min.saturating_add(1), min.saturating_add(3)] {
                if max.is_none_or(|max| times <= max) {
                    let times = usize::try_from(times).unwrap_or(LONGEST).min(LONGEST);
                    let repeated =
                        |text: &String| text.repeat(times).chars().take(LONGEST).collect();
                    all.extend(once.iter().take(4).map(repeated));
                }
            }
            all
        }
    }
}

fn likely(class: &Class) -> Vec<String> {
    let has = |byte: u8| (class.ascii >> byte & 1 == 1) != class.negated;
    let mut found: Vec<String> = LIKELY
        .iter()
        .copied()
        .chain(33..127)
        .filter(|byte| has(*byte))
        .map(|byte| char::from(byte).to_string())
        .take(6)
        .collect();
    if found.is_empty() {
        found.extend(class.others.first().map(|(first, _)| first.to_string()));
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn samples_pass_their_filter() {
        for pattern in [
            "^PJSIP/1",
            "^PJSIP/1[0-9]{3}$",
            "^(100|200|3[0-9]+)@",
            "^[[:digit:]]+$",
            "@sales$",
            "a|b|^c",
            "^Custom:.*night$",
            "^[^P]",
            "x?",
        ] {
            let filter = Filter::parse(pattern).unwrap();
            let samples = filter.samples();
            assert!(!samples.is_empty(), "{pattern}");
            assert!(
                samples.iter().all(|name| filter.is_match(name)),
                "{pattern}"
            );
        }
        let either = Filter::parse("^(PJSIP/1|SIP/2|IAX2/3)").unwrap().samples();
        for start in ["PJSIP/1", "SIP/2", "IAX2/3"] {
            assert!(
                either.iter().any(|name| name.starts_with(start)),
                "{either:?}"
            );
        }
    }
}
