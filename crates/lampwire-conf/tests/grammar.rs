//! The grammar case by case: what a text says is seen in the configuration that it makes.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use lampwire_conf::{Config, MapSource, Severity, Source, limits, load};

/// The configuration of a text that has no errors.
fn config(text: &str) -> Config {
    files(&[("main.conf", text)])
}

fn files(files: &[(&str, &str)]) -> Config {
    let (config, diagnostics) = load(files[0].0, &mut MapSource::new(files.iter().copied()));
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    config
}

/// The codes of the errors and warnings of files.
fn codes(files: &[(&str, &str)]) -> Vec<(String, &'static str)> {
    let (_, diagnostics) = load(files[0].0, &mut MapSource::new(files.iter().copied()));
    diagnostics
        .iter()
        .filter(|d| d.severity != Severity::Note)
        .map(|d| (format!("{}:{}", d.at.file, d.at.line), d.code))
        .collect()
}

/// `user_agent` of a file whose global section has this body.
fn user_agent(body: &str) -> Option<String> {
    config(&format!("[global]\ntype=global\n{body}\n"))
        .global
        .user_agent
}

#[test]
fn values() {
    for (body, value) in [
        ("user_agent=a", "a"),
        ("user_agent = a b", "a b"),
        ("  user_agent\t=>  a  ", "a"),
        ("user_agent=>a", "a"),
        ("USER_AGENT=a", "a"),
        ("\\user_agent=a", "a"),
        ("user_agent=a;b", "a"),
        ("user_agent=a ; b", "a"),
        ("user_agent=a\\;b", "a;b"),
        ("user_agent=a\\;b;c", "a;b"),
        ("user_agent=a=b", "a=b"),
        ("user_agent=a > b", "a > b"),
        ("user_agent=\"a\"", "\"a\""),
        ("user_agent=a;--b--;c", "ac"),
        (";--\nuser_agent=b\n--;user_agent=a", "a"),
        (";-- ;-- --;\nuser_agent=b\n--;\nuser_agent=a", "a"),
        (";---\nuser_agent=a", "a"),
        ("user_agent=a\r", "a"),
        ("user_agent=a\nuser_agent+=b", "ab"),
        ("user_agent=a\nuser_agent += b\nuser_agent +=> c", "abc"),
        ("user_agent+=a", "a"),
        ("user_agent=b\nuser_agent=a", "a"),
        ("user_agent=ä", "ä"),
        ("\n\n  \n;x\nuser_agent=a\n\n", "a"),
    ] {
        assert_eq!(user_agent(body).as_deref(), Some(value), "{body:?}");
    }
    assert_eq!(user_agent("user_agent="), None);
    assert_eq!(user_agent("user_agent=;a"), None);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(
        config("\u{feff}[g]\ntype=global\nuser_agent=a")
            .global
            .user_agent
            .as_deref(),
        Some("a")
    );
}

#[test]
fn latin_1_where_it_matters_not() {
    let text = b"; \xe9t\xe9\n[a]\ntype=endpoint\ncallerid=\"J\xf6rg\" <1>\n".to_vec();
    let (config, diagnostics) = load("f", &mut MapSource::new([("f", text)]));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(config.endpoints.len(), 1);
    let text = b"[a]\ntype=endpoint\nfrom_domain=J\xf6rg\n".to_vec();
    let (_, diagnostics) = load("f", &mut MapSource::new([("f", text)]));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].code, "not-utf-8");
}

#[test]
fn templates() {
    let config = config(
        "[base](!)\ntype=endpoint\nidentify_by=ip\nfrom_domain=base\n\
         [more](!,base)\nfrom_domain=more\n\
         [a](base)\n[b](more)\n[c](more)\nfrom_domain=c\n[d](base,more)\n[e](more,base)\n[f](c)\n[ g ]( base )\n",
    );
    let domains: Vec<(&str, &str)> = config
        .endpoints
        .iter()
        .map(|e| (e.name.as_str(), e.from_domain.as_deref().unwrap()))
        .collect();
    assert_eq!(
        domains,
        [
            ("a", "base"),
            ("b", "more"),
            ("c", "c"),
            ("d", "more"),
            ("e", "base"),
            ("f", "c"),
            ("g", "base")
        ]
    );
}

