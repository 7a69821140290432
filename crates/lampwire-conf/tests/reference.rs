//! The reference of all options is made from the tables that the options are read by.

use std::fmt::Write as _;
use std::path::Path;

use lampwire_conf::options::{Effect, SECTIONS};

/// The tables in `docs/configuration.md`, between these two lines.
const BEGIN: &str = "<!-- options: made from the program's own tables -->\n";
const END: &str = "<!-- end of options -->\n";

#[test]
fn the_document_has_every_option_as_the_program_reads_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let document = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    let (before, rest) = document
        .split_once(BEGIN)
        .expect("the line before the tables");
    let (tables, after) = rest.split_once(END).expect("the line behind the tables");
    let made = reference();
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}"))
            .expect("it can be written");
    } else {
        assert_eq!(
            tables, made,
            "run this test once with LAMPWIRE_UPDATE_GOLDEN=1"
        );
    }
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
