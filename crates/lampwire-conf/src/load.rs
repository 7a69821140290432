//! Sections -> configuration: each section by its type, then what holds between them.

mod check;

pub(crate) use check::is_open;

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Findings, Location, Severity, quote};
use crate::grammar::{self, Section};
use crate::nearest::nearest;
use crate::options::{OTHER_TYPES, SECTIONS, SectionSpec, section_spec};
use crate::section::{
    Context, Options, Reference, acl, ami, api_client, asterisk_publication, auth, cluster,
    endpoint, global, identify, inbound_publication, lampwire, outbound_publish, rewrite, system,
    transport,
};
use crate::source::Source;

/// Reads the file and all it includes. It never stops at the first error: the diagnostics are all there are, in the order of
/// files and lines. The configuration is usable only if none of them is an error.
///
/// ```
/// use lampwire_conf::{MapSource, Severity, load};
///
/// let text = "[instance1]\ntype=endpoint\nidentify_by=user\n";
/// let (_, diagnostics) = load("pjsip.conf", &mut MapSource::new([("pjsip.conf", text)]));
/// let errors: Vec<String> =
///     diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.to_string()).collect();
/// assert_eq!(errors, ["pjsip.conf:3:13: error: `user` is no value of `identify_by` (one of ip, username, \
///     auth_username, header, request_uri, anonymous)"]);
/// ```
pub fn load(path: &str, source: &mut dyn Source) -> (Config, Vec<Diagnostic>) {
    load_and(path, source, |_, _| ())
}

/// The same, with more findings about what was read.
pub(crate) fn load_and(
    path: &str,
    source: &mut dyn Source,
    more: impl FnOnce(&Config, &mut Findings),
) -> (Config, Vec<Diagnostic>) {
    let main: Arc<str> = Arc::from(path);
    let mut findings = Findings::default();
    let sections = grammar::read(path, source, &mut findings);
    let typed = by_type(&sections, &mut findings);
    let mut context = Context {
        findings: &mut findings,
        source,
        references: Vec::new(),
        skipped: HashMap::new(),
    };
    let mut config = build(&typed.ours, &mut context);
    let Context {
        references,
        skipped,
        ..
    } = context;
    resolve(&references, &skipped, &typed, &mut findings);
    check::transports(&mut config, &typed.ours, &skipped, &main, &mut findings);
    check::drop_skipped(&mut config, &skipped);
    check::relations(&config, &mut findings);
    rewrite::compare(&config.rewrites, &mut findings);
    more(&config, &mut findings);
    (config, findings.finish(&main))
}

/// The sections of a load that are no templates, by type.
struct Typed<'a> {
    /// Those of our types, duplicates left out.
    ours: Vec<(&'a Section, &'static SectionSpec)>,
    /// Name -> every section that bears it: its type, where that is known, and where it stands.
    names: HashMap<&'a str, Vec<(Option<&'a str>, &'a Location)>>,
}

fn by_type<'a>(sections: &'a [Section], findings: &mut Findings) -> Typed<'a> {
    let mut typed = Typed {
        ours: Vec::new(),
        names: HashMap::new(),
    };
    let mut first: HashMap<(&'static str, &str), &Location> = HashMap::new();
    // Type -> how many, in the order in which they are met.
    let mut passed_over: Vec<(&'static str, usize)> = Vec::new();
    let mut first_passed_over = None;
    for section in sections.iter().filter(|section| !section.template) {
        let line = section
            .lines
            .iter()
            .rev()
            .find(|line| line.entry.name.eq_ignore_ascii_case("type"));
        let entry = line
            .map(|line| &*line.entry)
            .filter(|entry| !entry.value.is_empty());
        let name = section.name.as_str();
        typed
            .names
            .entry(name)
            .or_default()
            .push((entry.map(|entry| entry.value.as_str()), &section.at));
        let Some(entry) = entry else {
            if !section.incomplete {
                let own = section_spec(name).map_or("endpoint", |spec| spec.name);
                findings.error_with_help(
                    "missing-type",
                    &section.at,
                    format!("section {} has no `type`", quote(name)),
                    format!("as in `type={own}`"),
                );
            }
            continue;
        };
        if let Some(spec) = section_spec(&entry.value) {
            let key = if spec.single { "" } else { name };
            match first.get(&(spec.name, key)) {
                Some(other) => {
                    let message = if spec.single {
                        format!("a second section of type={}", spec.name)
                    } else {
                        format!("a second section {} of type={}", quote(name), spec.name)
                    };
                    let help = format!("the first is at line {} of {}", other.line, other.file);
                    findings.error_with_help("duplicate-section", &section.at, message, help);
                }
                None => {
                    first.insert((spec.name, key), &section.at);
                    typed.ours.push((section, spec));
                }
            }
        } else if let Some(other) = OTHER_TYPES.iter().find(|other| **other == entry.value) {
            first_passed_over.get_or_insert(&section.at);
            match passed_over.iter_mut().find(|(known, _)| known == other) {
                Some((_, count)) => *count += 1,
                None => passed_over.push((other, 1)),
            }
        } else {
            let all = SECTIONS
                .iter()
                .map(|spec| spec.name)
                .chain(OTHER_TYPES.iter().copied());
            let help = match nearest(&entry.value, all) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let names: Vec<&str> = SECTIONS.iter().map(|spec| spec.name).collect();
                    format!("those of the exchange are {}", names.join(", "))
                }
            };
            let message = format!("unknown type {}", quote(&entry.value));
            findings.error_with_help("unknown-type", &entry.value_at, message, help);
        }
    }
    if let Some(at) = first_passed_over {
        let counts: Vec<String> = passed_over
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let message = format!(
            "sections that do not concern the exchange are skipped: {}",
            counts.join(", ")
        );
        findings.note("types-skipped", at, message);
    }
    typed
}

