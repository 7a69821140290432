//! Filters against libc's `regcomp`: a table, and patterns at random.
// glibc is what Asterisk runs on; other libraries differ in what POSIX leaves open.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used)]

use lampwire_conf::Filter;
use posix_regex_oracle::{Case, Locale, Pattern};
use proptest::prelude::*;

/// Patterns that both sides take or refuse alike, and that then find the same.
const PATTERNS: &[&str] = &[
    // what people write
    "^PJSIP/",
    "^PJSIP/1[0-9][0-9][0-9]$",
    "^1000",
    "^(PJSIP|SIP)/",
    "PJSIP/(100|200)[0-9]",
    "^Custom:",
    "@default$",
    "^[0-9]+@default$",
    "PJSIP/[^/]*$",
    "^PJSIP/10[0-4][0-9]",
    "Local/.*@",
    ".",
    ".*",
    "^$",
    "^",
    "$",
    "^.*$",
    "a.c",
    "^a|b$",
    "(^a)|(b$)",
    "pjsip\\/1000",
    "PJSIP/100\\.1",
    // repetitions
    "a*",
    "a+",
    "a?",
    "a**",
    "a*+?",
    "a+?",
    "a??",
    "(ab)*c",
    "(a*)*b",
    "(a|b)*c",
    "a{2}",
    "a{2,}",
    "a{2,3}",
    "a{,2}",
    "a{,}",
    "a{0}",
    "^ba{0}{0,1}$",
    "^ba?{0}$",
    "^b(a{0})+$",
    "^ba+?$",
    "^ba?+$",
    "^ba{0,1}*$",
    "^a{0}$",
    "^a{0,0}b",
    "(ab){2}",
    "a{2}?",
    "a{2}{3}",
    "^(a{1,2}){2}$",
    "a{02}",
    "^a{3,5}$",
    // what POSIX leaves open
    "*",
    "*a",
    "+a",
    "?a",
    "{1}",
    "a|*b",
    "a||b",
    "|",
    "|a",
    "a|",
    "(|a)b",
    "(a|)b",
    "()",
    "(",
    ")",
    "a)",
    ")a(",
    "(a))b",
    "(*a)",
    "(a",
    "((a)",
    "^*",
    "^+a",
    "$*",
    "a^",
    "a^b",
    "$a",
    "a$b",
    "(^)a",
    "(a$)",
    "x(^a)",
    "^^a",
    "a$$",
    "{",
    "a{",
    "a{1",
    "a{1,",
    "a{,",
    "a{}",
    "a{x}",
    "a{1,x}",
    "a{2,1}",
    "a{-1}",
    "a{ 1}",
    "a{1 }",
    "a{1,2,3}",
    "a{1\\,2}",
    "a}",
    "}",
    "a{32768}",
    "a{1,32768}",
    "a{99999999999999999999}",
    "a{1}b}",
    "\\",
    "a\\",
    "(\\",
    "[\\",
    // escapes
    "\\.",
    "\\*",
    "\\[a\\]",
    "\\^a",
    "a\\$",
    "\\(a\\)",
    "\\{1\\}",
    "\\|",
    "\\\\",
    "\\/",
    "\\-",
    "\\0",
    "\\A",
    "\\Z",
    "\\D",
    "\\_",
    "\\w",
    "\\w+",
    "\\W",
    "^\\w*$",
    "\\s",
    "\\S",
    "a\\sb",
    "\\ba",
    "a\\b",
    "\\bab\\b",
    "\\Ba",
    "a\\B",
    "\\<a",
    "a\\>",
    "\\<ab\\>",
    "\\`a",
    "a\\'",
    "\\`a\\'",
    "\\b*",
    "\\<+",
    "\\`*",
    // brackets
    "[a]",
    "[ab]",
    "[^a]",
    "[^ab]",
    "[a-c]",
    "[a-]",
    "[-a]",
    "[^-a]",
    "[]]",
    "[]a]",
    "[^]]",
    "[^]a]",
    "[a]]",
    "[]",
    "[^]",
    "[",
    "[a",
    "[a-",
    "[a-c",
    "[[]",
    "[a[b]",
    "[[a]",
    "[a-c-e]",
    "[a-c-]",
    "[a--]",
    "[--/]",
    "[+--]",
    "[%--]",
    "[c-a]",
    "[a-a]",
    "[A-z]",
    "[Z-a]",
    "[a-Z]",
    "[!-a]",
    "[`-{]",
    "[_-a]",
    "[^_-z]",
    "[\\]",
    "[\\w]",
    "[\\d]",
    "[a\\]",
    "[\\n]",
    "[.]",
    "[*]",
    "[$]",
    "[a^]",
    "[&&]",
    "[a&&b]",
    "[a~~b]",
    "[|]",
    "[(]",
    "[,-.]",
    "[[:alpha:]]",
    "[[:ALPHA:]]",
    "[[:alnum:]]",
    "[[:digit:]]+",
    "[[:upper:]]",
    "[[:lower:]]",
    "[^[:lower:]]",
    "[[:space:]]",
    "[[:blank:]]",
    "[[:punct:]]",
    "[[:print:]]",
    "[[:graph:]]",
    "[[:cntrl:]]",
    "[[:xdigit:]]",
    "[[:word:]]",
    "[[:foo:]]",
    "[[::]]",
    "[[:alpha:]-z]",
    "[a-[:alpha:]]",
    "[[:alpha:]",
    "[[:alpha",
    "[[:alpha:",
    "[:alpha:]",
    "[:",
    "[[:alpha:][:digit:]]",
    "[^[:alpha:][:digit:]]",
    "[[.a.]]",
    "[[.-.]]",
    "[[.].]]",
    "[[.a.]-c]",
    "[a-[.c.]]",
    "[[.ab.]]",
    "[[..]]",
    "[[.a.",
    "[[.space.]]",
    "[[.hyphen.]]",
    "[[=a=]]",
    "[[=A=]b]",
    "[[=]=]]",
    "[[=ab=]]",
    "[[=a=]-c]",
    "[a-[=c=]]",
    "[[=a=",
    "[[.a.]-[.c.]]",
    "[[:alpha:]-]",
    "[[=a=]-]",
    "[a-[",
    "[a-[.",
    "[[.a",
    "[]-a]",
    "[]-]",
    "[^^]",
    "[^^-a]",
    "[0-9a-fA-F]",
    "[%-+]",
];

