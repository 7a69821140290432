//! Tree -> automaton.

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{
    self, Class as HirClass, ClassUnicode, ClassUnicodeRange, Hir, Repetition,
};

use super::Case;
use super::parse::{Class, Look, Node};
use crate::limits::MAX_PATTERN_MEMORY;

/// Err: it needs more than [`MAX_PATTERN_MEMORY`].
pub(super) fn automaton(node: &Node, case: Case) -> Result<meta::Regex, String> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_PATTERN_MEMORY));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(&hir(node, case))
        .map_err(|_| {
            format!(
                "it is too large: it needs more than {} MiB",
                MAX_PATTERN_MEMORY / 1024 / 1024
            )
        })
}

/// Recursive; the parser bounds the depth.
pub(super) fn hir(node: &Node, case: Case) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal(character) => {
            let mut class = Class {
                ascii: 0,
                others: Vec::new(),
                negated: false,
            };
            if character.is_ascii() {
                class.ascii = 1 << u32::from(*character);
            } else {
                class.others.push((*character, *character));
            }
            self::class(&class, case)
        }
        Node::Class(class) => self::class(class, case),
        Node::Look(look) => Hir::look(match look {
            Look::Start => hir::Look::Start,
            Look::End => hir::Look::End,
            Look::WordStart => hir::Look::WordStartAscii,
            Look::WordEnd => hir::Look::WordEndAscii,
            Look::WordBoundary => hir::Look::WordAscii,
            Look::NotWordBoundary => hir::Look::WordAsciiNegate,
        }),
        Node::Concat(parts) => Hir::concat(parts.iter().map(|part| hir(part, case)).collect()),
        Node::Alternate(parts) => {
            Hir::alternation(parts.iter().map(|part| hir(part, case)).collect())
        }
        Node::Repeat { node, min, max } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: true,
            sub: Box::new(hir(node, case)),
        }),
    }
}

/// The characters that match. glibc turns both pattern and text into upper case, so where case is ignored a letter of the text
/// matches if its upper-case form is in the set: `[Z-_]` has `z` in it, and ``[`-{]`` has no letter.
fn class(class: &Class, case: Case) -> Hir {
    let matches = |byte: u8| {
        let asked = if case == Case::Ignored {
            byte.to_ascii_uppercase()
        } else {
            byte
        };
        (class.ascii >> asked & 1 == 1) != class.negated
    };
    let ascii = (0..128u8)
        .filter(|byte| matches(*byte))
        .map(|byte| ClassUnicodeRange::new(byte.into(), byte.into()));
    let mut set = ClassUnicode::new(ascii);
    let mut others = ClassUnicode::new(
        class
            .others
            .iter()
            .map(|(low, high)| ClassUnicodeRange::new(*low, *high)),
    );
    if case == Case::Ignored {
        others.case_fold_simple();
    }
    if class.negated {
        others.negate();
    }
    others.intersect(&ClassUnicode::new([ClassUnicodeRange::new(
        '\u{80}',
        char::MAX,
    )]));
    set.union(&others);
    Hir::class(HirClass::Unicode(set))
}
