//! Findings for programs: our own JSON, and SARIF 2.1.0.

use lampwire_conf::check::{Instance, Verdict, Web};
use lampwire_conf::findings::GROUPS;
use lampwire_conf::{Diagnostic, Severity};
use serde_json::{Value, json};

use super::count;

/// Everything that was found out.
pub(super) fn json(instances: &[Instance], web: &Web) -> Value {
    let name = |index: usize| instances.get(index).map(|it| it.name.as_str());
    let links: Vec<Value> = web
        .links
        .iter()
        .map(|link| {
            let (verdict, code) = match link.verdict {
                Verdict::Works => ("works", None),
                Verdict::Unknown => ("unknown", None),
                Verdict::Filtered(code) => ("filtered", Some(code)),
                Verdict::Fails(code) => ("fails", Some(code)),
            };
            json!({
                "from": name(link.from),
                "to": name(link.to),
                "event": link.event.as_str(),
                "publish": link.publish,
                "sends": link.sends,
                "takes": link.takes,
                "verdict": verdict,
                "code": code,
            })
        })
        .collect();
    let instances: Vec<Value> = instances
        .iter()
        .map(|instance| {
            json!({
                "name": instance.name,
                "kind": instance.kind.as_str().to_ascii_lowercase(),
                "address": instance.address.as_ref().map(|address| &address.host),
                "entity_id": instance.entity_id.map(|eid| eid.to_string()),
            })
        })
        .collect();
    let findings: Vec<Value> = web.findings.iter().map(finding).collect();
    json!({
        "instances": instances,
        "findings": findings,
        "links": links,
        "errors": count(&web.findings, Severity::Error),
        "warnings": count(&web.findings, Severity::Warning),
        "notes": count(&web.findings, Severity::Note),
    })
}

fn finding(found: &Diagnostic) -> Value {
    json!({
        "severity": found.severity.as_str(),
        "code": found.code,
        "file": &*found.at.file,
        "line": found.at.line,
        "column": found.at.column,
        "message": found.message,
        "effect": found.effect(),
        "help": found.mend(),
    })
}

/// The same as editors read it (OASIS SARIF 2.1.0).
pub(super) fn sarif(web: &Web) -> Value {
    let codes: Vec<_> = GROUPS.iter().flat_map(|group| group.codes).collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.name,
                "shortDescription": { "text": code.means },
                "fullDescription": { "text": format!("On the wire: {}.", code.effect) },
                "help": { "text": format!("To mend it: {}.", code.mend) },
                "defaultConfiguration": { "level": code.severity.as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = web
        .findings
        .iter()
        .map(|found| {
            let mut text = found.message.clone();
            for more in [found.effect(), found.mend()].into_iter().flatten() {
                text.push_str(". ");
                text.push_str(more);
            }
            let mut place = json!({ "artifactLocation": { "uri": uri(&found.at.file) } });
            // Line 0 is the whole file, which SARIF says by leaving the region out.
            if found.at.line > 0 {
                place["region"] = json!({
                    "startLine": found.at.line,
                    "startColumn": found.at.column.max(1),
                });
            }
            json!({
                "ruleId": found.code,
                "ruleIndex": codes.iter().position(|code| code.name == found.code),
                "level": found.severity.as_str(),
                "message": { "text": text },
                "locations": [{ "physicalLocation": place }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "lampwire check",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a URI reference (RFC 3986): an absolute one with its scheme, another as it is, what must be is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("/etc/a b.conf"), "file:///etc/a%20b.conf");
        assert_eq!(uri("etc/a.conf"), "etc/a.conf");
    }
}
