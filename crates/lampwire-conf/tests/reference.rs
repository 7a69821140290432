//! The reference of all options is made from the tables that the options are read by.

use std::fmt::Write as _;
use std::path::Path;

use lampwire_conf::findings::GROUPS;
use lampwire_conf::options::{Effect, SECTIONS};

/// The tables in `docs/configuration.md`, between these two lines.
const BEGIN: &str = "<!-- options: made from the program's own tables -->\n";
const END: &str = "<!-- end of options -->\n";

/// The codes in `docs/findings.md`, between these two lines.
const BEGIN_CODES: &str = "<!-- codes: made from the program's own table -->\n";
const END_CODES: &str = "<!-- end of codes -->\n";

#[test]
fn the_document_has_every_option_as_the_program_reads_it() {
    compare("configuration.md", BEGIN, END, &reference());
}

#[test]
fn the_document_has_every_code_of_a_finding() {
    compare("findings.md", BEGIN_CODES, END_CODES, &codes());
}

/// No code stands twice, and each is written as a word for programs is.
#[test]
fn codes_are_words_of_their_own() {
    let mut seen = std::collections::BTreeSet::new();
    for code in GROUPS.iter().flat_map(|group| group.codes) {
        assert!(seen.insert(code.name), "{}", code.name);
        assert!(
            code.name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        for text in [code.means, code.effect, code.mend] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{}", code.name);
        }
    }
}

fn compare(name: &str, begin: &str, end: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let (before, rest) = document
        .split_once(begin)
        .expect("the line before the tables");
    let (tables, after) = rest.split_once(end).expect("the line behind the tables");
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{begin}{made}{end}{after}"))
            .expect("it can be written");
    } else {
        assert_eq!(
            tables, made,
            "run this test once with LAMPWIRE_UPDATE_GOLDEN=1"
        );
    }
}

fn codes() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "\n## {}", group.name);
        for code in group.codes {
            let _ = writeln!(
                text,
                "\n### {}\n\n{}: {}.\n\n- On the wire: {}.\n- To mend it: {}.",
                code.name,
                capital(code.severity.as_str()),
                code.means,
                code.effect,
                code.mend
            );
        }
    }
    text.push('\n');
    text
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let _ = writeln!(text, "\n### {}\n\n{}\n", section.name, section.doc);
        let _ = writeln!(text, "| option | default | what it does |\n|---|---|---|");
        for option in section
            .options
            .iter()
            .filter(|option| option.effect == Effect::Acts)
        {
            let default = option
                .default
                .map_or_else(String::new, |it| format!("`{it}`"));
            let several = if option.adds_up {
                " Several lines add up."
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "| `{}` | {default} | {}{several} |",
                option.name,
                option.doc.replace('|', "\\|")
            );
        }
        let known: Vec<_> = section
            .options
            .iter()
            .filter(|option| option.effect == Effect::Known)
            .map(|option| option.name)
            .collect();
        if !known.is_empty() {
            let _ = writeln!(text, "\nRead and passed over: {}.", known.join(", "));
        }
    }
    text.push('\n');
    text
}