const SUBJECTS: &[&str] = &[
    "",
    "a",
    "A",
    "b",
    "ba",
    "baa",
    "ab",
    "aB",
    "abc",
    "aa",
    "aaa",
    "aaaa",
    "aaaaaa",
    "c",
    "z",
    "Z",
    "_",
    "-",
    "--",
    "]",
    "[",
    "a]",
    "a)",
    ")",
    "a(",
    "}",
    "{",
    "a{",
    "a}",
    "b}",
    "ab}",
    "^",
    "$",
    "a$",
    "^a",
    "a^b",
    "*",
    "+",
    ".",
    "\\",
    "/",
    "|",
    "&",
    "~",
    ",",
    "d",
    "D",
    "w",
    "n",
    "0",
    "1",
    "7",
    "09",
    "x(a",
    " ",
    "a b",
    "a\tb",
    "\n",
    "a\nb",
    "\u{b}",
    "`",
    "{a",
    "@",
    "!",
    "%",
    ":",
    "=",
    "(a)",
    "{1}",
    "PJSIP/1000",
    "pjsip/1000",
    "PJSIP/10000",
    "SIP/1000",
    "Custom:PJSIP/1000",
    "1000@default",
    "100@default",
    "1000",
    "Local/1@x",
    "PJSIP/1049",
    "PJSIP/100.1",
    "PJSIP/100x1",
    "ab cd",
    "cd ab",
    "xab",
    "abx",
    "[a]",
    "a-c",
    "e",
    "_a",
    "a_",
    "ac",
    "bc",
    "\u{7f}",
];

