//! `lampwire show`: tables of what a node knows.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use lampwire_conf::Filter;

use super::client::Client;
use super::node::NodeArguments;
use super::output;
use super::table::Table;
use crate::http::types::cluster::{self, Cluster};
use crate::http::types::{
    Device, Devices, Mailbox, Mailboxes, Peer, Peers, Publication, Publications, Publisher,
    Publishers,
};

/// How many names are asked for at a time.
const PAGE: &str = "1000";

/// Show what a node knows
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to show
    what: What,

    /// Only those whose name this regular expression matches (POSIX extended, without case, as in filters)
    #[arg(value_name = "MATCH")]
    pattern: Option<String>,

    /// Show it again and again, every second or every SECONDS, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,

    #[command(flatten)]
    node: NodeArguments,
}

/// Moves to the upper left corner and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// The nodes on the other side
    Peers,
    /// Our outbound-publishes at work
    Publishers,
    /// What peers publish here
    Publications,
    /// Devices and what each entity says of them
    Devices,
    /// Mailboxes and their counts
    Mailboxes,
    /// The nodes of the cluster, and which of them is the home of what
    Cluster,
}

impl Arguments {
    /// Prints the table, once or again and again.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let client = self.node.client()?;
        let Some(seconds) = self.watch else {
            return self.print_once(&client);
        };
        loop {
            if std::io::stdout().is_terminal() {
                print!("{CLEAR}");
            }
            self.print_once(&client)?;
            if !self.node.json {
                println!();
            }
            std::thread::sleep(Duration::from_secs(seconds));
        }
    }

    fn print_once(&self, client: &Client) -> anyhow::Result<()> {
        match self.what {
            What::Devices => self.devices(client),
            What::Mailboxes => self.mailboxes(client),
            What::Peers => {
                let mut all: Peers = client.get("peers", &[])?;
                let filter = self.filter()?;
                all.peers.retain(|peer| wanted(&filter, &peer.name));
                if self.node.json {
                    output::print_json(&all)
                } else {
                    self.print_peers(&all.peers)
                }
            }
            What::Cluster => self.cluster(client),
            What::Publishers => {
                let mut all: Publishers = client.get("publishers", &[])?;
                let filter = self.filter()?;
                all.publishers
                    .retain(|publisher| wanted(&filter, &publisher.name));
                if self.node.json {
                    output::print_json(&all)
                } else {
                    self.print_publishers(&all.publishers)
                }
            }
            What::Publications => {
                let mut all: Publications = client.get("publications", &[])?;
                let filter = self.filter()?;
                all.publications
                    .retain(|one| wanted(&filter, &one.resource) || wanted(&filter, &one.endpoint));
                if self.node.json {
                    output::print_json(&all)
                } else {
                    self.print_publications(&all.publications)
                }
            }
        }
    }

    fn devices(&self, client: &Client) -> anyhow::Result<()> {
        let head = &["DEVICE", "STATE", "SAID BY", "SINCE"];
        let mut all = Vec::new();
        self.pages(
            client,
            "devices",
            Table::new(head, self.node.colour()),
            |page: Devices| (page.devices, page.next),
            device_row,
            &mut all,
        )?;
        self.finish(all, |devices| Devices {
            devices,
            next: None,
        })
    }

    fn mailboxes(&self, client: &Client) -> anyhow::Result<()> {
        let head = &["MAILBOX", "NEW", "OLD", "SAID BY", "SINCE"];
        let mut all = Vec::new();
        self.pages(
            client,
            "mailboxes",
            Table::new(head, self.node.colour()),
            |page: Mailboxes| (page.mailboxes, page.next),
            mailbox_row,
            &mut all,
        )?;
        self.finish(all, |mailboxes| Mailboxes {
            mailboxes,
            next: None,
        })
    }

    /// Goes through all pages: prints rows as they come, or collects the items where JSON is wanted.
    fn pages<P: serde::de::DeserializeOwned, T>(
        &self,
        client: &Client,
        path: &str,
        mut table: Table,
        parts: fn(P) -> (Vec<T>, Option<String>),
        row: fn(&T) -> Vec<String>,
        all: &mut Vec<T>,
    ) -> anyhow::Result<()> {
        let mut out = output::stdout();
        let mut after: Option<String> = None;
        let mut found = false;
        loop {
            let mut query = vec![("limit", PAGE)];
            query.extend(self.pattern.as_deref().map(|pattern| ("match", pattern)));
            query.extend(after.as_deref().map(|name| ("after", name)));
            let (items, next) = parts(client.get(path, &query)?);
            found |= !items.is_empty();
            if self.node.json {
                all.extend(items);
            } else {
                table.print(&mut out, &items.iter().map(row).collect::<Vec<_>>())?;
                out.flush()?;
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        if !found && !self.node.json {
            self.say_none(path);
        }
        Ok(())
    }

    /// Three tables: the nodes, the servers and the sites. A pattern chooses nodes and servers.
    fn cluster(&self, client: &Client) -> anyhow::Result<()> {
        let mut all: Cluster = client.get("cluster", &[])?;
        let filter = self.filter()?;
        all.nodes.retain(|node| wanted(&filter, &node.name));
        all.servers.retain(|server| {
            let names = server.ways.iter().flat_map(|way| [&way.peer, &way.node]);
            wanted(&filter, &server.entity_id)
                || names.into_iter().any(|name| wanted(&filter, name))
        });
        if self.node.json {
            return output::print_json(&all);
        }
        let mut out = output::stdout();
        let bus = match (&all.bus.server, &all.bus.problem) {
            (Some(server), _) => format!("{server}, {}", ago(&all.bus.since)),
            (None, why) => {
                let why = why.as_deref().unwrap_or("unknown");
                format!("no connection: {why}, {}", ago(&all.bus.since))
            }
        };
        writeln!(out, "cluster  {}", all.cluster)?;
        writeln!(out, "node     {} of site {}", all.node, all.site)?;
        writeln!(out, "stage    {}, {}", all.stage, ago(&all.stage_since))?;
        writeln!(out, "NATS     {}", output::plain(&bus))?;
        writeln!(out, "waiting  {} states to be put\n", all.waiting)?;
        out.flush()?;
        let head = &[
            "NODE",
            "STATUS",
            "SITE",
            "RANK",
            "HEARD",
            "BEGAN",
            "VERSION",
            "PROTOCOL",
            "STATES",
            "LAG",
            "HOME OF",
            "SPEAKS TO",
        ];
        let rows = all.nodes.iter().map(node_row).collect();
        self.print("nodes", head, rows)?;
        println!();
        let head = &["SERVER", "CALLED", "HOME", "SPEAKER", "HEARD BY", "TOLD BY"];
        let rows = all.servers.iter().map(server_row).collect();
        self.print("servers", head, rows)?;
        println!();
        let head = &[
            "SITE",
            "BUCKET",
            "READ TO",
            "WAITING",
            "LAST READ",
            "DOMAIN",
        ];
        let rows = all.sites.iter().map(|site| {
            vec![
                site.name.clone(),
                site.reading.clone(),
                site.read
                    .map_or_else(|| "-".to_owned(), |at| at.to_string()),
                site.pending.to_string(),
                site.read_at
                    .as_deref()
                    .map_or_else(|| "never".to_owned(), ago),
                or_dash(site.domain.as_deref()),
            ]
        });
        self.print("sites", head, rows.collect())
    }

    fn finish<T, P: serde::Serialize>(
        &self,
        all: Vec<T>,
        whole: impl FnOnce(Vec<T>) -> P,
    ) -> anyhow::Result<()> {
        if self.node.json {
            output::print_json(&whole(all))
        } else {
            Ok(())
        }
    }

    fn print_peers(&self, peers: &[Peer]) -> anyhow::Result<()> {
        let head = &[
            "PEER",
            "STATUS",
            "ENTITY ID",
            "HEARD",
            "ROUND TRIP",
            "CANARY",
            "BEHIND",
            "PUBLICATIONS",
            "ENDPOINTS",
            "NOTES",
        ];
        let rows = peers.iter().map(|peer| {
            vec![
                peer.name.clone(),
                peer.status.clone(),
                or_dash(peer.entity_id.as_deref()),
                peer.last_heard
                    .as_deref()
                    .map_or_else(|| "never".to_owned(), ago),
                milliseconds(peer.round_trip_ms),
                milliseconds(peer.canary_ms),
                peer.behind.to_string(),
                peer.publications.to_string(),
                or_dash(Some(&peer.endpoints.join(","))),
                peer.notes.join("; "),
            ]
        });
        self.print("peers", head, rows.collect())
    }

    fn print_publishers(&self, publishers: &[Publisher]) -> anyhow::Result<()> {
        let head = &[
            "PUBLISHER",
            "STATUS",
            "EVENT",
            "TO",
            "AT",
            "LANES",
            "BEHIND",
            "CONFIRMED",
            "REFUSED",
            "LAST ANSWER",
        ];
        let rows = publishers.iter().map(|publisher| {
            let open = publisher.lanes.iter().filter(|lane| lane.open).count();
            vec![
                publisher.name.clone(),
                publisher.status.clone(),
                publisher.event.clone(),
                publisher.server_uri.clone(),
                or_dash(publisher.target.as_deref()),
                open.to_string(),
                publisher.behind.to_string(),
                publisher.confirmed.to_string(),
                publisher.refused.to_string(),
                publisher.last_answer.as_ref().map_or_else(
                    || "-".to_owned(),
                    |answer| format!("{} {}, {}", answer.status, answer.reason, ago(&answer.at)),
                ),
            ]
        });
        self.print("publishers", head, rows.collect())
    }

    fn print_publications(&self, publications: &[Publication]) -> anyhow::Result<()> {
        let head = &[
            "ID", "ENDPOINT", "RESOURCE", "EVENT", "FROM", "STATES", "CHANGED", "EXPIRES",
        ];
        let rows = publications.iter().map(|publication| {
            vec![
                publication.id.to_string(),
                publication.endpoint.clone(),
                publication.resource.clone(),
                publication.event.clone(),
                publication.remote.clone(),
                publication.states.to_string(),
                ago(&publication.changed_at),
                ago(&publication.expires_at),
            ]
        });
        self.print("publications", head, rows.collect())
    }

    fn print(
        &self,
        what: &str,
        head: &'static [&'static str],
        rows: Vec<Vec<String>>,
    ) -> anyhow::Result<()> {
        if rows.is_empty() {
            self.say_none(what);
            return Ok(());
        }
        let mut out = output::stdout();
        Table::new(head, self.node.colour()).print(&mut out, &rows)?;
        out.flush()?;
        Ok(())
    }

    /// To standard error, so that a script that counts lines counts none.
    fn say_none(&self, what: &str) {
        match &self.pattern {
            Some(pattern) => eprintln!("no {what} that {pattern:?} matches"),
            None => eprintln!("no {what}"),
        }
    }

    fn filter(&self) -> anyhow::Result<Option<Filter>> {
        self.pattern
            .as_deref()
            .map(|pattern| {
                Filter::parse(pattern).map_err(|error| {
                    anyhow::anyhow!("{pattern:?} is no POSIX extended regular expression: {error}")
                })
            })
            .transpose()
            .context("MATCH")
    }
}

