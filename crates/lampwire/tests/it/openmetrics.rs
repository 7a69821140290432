//! The figures by the letter of OpenMetrics 1.0. The strict reader that others have is Python's and not where these tests run; this one
//! has its rules.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::{Node, Request, address, wait_for};
use super::pair::{ONE, relation, start_two};

/// One family while it is read.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    metadata: BTreeSet<&'static str>,
    /// Samples by their labels without `le`, in order.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// One histogram: its bounds with what lies below, in order.
#[derive(Default)]
struct Histogram {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

/// Reads a page, or says in which line it is wrong and why.
fn read(text: &str) -> Result<usize, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?;
    let mut names = BTreeSet::new();
    let mut family = Family::default();
    let mut samples = 0;
    for (index, line) in body.split_terminator('\n').enumerate() {
        let wrong = |why: &str| format!("line {}: {why}: {line}", index + 1);
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name) = (words.next().unwrap(), words.next().unwrap_or_default());
            let rest = words.next().ok_or_else(|| wrong("nothing is said"))?;
            let word = match word {
                "TYPE" => "TYPE",
                "HELP" => "HELP",
                "UNIT" => "UNIT",
                _ => return Err(wrong("no such word")),
            };
            if name != family.name {
                finish(&family).map_err(|why| wrong(&why))?;
                if !is_name(name, true) || !names.insert(name.to_owned()) {
                    return Err(wrong("no name, or one that was there"));
                }
                family = Family {
                    name: name.to_owned(),
                    kind: "unknown".to_owned(),
                    ..Family::default()
                };
            }
            if !family.metadata.insert(word) || !family.samples.is_empty() {
                return Err(wrong("said twice, or behind samples"));
            }
            match word {
                "TYPE" => rest.clone_into(&mut family.kind),
                "UNIT" if !family.name.ends_with(&format!("_{rest}")) => {
                    return Err(wrong("the name does not end with its unit"));
                }
                _ => unescape(rest).map_err(|why| wrong(&why))?,
            }
            continue;
        }
        let (name, labels, value) = sample(line).map_err(|why| wrong(&why))?;
        let suffix = name.strip_prefix(&family.name);
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total", "_created"],
            "histogram" => &["_bucket", "_sum", "_count", "_created"],
            "gauge" | "unknown" => &[""],
            "info" => &["_info"],
            _ => return Err(wrong("of a type that is none or not ours")),
        };
        let suffix = suffix.filter(|suffix| suffixes.contains(suffix));
        let Some(suffix) = suffix else {
            return Err(wrong("no sample of its family"));
        };
        if suffix != "_sum" && family.kind != "gauge" && (value < 0.0 || value.is_nan()) {
            return Err(wrong("less than nothing"));
        }
        if matches!(suffix, "_bucket" | "_count") && value.fract() != 0.0 {
            return Err(wrong("no whole number"));
        }
        if family.kind == "info" && value != 1.0 {
            return Err(wrong("an info is 1"));
        }
        if labels.contains_key("le") != (suffix == "_bucket") {
            return Err(wrong("a bucket has le, and nothing else has"));
        }
        let twice = |(other, its, _): &(String, BTreeMap<String, String>, f64)| {
            *other == name && *its == labels
        };
        if family.samples.iter().any(twice) {
            return Err(wrong("twice"));
        }
        samples += 1;
        family.samples.push((name, labels, value));
    }
    finish(&family)?;
    // What a family's samples are called, no other family is.
    for name in &names {
        for suffix in ["_total", "_bucket", "_sum", "_count", "_created", "_info"] {
            if names.contains(&format!("{name}{suffix}")) {
                return Err(format!("{name} and {name}{suffix} are families"));
            }
        }
    }
    Ok(samples)
}