#[test]
fn lists_add_up_through_templates() {
    let config = config(
        "[t](!)\ntype=acl\npermit=10.0.0.0/8\n[a](t)\ndeny=10.1.0.0/16\npermit=10.1.1.1,!10.1.1.2\n",
    );
    let rules: Vec<String> = config.acls[0]
        .rules
        .iter()
        .map(|r| format!("{}{}", if r.allow { '+' } else { '-' }, r.network))
        .collect();
    assert_eq!(
        rules,
        [
            "+10.0.0.0/8",
            "-10.1.0.0/16",
            "+10.1.1.1/32",
            "-10.1.1.2/32"
        ]
    );
}

#[test]
fn additions() {
    let config = config(
        "[a]\ntype=endpoint\n[a]\ntype=acl\n[a](+)\nfrom_domain=first\n[a](+type=acl)\npermit=::/0\n[a](+type=endpoint&from_domain=fir)\nfrom_domain=second\n\
         [A](+type=^endpoint$)\ncontext=x\n",
    );
    assert_eq!(config.endpoints[0].from_domain.as_deref(), Some("second"));
    assert_eq!(config.acls[0].rules.len(), 1);
}

#[test]
fn additions_take_templates_too() {
    let config = config(
        "[t](!)\nfrom_domain=t\n[a]\ntype=endpoint\n[a](+,t)\n[b](!,t)\ntype=endpoint\n[c](b)\n",
    );
    assert_eq!(config.endpoints[0].from_domain.as_deref(), Some("t"));
    assert_eq!(config.endpoints[1].name, "c");
}

/// `+=` changes the heir's value, not the template's.
#[test]
fn appending_to_what_is_inherited() {
    let config = config("[t](!)\ntype=endpoint\nfrom_domain=a\n[a](t)\nfrom_domain+=.b\n[b](t)\n");
    assert_eq!(config.endpoints[0].from_domain.as_deref(), Some("a.b"));
    assert_eq!(config.endpoints[1].from_domain.as_deref(), Some("a"));
}

#[test]
fn includes() {
    let config = files(&[
        (
            "/etc/asterisk/pjsip.conf",
            "[a]\n#include \"ends.conf\"\n#INCLUDE <d/*.conf>\n#tryinclude none.conf\n#include /abs.conf ; c\n",
        ),
        (
            "/etc/asterisk/ends.conf",
            "type=endpoint\n[b]\ntype=endpoint\n",
        ),
        (
            "/etc/asterisk/d/1.conf",
            "[c]\ntype=endpoint\n#include beside.inc\n",
        ),
        (
            "/etc/asterisk/d/2.conf",
            "[e]\ntype=endpoint\n#include from-first.conf\n",
        ),
        ("/etc/asterisk/d/beside.inc", "[d]\ntype=endpoint\n"),
        ("/etc/asterisk/from-first.conf", "[f]\ntype=endpoint\n"),
        ("/abs.conf", "[g]\ntype=endpoint"),
    ]);
    let names: Vec<&str> = config.endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g"]);
}

#[test]
fn included_errors_name_their_file_and_line() {
    let found = codes(&[
        ("main", "[a]\ntype=acl\n#include x\n"),
        ("x", "\npermitt=1\n#include y\n"),
        ("y", "[b]\ntype=acl\n[a]\ntype=acl\n"),
    ]);
    assert_eq!(
        found,
        [
            ("x:2".to_owned(), "unknown-option"),
            ("y:3".to_owned(), "duplicate-section")
        ]
    );
}

#[test]
fn include_cycles() {
    assert_eq!(
        codes(&[
            ("a", "#include b\n"),
            ("b", "#include d/.././a\n"),
            ("c", "")
        ]),
        [("b:1".to_owned(), "include-cycle")]
    );
}