fn wanted(filter: &Option<Filter>, name: &str) -> bool {
    filter.as_ref().is_none_or(|filter| filter.is_match(name))
}

fn node_row(node: &cluster::Node) -> Vec<String> {
    let name = match node.own {
        true => format!("{} (asked)", node.name),
        false => node.name.clone(),
    };
    vec![
        name,
        node.status.clone(),
        node.site.clone(),
        node.rank.to_string(),
        node.last_heard
            .as_deref()
            .map_or_else(|| "-".to_owned(), ago),
        ago(&node.started_at),
        or_dash(node.version.as_deref()),
        node.protocol.to_string(),
        node.states.to_string(),
        match node.status.as_str() {
            "up" => node.lag.to_string(),
            _ => "-".to_owned(),
        },
        node.homes.to_string(),
        node.speaks.to_string(),
    ]
}

fn server_row(server: &cluster::Server) -> Vec<String> {
    let mut called: Vec<&str> = server.ways.iter().map(|way| way.peer.as_str()).collect();
    called.sort_unstable();
    called.dedup();
    let by = |which: fn(&cluster::Way) -> bool| {
        let ways = server.ways.iter().filter(|way| way.up && which(way));
        ways.map(|way| way.node.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    vec![
        server.entity_id.clone(),
        called.join(", "),
        or_dash(server.home.as_deref()),
        or_dash(server.speaker.as_deref()),
        or_dash(Some(&by(|way| way.hears))),
        or_dash(Some(&by(|way| way.tells))),
    ]
}

fn device_row(device: &Device) -> Vec<String> {
    let several = device.entities.len() > 1;
    let said_by = device.entities.iter().map(|entity| {
        let mut who = speaker(entity.peer.as_deref(), &entity.source);
        if several {
            who = format!("{who} {}", entity.state);
        }
        if entity.lost {
            who.push_str(" (lost)");
        }
        if !entity.cachable {
            who.push_str(" (not cachable)");
        }
        who
    });
    let newest = device
        .entities
        .iter()
        .map(|entity| entity.updated_at.as_str())
        .max();
    vec![
        device.device.clone(),
        device.state.clone(),
        said_by.collect::<Vec<_>>().join(", "),
        newest.map(ago).unwrap_or_default(),
    ]
}

fn mailbox_row(mailbox: &Mailbox) -> Vec<String> {
    let mut who = speaker(mailbox.peer.as_deref(), &mailbox.source);
    if mailbox.lost {
        who.push_str(" (lost)");
    }
    vec![
        mailbox.mailbox.clone(),
        mailbox.new.to_string(),
        mailbox.old.to_string(),
        who,
        ago(&mailbox.updated_at),
    ]
}

/// Who said something, in a word.
pub(crate) fn speaker(peer: Option<&str>, source: &str) -> String {
    match (peer, source) {
        (Some(peer), _) => peer.to_owned(),
        (None, "local") => "this node".to_owned(),
        (None, source) => source.to_owned(),
    }
}

fn milliseconds(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

fn or_dash(text: Option<&str>) -> String {
    match text {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    }
}

/// A moment as people say it: `3 s ago`, `in 58 min`. What is no moment is shown as it is.
pub(crate) fn ago(at: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(moment) => distance(Timestamp::now().duration_since(moment).as_secs()),
        Err(_) => at.to_owned(),
    }
}

fn distance(seconds: i64) -> String {
    let span = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        n @ 1..=119 => format!("{n} s"),
        n @ 120..=7199 => format!("{} min", n / 60),
        n @ 7200..=172_799 => format!("{} h", n / 3600),
        n => format!("{} days", n / 86_400),
    };
    if seconds > 0 {
        format!("{span} ago")
    } else {
        format!("in {span}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::types::Entity;

    #[test]
    fn distances_are_told_in_one_unit() {
        for (seconds, text) in [
            (0, "now"),
            (1, "1 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (-3599, "in 59 min"),
            (7200, "2 h ago"),
            (200_000, "2 days ago"),
        ] {
            assert_eq!(distance(seconds), text);
        }
    }

    #[test]
    fn a_device_shows_who_says_what() {
        let entity = |peer: Option<&str>, state: &str, lost| Entity {
            eid: "02:00:00:00:00:01".to_owned(),
            state: state.to_owned(),
            cachable: true,
            source: if peer.is_some() {
                "publication"
            } else {
                "local"
            }
            .to_owned(),
            peer: peer.map(str::to_owned),
            updated_at: "not a moment".to_owned(),
            lost,
        };
        let mut device = Device {
            device: "PJSIP/1".to_owned(),
            state: "INUSE".to_owned(),
            entities: vec![entity(None, "INUSE", false)],
        };
        assert_eq!(
            device_row(&device),
            ["PJSIP/1", "INUSE", "this node", "not a moment"]
        );
        device.entities.push(entity(Some("office2"), "BUSY", true));
        assert_eq!(
            device_row(&device)[2],
            "this node INUSE, office2 BUSY (lost)"
        );
    }
}