/// What can be said of a family once it is whole.
fn finish(family: &Family) -> Result<(), String> {
    let reserved = ["_total", "_info", "_created", "_bucket"];
    if let Some(suffix) = reserved.iter().find(|it| family.name.ends_with(**it)) {
        return Err(format!("family {} ends with {suffix}", family.name));
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let mut histograms: BTreeMap<BTreeMap<String, String>, Histogram> = BTreeMap::new();
    for (name, labels, value) in &family.samples {
        let mut of = labels.clone();
        let le = of.remove("le");
        let entry = histograms.entry(of).or_default();
        match le {
            Some(le) => {
                let canonical = le == "+Inf" || le.contains('.') && !le.contains('e');
                let bound: f64 = le.parse().map_err(|_| format!("le={le} is no number"))?;
                if !canonical {
                    return Err(format!("le={le} is not written as a float"));
                }
                entry.buckets.push((bound, *value));
            }
            None if name.ends_with("_sum") => entry.sum = Some(*value),
            None => entry.count = Some(*value),
        }
    }
    let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
    for Histogram {
        buckets,
        sum,
        count,
    } in histograms.values()
    {
        let whole = buckets.last().is_some_and(|(bound, below)| {
            *bound == f64::INFINITY && Some(*below) == *count && sum.is_some()
        });
        if !whole || !buckets.windows(2).all(rises) {
            return Err(format!("the buckets of {} do not add up", family.name));
        }
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    !name.is_empty() && name.bytes().all(good) && !name.starts_with(|it: char| it.is_ascii_digit())
}

/// No backslash but before what may stand behind one, and no bare quotation mark.
fn unescape(text: &str) -> Result<(), String> {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if matches!(letters.next(), Some('\\' | '"' | 'n')) => {}
            '\\' | '"' | '\n' => return Err("not escaped".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn sample(line: &str) -> Result<(String, BTreeMap<String, String>, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("no name".to_owned());
    }
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, behind) = inside.split_once("=\"").ok_or("a label without a value")?;
            let mut end = None;
            let mut escaped = false;
            for (at, letter) in behind.char_indices() {
                match (letter, escaped) {
                    ('"', false) => {
                        end = Some(at);
                        break;
                    }
                    ('\\', false) => escaped = true,
                    _ => escaped = false,
                }
            }
            let end = end.ok_or("a label without an end")?;
            unescape(&behind[..end])?;
            if !is_name(label, false)
                || labels
                    .insert(label.to_owned(), behind[..end].to_owned())
                    .is_some()
            {
                return Err("no label, or one that was there".to_owned());
            }
            inside = &behind[end + 1..];
            if let Some(next) = inside.strip_prefix(',') {
                inside = next;
            } else if !inside.starts_with('}') {
                return Err("something behind a label".to_owned());
            }
        }
        rest = &inside[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    let number = value
        .bytes()
        .all(|it| it.is_ascii_digit() || b"+-.e".contains(&it));
    if !number && !["+Inf", "-Inf", "NaN"].contains(&value) {
        return Err("no value".to_owned());
    }
    let value = value.parse().map_err(|_| "no value")?;
    Ok((name.to_owned(), labels, value))
}

fn open(node: &Node) -> String {
    Request::get(&node.url, "/metrics")
        .header("accept", "application/openmetrics-text; version=1.0.0")
        .send()
        .text
}

/// Two nodes at work, with names that want escaping.
#[test]
fn the_figures_are_open_metrics_to_the_letter() {
    let (at_one, at_two) = (address(), address());
    let more = relation("instance1", "instance2", at_two).replace(
        "type=outbound-publish\n",
        "type=outbound-publish\n@canary=yes\n",
    ) + "[a\"b\\c]\ntype=endpoint\n[a\"b\\c]\ntype=outbound-publish\nserver_uri=sip:x@127.0.0.9\nevent=asterisk-mwi\n";
    let one = Node::start(at_one, &format!("entity_id={ONE}"), &more);
    let _two = start_two(at_two, at_one);
    one.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let text = wait_for("a confirmed state and a canary", || {
        let text = open(&one);
        let told =
            "lampwire_publisher_confirmed_states_total{publisher=\"instance2-devicestate\"} 1";
        (text.contains(told) && text.contains("lampwire_publisher_canary_seconds_bucket"))
            .then_some(text)
    });
    match read(&text) {
        Ok(samples) => assert!(samples > 100, "{samples}\n{text}"),
        Err(wrong) => panic!("{wrong}\n{text}"),
    }
    for part in [
        "# TYPE lampwire_build info\n",
        "lampwire_build_info{version=",
        "publisher=\"a\\\"b\\\\c\"",
        ",le=\"1.0\"}",
        "# TYPE lampwire_states_received counter\n",
        "lampwire_states_received_total{",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// The reader is strict.
#[test]
fn what_is_no_open_metrics_is_found_out() {
    let good = "# TYPE a counter\n# HELP a Help.\na_total{b=\"c\\\"\"} 1\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\n\
                h_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n# TYPE i info\ni_info{x=\"y\"} 1\n# EOF\n";
    assert_eq!(read(good), Ok(6));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "\n# EOF\n"),
        ("a_total{", "a{"),
        ("# TYPE a counter", "# TYPE a_total counter"),
        ("b=\"c\\\"\"", "b=\"c\"\""),
        ("b=\"c\\\"\"", "b=\"c\\x\""),
        ("b=\"c\\\"\"", "1=\"c\""),
        ("b=\"c\\\"\"", "b=\"c\",b=\"d\""),
        ("} 1\n", "} one\n"),
        ("} 1\n", "}  1\n"),
        ("} 1\n", "} -1\n"),
        ("le=\"1.0\"", "le=\"1\""),
        ("h_bucket{le=\"+Inf\"} 2\n", ""),
        ("h_bucket{le=\"+Inf\"} 2\n", "h_bucket{le=\"+Inf\"} 0\n"),
        ("h_count 2", "h_count 3"),
        ("h_sum 3.5\n", ""),
        ("# TYPE h histogram\n", ""),
        ("# TYPE i info\n", "# TYPE a info\n"),
        ("# TYPE i info\n", "# TYPE i gauge\n"),
        (
            "i_info{x=\"y\"} 1\n",
            "i_info{x=\"y\"} 1\ni_info{x=\"y\"} 1\n",
        ),
        ("# HELP a Help.\n", "# HELP a A \"b\".\n"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(read(&bad).is_err(), "{from} -> {to}");
    }
}