/// Where glibc and we differ, in whether the pattern compiles or in what it finds.
fn differences<'s>(
    pattern: &str,
    subjects: impl IntoIterator<Item = &'s str>,
    locale: Locale,
    case: Case,
) -> Vec<String> {
    let oracle = Pattern::with_case(pattern, locale, case);
    let ours = match case {
        Case::Ignored => Filter::parse(pattern),
        Case::Kept => Filter::parse_with_case(pattern),
    };
    match (oracle, ours) {
        (Err(_), Err(_)) => Vec::new(),
        (Ok(oracle), Ok(ours)) => subjects
            .into_iter()
            .filter_map(|subject| {
                let (expected, got) = (oracle.is_match(subject), ours.is_match(subject));
                expected.is_some_and(|expected| expected != got).then(|| {
                    format!("{pattern:?} on {subject:?} ({case:?}): libc {expected:?}, we {got}")
                })
            })
            .collect(),
        (Ok(_), Err(error)) => vec![format!(
            "{pattern:?} ({case:?}): libc takes it, we say: {error}"
        )],
        (Err(error), Ok(_)) => vec![format!(
            "{pattern:?} ({case:?}): we take it, libc says: {error}"
        )],
    }
}

#[test]
fn the_table_agrees_with_libc() {
    let mut wrong = Vec::new();
    for pattern in PATTERNS {
        for case in [Case::Ignored, Case::Kept] {
            wrong.extend(differences(
                pattern,
                SUBJECTS.iter().copied(),
                Locale::C,
                case,
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(PATTERNS.len() >= 100);
}

/// In a UTF-8 locale a character is what counts.
#[test]
fn characters_are_whole() {
    let subjects = [
        "", "é", "É", "éé", "ÉÉ", "a", "aéb", "ü", "Ü", "ß", "日本", "日", "𝄞", "ñ",
    ];
    let mut wrong = Vec::new();
    for pattern in [
        "^.$", "^..$", "é", "É", "[é]", "[^é]", "^[^a]$", "é{2}", "^é+$", "ß", "a.b", "\\é",
        "[éà]", "(é|a)$", "^[^é]$", "日",
    ] {
        for case in [Case::Ignored, Case::Kept] {
            wrong.extend(differences(pattern, subjects, Locale::Utf8, case));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each deliberate difference from glibc, as the module's documentation lists them. What glibc finds is compared only where it
/// does not change with its version.
#[test]
fn deliberate_differences() {
    let ours = |pattern: &str, subject: &str| {
        Filter::parse(pattern)
            .map(|filter| filter.is_match(subject))
            .ok()
    };
    let libc = |pattern: &str, subject: &str, locale| {
        Pattern::new(pattern, locale)
            .ok()
            .and_then(|pattern| pattern.is_match(subject))
    };
    for (pattern, subject, locale, expected, got) in [
        ("(a)\\1", "aa", Some(Locale::C), Some(true), None),
        ("\\1", "1", Some(Locale::C), None, None),
        ("a{20000}", "a", Some(Locale::C), Some(false), None),
        ("^.$", "é", Some(Locale::C), Some(false), Some(true)),
        ("É", "é", Some(Locale::C), Some(false), Some(true)),
        (
            "[[:alpha:]]",
            "é",
            Some(Locale::Utf8),
            Some(true),
            Some(false),
        ),
        ("\\w", "é", Some(Locale::Utf8), Some(true), Some(false)),
        (
            "[[:upper:][:digit:]]",
            "Éé",
            Some(Locale::Utf8),
            Some(true),
            Some(false),
        ),
        ("k", "\u{212a}", None, None, Some(false)),
        ("s", "\u{17f}", None, None, Some(false)),
        ("[à-ü]", "é", None, None, Some(true)),
        ("[[=é=]]", "é", None, None, Some(true)),
        ("a.^", "a\n", None, None, Some(false)),
        ("\\d", "d", None, None, Some(true)),
        ("\\d", "D", None, None, Some(true)),
        ("[---]", "-", None, None, Some(true)),
        ("[a---]", "-", None, None, None),
    ] {
        if let Some(locale) = locale {
            assert_eq!(
                libc(pattern, subject, locale),
                expected,
                "libc {pattern} {subject}"
            );
        }
        assert_eq!(ours(pattern, subject), got, "ours {pattern} {subject}");
    }
}

/// What is refused has a reason, and what is just below a bound is taken, in a small stack.
#[test]
fn bounds() {
    let run = || {
        let taken = |pattern: String| {
            Filter::parse(&pattern)
                .map(|filter| filter.is_match("aaaa"))
                .is_ok()
        };
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(taken(nested(64)) && !taken(nested(65)));
        assert!(
            taken(format!("a{}", "{1}".repeat(64))) && !taken(format!("a{}", "{1}".repeat(65)))
        );
        assert!(taken(format!("a{}", "*".repeat(4_000))));
        let both = |depth: usize, stack: usize| {
            format!(
                "{}a{}",
                "(b|".repeat(depth),
                format!("){}", "{1}".repeat(stack)).repeat(depth)
            )
        };
        assert!(taken(both(60, 1)) && !taken(both(20, 60)));
        assert!(taken("a".repeat(4_096)) && !taken("a".repeat(4_097)));
        assert!(
            taken("a{9000}".to_owned())
                && !taken("a{20000}".to_owned())
                && !taken("(a{200}){200}".to_owned())
        );
        assert!(taken("[^/]{1000}".to_owned()) && taken(".{,1000}x".to_owned()));
        assert!(!taken("((((((a{30}){30}){30}){30}){30}){30})".to_owned()));
        for pattern in [
            "[".repeat(4_096),
            "(".repeat(4_096),
            "\\".repeat(4_095),
            "{".repeat(4_096),
            "a|".repeat(2_048),
        ] {
            taken(pattern);
        }
    };
    std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

/// Pieces from which a pattern is put together: letters, what means something, and what nearly does.
const PIECES: &[&str] = &[
    "a",
    "b",
    "A",
    "0",
    "1",
    "_",
    "-",
    " ",
    "\n",
    ".",
    "^",
    "$",
    "*",
    "+",
    "?",
    "|",
    "(",
    ")",
    "()",
    "(a",
    "b)",
    "(a|b)",
    "{",
    "}",
    "{1}",
    "{0}",
    "{2}",
    "{0,1}",
    "{1,}",
    "{,2}",
    "{,}",
    "{1,2}",
    "{2,1}",
    "[",
    "]",
    "[a]",
    "[^a]",
    "[a-b]",
    "[]a]",
    "[^]b]",
    "[a-",
    "[-a]",
    "[b-a]",
    "[[:alpha:]]",
    "[^[:digit:]]",
    "[[:upper:]_]",
    "[[.-.]]",
    "[[=a=]]",
    "[[:foo:]]",
    "[A-z]",
    "[0-_]",
    "[a\\]",
    "\\.",
    "\\*",
    "\\(",
    "\\|",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\`",
    "\\'",
    "\\<",
    "\\>",
    "\\b",
    "\\B",
    "\\A",
    "\\",
    ",",
    "[:",
    "=",
    ":",
];

fn patterns() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..10).prop_map(|pieces| pieces.concat())
}

fn subjects() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abAB01_ \n.,()\\[\\]{}^$*|:=-]{0,8}", 1..12)
}

/// glibc takes hours and gigabytes for repetitions of repetitions; they are counted here. Back-references are refused, and three
/// dashes in a row mean one in some versions of glibc, and an escaped small letter is never found by it.
fn is_compared(pattern: &str) -> bool {
    pattern.matches('{').count() <= 4
        && !pattern.contains("---")
        && !pattern.contains("\\1")
        && !pattern.contains("\\a")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_patterns_agree_with_libc(pattern in patterns(), subjects in subjects(), kept in any::<bool>()) {
        prop_assume!(is_compared(&pattern));
        let case = if kept { Case::Kept } else { Case::Ignored };
        // Once it has passed a line feed glibc may take the place behind it for a start.
        let anchored = pattern.contains(['^', '$', '\\']);
        let subjects = subjects.iter().map(String::as_str).filter(|subject| !anchored || !subject.contains('\n'));
        let differences = differences(&pattern, subjects, Locale::C, case);
        prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    /// Any text at all: an error or a filter, and never a panic.
    #[test]
    fn any_pattern_is_answered(pattern in any::<String>(), subject in any::<String>()) {
        if let Ok(filter) = Filter::parse(&pattern) {
            filter.is_match(&subject);
            prop_assert_eq!(filter.as_str(), &pattern);
        }
    }
}
