//! `lampwire explain`: why a lamp is lit, or is not.

use std::io::Write;

use serde_json::Value;

use super::client::{Client, encoded, is_not_found};
use super::node::NodeArguments;
use super::output;
use super::show::{ago, speaker};
use super::table::{Table, colour_of};
use crate::http::types::explain::{Clear, DeviceExplanation, MailboxExplanation, Trail};

/// Say why a device or mailbox shows what it shows
///
/// Every node's value, how the sum came about, which filters keep it out, which peers have confirmed it, what happened lately, and the
/// command that clears a state where it was set.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The device, as PJSIP/1001, or the mailbox, as 100@default
    #[arg(value_name = "DEVICE|MAILBOX")]
    name: String,

    #[command(flatten)]
    node: NodeArguments,
}

/// What was found.
enum Found {
    Device(DeviceExplanation),
    Mailbox(MailboxExplanation),
}

impl Arguments {
    /// Asks and prints.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let client = self.node.client()?;
        let json = self.ask(&client)?;
        if self.node.json {
            return output::print_json(&json);
        }
        let found = match json.get("device") {
            Some(_) => Found::Device(serde_json::from_value(json)?),
            None => Found::Mailbox(serde_json::from_value(json)?),
        };
        let mut out = output::stdout();
        self.print(&mut out, &found)?;
        out.flush()?;
        Ok(())
    }

    /// A name can be both a device's and a mailbox's; what it looks like is asked for first.
    fn ask(&self, client: &Client) -> anyhow::Result<Value> {
        let kinds = match self.name.contains('@') && !self.name.contains(['/', ':']) {
            true => ["mailboxes", "devices"],
            false => ["devices", "mailboxes"],
        };
        let ask = |kind: &str| client.get(&format!("explain/{kind}/{}", encoded(&self.name)), &[]);
        match ask(kinds[0]) {
            Err(error) if is_not_found(&error) => ask(kinds[1]).map_err(|_| error),
            answer => answer,
        }
    }

    fn print(&self, out: &mut impl Write, found: &Found) -> anyhow::Result<()> {
        let colour = self.node.colour();
        let (name, sum, trail) = match found {
            Found::Device(it) => (&it.device, &it.sum, &it.trail),
            Found::Mailbox(it) => (&it.mailbox, &it.sum, &it.trail),
        };
        let sum = output::plain(sum);
        let sum = match sum.split_once(':') {
            Some((state, rest)) => format!("{}:{rest}", painted(state, colour)),
            None => sum.into_owned(),
        };
        writeln!(out, "{}\n{sum}", output::plain(name))?;
        let clears = match found {
            Found::Device(it) => {
                let head = &["SAID BY", "STATE", "COUNTS", "SINCE", "ENTITY ID", "SOURCE"];
                let rows = it.entities.iter().map(|it| {
                    let entity = &it.entity;
                    let counts = match (it.counts, entity.lost, it.decides) {
                        (_, true, _) => "no: lost",
                        (false, false, _) => "no: not cachable",
                        (true, false, true) => "decides",
                        (true, false, false) => "yes",
                    };
                    vec![
                        speaker(entity.peer.as_deref(), &entity.source),
                        entity.state.clone(),
                        counts.to_owned(),
                        ago(&entity.updated_at),
                        entity.eid.clone(),
                        entity.source.clone(),
                    ]
                });
                self.table(out, head, rows.collect())?;
                it.entities.iter().map(|it| &it.clear).collect::<Vec<_>>()
            }
            Found::Mailbox(it) => {
                let head = &[
                    "SAID BY",
                    "NEW",
                    "OLD",
                    "COUNTS",
                    "SINCE",
                    "ENTITY ID",
                    "SOURCE",
                ];
                let rows = it.entities.iter().map(|it| {
                    let entity = &it.entity;
                    vec![
                        speaker(entity.peer.as_deref(), &entity.source),
                        entity.new.to_string(),
                        entity.old.to_string(),
                        if it.decides { "shown" } else { "no: older" }.to_owned(),
                        ago(&entity.updated_at),
                        entity.eid.clone(),
                        entity.source.clone(),
                    ]
                });
                self.table(out, head, rows.collect())?;
                it.entities.iter().map(|it| &it.clear).collect()
            }
        };
        self.print_trail(out, trail)?;
        print_clears(out, &clears)
    }

    fn print_trail(&self, out: &mut impl Write, trail: &Trail) -> anyhow::Result<()> {
        let told = trail.publishers.iter().flat_map(|it| {
            let row = move |what: String, delivery: &str| {
                let answer = it.last_answer.as_ref().map_or_else(
                    || "-".to_owned(),
                    |answer| format!("{} {}, {}", answer.status, answer.reason, ago(&answer.at)),
                );
                let peer = it.peer.clone().unwrap_or_else(|| "-".to_owned());
                vec![
                    peer,
                    it.publisher.clone(),
                    what,
                    delivery.to_owned(),
                    answer,
                ]
            };
            match (&it.why, it.values.is_empty()) {
                (Some(why), _) => vec![row("-".to_owned(), &format!("kept out: {why}"))],
                (None, true) => vec![row("-".to_owned(), "nothing to tell")],
                (None, false) => {
                    let values = it.values.iter();
                    values
                        .map(|it| {
                            let at = it.confirmed_at.as_deref();
                            let at = at.map(|at| format!(" {}", ago(at))).unwrap_or_default();
                            row(it.eid.clone(), &(it.delivery.clone() + &at))
                        })
                        .collect()
                }
            }
        });
        let head = &[
            "TOLD TO",
            "PUBLISHER",
            "ENTITY ID",
            "DELIVERY",
            "LAST ANSWER",
        ];
        self.table(out, head, told.collect())?;
        let kept_out: Vec<Vec<String>> = trail
            .publications
            .iter()
            .filter_map(|it| Some(vec![it.publication.clone(), it.why.clone()?]))
            .collect();
        self.table(out, &["NOT TAKEN BY", "WHY"], kept_out)?;
        if let Some(dropped) = &trail.dropped {
            let why = match dropped.cause.as_str() {
                "own-entity-id" => "it came under this node's own entity id",
                _ => "the asterisk-publication does not take it",
            };
            writeln!(
                out,
                "\ndropped {} times, the last {}: {} of {} over {}: {why}",
                dropped.count,
                ago(&dropped.at),
                output::plain(&dropped.said),
                output::plain(&dropped.eid),
                output::plain(&dropped.publication)
            )?;
        }
        let history = trail.history.iter().map(|it| {
            let nothing = || "-".to_owned();
            vec![
                ago(&it.at),
                speaker(it.peer.as_deref(), &it.source),
                it.previous.clone().unwrap_or_else(nothing),
                it.said.clone().unwrap_or_else(|| "taken back".to_owned()),
                it.eid.clone(),
            ]
        });
        self.table(
            out,
            &["LATELY", "WHO", "FROM", "TO", "ENTITY ID"],
            history.collect(),
        )
    }

    fn table(
        &self,
        out: &mut impl Write,
        head: &'static [&'static str],
        rows: Vec<Vec<String>>,
    ) -> anyhow::Result<()> {
        if !rows.is_empty() {
            writeln!(out)?;
            Table::new(head, self.node.colour()).print(out, &rows)?;
        }
        Ok(())
    }
}

fn print_clears(out: &mut impl Write, clears: &[&Clear]) -> anyhow::Result<()> {
    for clear in clears {
        let on = output::plain(&clear.on);
        match &clear.command {
            Some(command) => writeln!(out, "\nto clear it on {on}: {}", output::plain(command))?,
            None => writeln!(out, "\nto clear it on {on}:")?,
        }
        if let Some(note) = &clear.note {
            writeln!(out, "  {}", output::plain(note))?;
        }
    }
    Ok(())
}

fn painted(word: &str, colour: bool) -> String {
    match colour_of(word) {
        Some(code) if colour => format!("\x1b[{code}m{word}\x1b[0m"),
        Some(_) | None => word.to_owned(),
    }
}