fn build(sections: &[(&Section, &'static SectionSpec)], context: &mut Context<'_>) -> Config {
    let mut config = Config::default();
    // Credentials take their defaults from it, wherever it stands.
    for (section, spec) in sections
        .iter()
        .filter(|(_, spec)| spec.name == global::SPEC.name)
    {
        config.global = global::read(&mut Options::new(section, spec, context));
    }
    for (section, spec) in sections {
        let mut options = Options::new(section, spec, context);
        let options = &mut options;
        match spec.name {
            "lampwire" => config.lampwire = lampwire::read(options),
            "global" => {}
            "system" => config.system = system::read(options),
            "transport" => config.transports.extend(transport::read(options)),
            "endpoint" => config.endpoints.push(endpoint::read(options)),
            "auth" => config.auths.extend(auth::read(options, &config.global)),
            "identify" => config.identifies.extend(identify::read(options)),
            "acl" => config.acls.push(acl::read(options)),
            "ami" => config.amis.extend(ami::read(options)),
            "api-client" => config.api_clients.extend(api_client::read(options)),
            "cluster" => config.cluster = cluster::read(options),
            "rewrite" => config.rewrites.extend(rewrite::read(options)),
            "outbound-publish" => config
                .outbound_publishes
                .extend(outbound_publish::read(options)),
            "inbound-publication" => config
                .inbound_publications
                .push(inbound_publication::read(options)),
            "asterisk-publication" => config
                .asterisk_publications
                .push(asterisk_publication::read(options)),
            other => debug_assert!(false, "{other} is in the table and is not read"),
        }
    }
    config
}

/// Every name that refers to a section: is there one, and is it of the right type?
fn resolve(
    references: &[Reference],
    skipped: &HashMap<(&'static str, String), String>,
    typed: &Typed<'_>,
    findings: &mut Findings,
) {
    for reference in references {
        let found = typed
            .names
            .get(reference.name.as_str())
            .map_or(&[][..], Vec::as_slice);
        let is_of = |wanted: &str| {
            found
                .iter()
                .any(|(found, _)| found.is_none_or(|found| found == wanted))
        };
        if is_of(reference.wanted) || reference.or.is_some_and(is_of) {
            let why = skipped.get(&(reference.wanted, reference.name.clone()));
            if let (Some(why), Some(severity)) = (why, reference.skipped) {
                let message = format!(
                    "{} in `{}` is skipped: {why}",
                    quote(&reference.name),
                    reference.option
                );
                findings.add(severity, "skipped-reference", &reference.at, message, None);
            }
            continue;
        }
        let or = reference.or.map(|or| format!(" or type={or}"));
        let message = format!(
            "{} in `{}` is no section of type={}{}",
            quote(&reference.name),
            reference.option,
            reference.wanted,
            or.unwrap_or_default()
        );
        let help = match found.first() {
            Some((Some(other), at)) => Some(format!(
                "the one at line {} of {} is of type={other}",
                at.line, at.file
            )),
            Some((None, _)) | None if findings.is_full() => None,
            Some((None, _)) | None => {
                let named = |name| name == reference.wanted || Some(name) == reference.or;
                let names = typed.ours.iter().filter(|(_, spec)| named(spec.name));
                let names = names
                    .take(crate::limits::MAX_NEAREST_AMONG)
                    .map(|(section, _)| section.name.as_str());
                Some(match nearest(&reference.name, names) {
                    Some(near) => format!("did you mean {}?", quote(near)),
                    None if reference.missing == Severity::Warning => {
                        "peers that publish to it are answered 404".to_owned()
                    }
                    None => format!(
                        "add a section {} with type={}",
                        quote(&format!("[{}]", reference.name)),
                        reference.wanted
                    ),
                })
            }
        };
        findings.add(
            reference.missing,
            "dangling-reference",
            &reference.at,
            message,
            help,
        );
    }
}
