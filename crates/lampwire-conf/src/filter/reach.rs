//! Whether a filter lets any name through that begins in a certain way.

use std::collections::BTreeSet;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};

use super::{Case, Filter, parse, translate};
use crate::limits::MAX_PATTERN_MEMORY;

/// States of the automaton that are looked at. Filters that people write have a few dozen.
const STATES: usize = 4096;

impl Filter {
    /// Whether it may let a name through that begins with `prefix`. False is certain; true is also said of a pattern that is too large to
    /// be looked through.
    ///
    /// ```
    /// use lampwire_conf::Filter;
    ///
    /// assert!(!Filter::parse("^PJSIP/")?.may_match_after("Custom:remote-"));
    /// assert!(Filter::parse("PJSIP/")?.may_match_after("Custom:remote-"));
    /// # Ok::<(), lampwire_conf::FilterError>(())
    /// ```
    pub fn may_match_after(&self, prefix: &str) -> bool {
        self.look_through(prefix).unwrap_or(true)
    }

    /// `None`: it is too large.
    fn look_through(&self, prefix: &str) -> Option<bool> {
        let node = parse::parse(&self.text, Case::Ignored).ok()?;
        let nfa = NFA::compiler()
            .configure(
                NFA::config()
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_PATTERN_MEMORY)),
            )
            .build_from_hir(&translate::hir(&node, Case::Ignored))
            .ok()?;
        let config = DFA::config()
            .cache_capacity(MAX_PATTERN_MEMORY)
            // A cleared cache would give old numbers to other states.
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let mut cache = Cache::new(&dfa);
        let mut state = dfa.start_state_forward(&mut cache, &Input::new("")).ok()?;
        let mut matched = false;
        for byte in prefix.bytes() {
            state = dfa.next_state(&mut cache, state, byte).ok()?;
            matched |= state.is_match();
        }
        let mut seen = BTreeSet::from([state]);
        let mut open = vec![state];
        while let Some(state) = open.pop() {
            if matched || dfa.next_eoi_state(&mut cache, state).ok()?.is_match() {
                return Some(true);
            }
            for byte in 0..=u8::MAX {
                let next = dfa.next_state(&mut cache, state, byte).ok()?;
                // A match shows one byte late.
                matched |= next.is_match();
                if next.is_quit() || seen.len() > STATES {
                    return None;
                }
                if !next.is_dead() && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        Some(matched)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_can_be_behind_a_prefix() {
        for (pattern, expected) in [
            ("^PJSIP/", false),
            ("^(PJSIP|SIP)/", false),
            ("^custom:remote-door", true),
            ("^Custom:", true),
            ("^Custom:d", false),
            ("^Custom:[^r]", false),
            ("^Custom:remote-$", true),
            ("^Custom:remote$", false),
            ("PJSIP/", true),
            ("", true),
            (".", true),
            ("^.{0,10}$", false),
            ("^.{0,30}$", true),
            ("[0-9]$", true),
            ("^\\bPJSIP", false),
            ("\\bremote\\b", true),
            ("(a.{40}){9}", true),
        ] {
            let filter = Filter::parse(pattern).unwrap();
            assert_eq!(
                filter.may_match_after("Custom:remote-"),
                expected,
                "{pattern}"
            );
        }
    }
}
