//! The nearest known name to a word that is none.

use crate::limits::MAX_NEAREST;

/// The candidate that the fewest slips of the hand turn into `word`, if few enough do: one in a word of up to four
/// characters, two in one of up to eight, a third of the length beyond. Case, `-` and `_` count alike. Of equals the first.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = fold(word)?;
    let most = match word.len() {
        0 => return None,
        1..=4 => 1,
        5..=8 => 2,
        longer => longer / 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(folded) = fold(candidate) else {
            continue;
        };
        let most = best.map_or(most, |(distance, _)| distance.saturating_sub(1));
        if folded.len().abs_diff(word.len()) > most {
            continue;
        }
        let distance = distance(&word, &folded);
        if distance <= most && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn fold(text: &str) -> Option<Vec<char>> {
    let folded: Vec<char> = text
        .chars()
        .take(MAX_NEAREST + 1)
        .map(|character| {
            if character == '-' {
                '_'
            } else {
                character.to_ascii_lowercase()
            }
        })
        .collect();
    (folded.len() <= MAX_NEAREST).then_some(folded)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, right) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(left != right))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest() {
        let names = [
            "device_state",
            "device_state_filter",
            "mailbox_state",
            "expiration",
            "event",
        ];
        assert_eq!(
            nearest("device_state_fliter", names),
            Some("device_state_filter")
        );
        assert_eq!(nearest("DEVICE-STATE", names), Some("device_state"));
        assert_eq!(nearest("expire", names), None);
        assert_eq!(nearest("evnet", names), Some("event"));
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }

    #[test]
    fn counts_slips() {
        let count = |a: &str, b: &str| distance(&fold(a).unwrap(), &fold(b).unwrap());
        assert_eq!(count("abc", "abc"), 0);
        assert_eq!(count("abc", "acb"), 1);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("kitten", "sitting"), 3);
    }
}