#[test]
fn includes_are_bounded_in_depth() {
    let deep: Vec<(String, String)> = (0..20)
        .map(|n| (format!("f{n}"), format!("#include f{}\n", n + 1)))
        .collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        codes(&deep),
        [(format!("f{}:1", limits::MAX_INCLUDE_DEPTH), "include-depth")]
    );
}

#[test]
fn includes_are_bounded_in_number() {
    struct Many;
    impl Source for Many {
        fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
            Ok(if path == "main" {
                b"#include d/*\n".to_vec()
            } else {
                Vec::new()
            })
        }
        fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
            Ok((0..limits::MAX_FILES).map(|n| format!("d/{n}")).collect())
        }
    }
    let (_, diagnostics) = load("main", &mut Many);
    assert_eq!(
        diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(),
        ["include-count"]
    );
}

#[test]
fn the_reason_of_an_unreadable_include_is_told() {
    struct Closed;
    impl Source for Closed {
        fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
            if path == "main" {
                Ok(b"#include secret\n".to_vec())
            } else {
                Err("Permission denied\n".to_owned())
            }
        }
        fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
            Err("no directories here".to_owned())
        }
    }
    let (_, diagnostics) = load("main", &mut Closed);
    assert_eq!(
        diagnostics[0].to_string(),
        "main:1:10: error: `secret` cannot be read: Permission denied "
    );
}

#[test]
fn sizes_are_bounded() {
    let long = format!("[a]\ntype=acl\npermit={}\n", " ".repeat(limits::MAX_LINE));
    assert_eq!(
        codes(&[("f", &long)]),
        [("f:3".to_owned(), "line-too-long")]
    );
    let fits = format!("[a]\ntype=acl\n;{}\n", "x".repeat(limits::MAX_LINE - 1));
    assert_eq!(codes(&[("f", &fits)]), []);
    let large = " ".repeat(limits::MAX_FILE + 1);
    assert_eq!(codes(&[("f", &large)]), [("f:0".to_owned(), "too-large")]);
    let deep = ";--\n".repeat(limits::MAX_COMMENT_DEPTH + 1);
    let found = codes(&[("f", &deep)]);
    assert!(
        found.contains(&(
            format!("f:{}", limits::MAX_COMMENT_DEPTH + 1),
            "comment-depth"
        )),
        "{found:?}"
    );
}

/// Each template takes its predecessor twice: without a bound, 2^40 lines.
#[test]
fn inheritance_is_bounded() {
    let mut text = "[t0](!)\ntype=acl\npermit=::/0\n".to_owned();
    for number in 1..40 {
        writeln!(text, "[t{number}](!,t{0},t{0})", number - 1).unwrap();
    }
    let found = codes(&[("f", &text)]);
    assert!(
        !found.is_empty() && found.iter().all(|(_, code)| *code == "too-large"),
        "{found:?}"
    );
}

/// What would take the square of the file's length to search for.
#[test]
fn searching_is_bounded() {
    let mut text = "[a]\n".to_owned();
    for number in 0..15_000 {
        writeln!(text, "o{number}+=1").unwrap();
    }
    let found = codes(&[("f", &text)]);
    assert!(found.iter().any(|(_, code)| *code == "too-large"));
}

#[test]
fn what_follows_a_wrong_header_is_not_blamed() {
    assert_eq!(
        codes(&[(
            "f",
            "[a\npermit=1\nnonsense\n[b](nothing)\npermit=::/0\n[c](+)\nx=1\n"
        )]),
        [
            ("f:1".to_owned(), "missing-bracket"),
            ("f:4".to_owned(), "unknown-template"),
            ("f:6".to_owned(), "unknown-section")
        ]
    );
}

#[test]
fn columns_count_characters() {
    let (_, diagnostics) = load(
        "f",
        &mut MapSource::new([(
            "f",
            "[a]\ntype=endpoint\n\tfrom_domain=ä ;--é--; \n;--x--; auht=ü\n",
        )]),
    );
    let places: Vec<(u32, u32)> = diagnostics
        .iter()
        .map(|d| (d.at.line, d.at.column))
        .collect();
    assert_eq!(places, [(4, 9)]);
}
