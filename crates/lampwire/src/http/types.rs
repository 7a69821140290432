//! What stands in the bodies of the interface: types of their own, so that neither the core nor a command of this
//! program can change them by accident. The server writes them, the commands read them.

pub(crate) mod cluster;
pub(crate) mod explain;

use std::time::Duration;

use lampwire_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits;
use super::problem::Problem;
use crate::store;

/// A device and what each entity says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Device {
    pub(crate) device: String,
    /// The sum of the entities' states.
    pub(crate) state: String,
    pub(crate) entities: Vec<Entity>,
}

/// What one entity says of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Entity {
    pub(crate) eid: String,
    pub(crate) state: String,
    pub(crate) cachable: bool,
    /// `local`, `publication`, `ami` or `cluster`.
    pub(crate) source: String,
    /// `null`: this node itself.
    pub(crate) peer: Option<String>,
    pub(crate) updated_at: String,
    /// The entity is lost: the state is its last and does not count. Absent: false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) lost: bool,
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Mailbox {
    pub(crate) mailbox: String,
    pub(crate) new: u16,
    pub(crate) old: u16,
    pub(crate) eid: String,
    pub(crate) source: String,
    pub(crate) peer: Option<String>,
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) lost: bool,
}

/// The counts of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) new: u16,
    pub(crate) old: u16,
}

/// A page of devices.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Devices {
    pub(crate) devices: Vec<Device>,
    /// Where to go on: `after=` of the next request. `null`: that was all.
    pub(crate) next: Option<String>,
}

/// A page of mailboxes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Mailboxes {
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) next: Option<String>,
}

/// A node on the other side.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) entity_id: Option<String>,
    /// `up`, `down` or `unknown`.
    pub(crate) status: String,
    pub(crate) endpoints: Vec<String>,
    pub(crate) publishers: Vec<String>,
    /// How many publications it has here.
    pub(crate) publications: usize,
    pub(crate) last_heard: Option<String>,
    pub(crate) round_trip_ms: Option<f64>,
    /// How long the last canary took there and back (`@canary`).
    pub(crate) canary_ms: Option<f64>,
    /// States that it has not confirmed yet; among the oldest 65,536 changes of each of its publishers.
    pub(crate) behind: u64,
    pub(crate) notes: Vec<String>,
}

/// How the node stands, on one screen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Status {
    /// Its own entity id.
    pub(crate) entity_id: String,
    pub(crate) version: String,
    pub(crate) started_at: String,
    /// States kept, of devices and mailboxes and of all entities.
    pub(crate) states: usize,
    pub(crate) peers: PeerCounts,
    pub(crate) publications: usize,
    /// States that peers have not confirmed yet; among the oldest 65,536 changes of each publisher.
    pub(crate) behind: u64,
    /// Clients that follow events.
    pub(crate) followers: usize,
    /// What an operator should know, each with the peer it is about.
    pub(crate) notes: Vec<String>,
    pub(crate) store: Store,
    /// `null`: the node is in no cluster.
    pub(crate) cluster: Option<cluster::Share>,
}

/// What survives a restart.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Store {
    /// `ok`, `off` (no `state_dir`) or `memory-only` (nothing can be written at the moment).
    pub(crate) condition: String,
    /// Why nothing can be written.
    pub(crate) problem: Option<String>,
    /// Since when.
    pub(crate) since: Option<String>,
    /// Bytes on the disk.
    pub(crate) bytes: u64,
    /// When something was written last.
    pub(crate) saved_at: Option<String>,
}

impl From<store::Figures> for Store {
    fn from(figures: store::Figures) -> Self {
        let condition = figures.condition.as_str().to_owned();
        let (problem, since) = match figures.condition {
            store::Condition::MemoryOnly { why, since } => (Some(why), Some(since.to_string())),
            store::Condition::Off | store::Condition::Ok => (None, None),
        };
        let saved = figures.saved_at.as_millis() != 0;
        Self {
            condition,
            problem,
            since,
            bytes: figures.size.live + figures.size.journal,
            saved_at: saved.then(|| figures.saved_at.to_string()),
        }
    }
}

/// Peers by their status.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PeerCounts {
    pub(crate) up: usize,
    pub(crate) down: usize,
    pub(crate) unknown: usize,
}

impl From<core::PeerCounts> for PeerCounts {
    fn from(counts: core::PeerCounts) -> Self {
        let core::PeerCounts { up, down, unknown } = counts;
        Self { up, down, unknown }
    }
}

/// The answer of /readyz.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Readiness {
    /// `ready`.
    pub(crate) status: String,
    pub(crate) version: String,
    pub(crate) peers: PeerCounts,
    /// Whether states survive a restart: `off`, `ok`, `memory-only`.
    pub(crate) store: String,
    /// The connection to NATS: `off` where the node is of no cluster, `up`, `down`.
    pub(crate) bus: String,
}

/// All peers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Peers {
    pub(crate) peers: Vec<Peer>,
}

/// An outbound-publish at work.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Publisher {
    pub(crate) name: String,
    pub(crate) peer: Option<String>,
    pub(crate) event: String,
    pub(crate) server_uri: String,
    /// Where the datagrams go, once it is known.
    pub(crate) target: Option<String>,
    /// `idle`, `publishing`, `back-off`, `resolving` or `stopped`.
    pub(crate) status: String,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) behind: u64,
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
    pub(crate) last_answer: Option<Answer>,
    pub(crate) retry_at: Option<String>,
}

/// One of the publications that a publisher keeps at its peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Lane {
    pub(crate) index: u16,
    /// The peer has given it an entity tag.
    pub(crate) open: bool,
    /// When the publication began; `null` also where that was before this start of the node.
    pub(crate) opened_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) in_flight: bool,
}

/// The last final answer of a peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) at: String,
}

/// All publishers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Publishers {
    pub(crate) publishers: Vec<Publisher>,
}

/// What a peer publishes here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Publication {
    pub(crate) id: u32,
    pub(crate) endpoint: String,
    pub(crate) resource: String,
    pub(crate) event: String,
    pub(crate) remote: String,
    pub(crate) created_at: String,
    pub(crate) changed_at: String,
    pub(crate) expires_at: String,
    /// How many states have come over it.
    pub(crate) states: u64,
}

/// All publications.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Publications {
    pub(crate) publications: Vec<Publication>,
}

/// Body of `PUT /api/v1/devices/{device}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetDevice {
    pub(crate) state: String,
    #[serde(default = "yes")]
    pub(crate) cachable: bool,
    /// Seconds after which it is taken back unless it is set again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u32>,
}

/// Body of `PUT /api/v1/mailboxes/{uniqueid}`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetMailbox {
    pub(crate) new: u16,
    #[serde(default)]
    pub(crate) old: u16,
    /// Seconds after which it is taken back unless it is set again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u32>,
}

/// The time after which a state is to be taken back, from 1 s to 30 days.
pub(crate) fn lifetime(ttl: Option<u32>) -> Result<Option<Duration>, Problem> {
    match ttl {
        Some(ttl) if !(1..=limits::TTL_MAX).contains(&ttl) => Err(Problem::unprocessable(
            "bad-ttl",
            format!(
                "ttl is a number of seconds from 1 to {}, not {ttl}",
                limits::TTL_MAX
            ),
        )),
        ttl => Ok(ttl.map(|ttl| Duration::from_secs(ttl.into()))),
    }
}

/// Body of `POST /api/v1/refresh`, which may also be empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    #[serde(default)]
    pub(crate) publisher: Option<String>,
}

/// Answer to `POST /api/v1/refresh`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Refreshed {
    /// How many publishers carry the request to their peer.
    pub(crate) asked: usize,
}

/// Answer to `POST /api/v1/reload`: what is another now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Reloaded {
    /// Sections that are not as they were.
    pub(crate) changes: Vec<SectionChange>,
    /// How many sections are as they were.
    pub(crate) unchanged: usize,
    /// What peers are told otherwise.
    pub(crate) relations: Vec<RelationChange>,
    /// What an operator should know of.
    pub(crate) warnings: Vec<ReloadWarning>,
    /// What else was found in the file; no errors.
    pub(crate) findings: Vec<Finding>,
}

/// A section that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SectionChange {
    /// Its type, as `outbound-publish`.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// `added`, `removed` or `changed`.
    pub(crate) change: String,
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RelationChange {
    pub(crate) publish: String,
    /// `begun` (its peer is told everything), `goes-on` (its peer is told otherwise) or `ends`.
    pub(crate) change: String,
    /// Devices that its peer is told to forget.
    pub(crate) retracted: usize,
    /// States that its peer is told beside those that it has.
    pub(crate) added: usize,
}

/// What an operator should know of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReloadWarning {
    /// `peer-silenced`, `publication-ended`, `not-retracted` or `client-gone`.
    pub(crate) code: String,
    /// The peer that it is about.
    pub(crate) peer: Option<String>,
    pub(crate) text: String,
}

/// Something that was found in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Finding {
    /// `error`, `warning` or `note`.
    pub(crate) severity: String,
    pub(crate) code: String,
    pub(crate) file: String,
    /// From 1; 0: the whole file.
    pub(crate) line: u32,
    /// From 1; 0: the whole line or file.
    pub(crate) column: u32,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// Data of a `device` event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceEvent {
    #[serde(flatten)]
    pub(crate) device: Device,
    /// The entity that spoke.
    pub(crate) eid: String,
    /// What it had said before.
    pub(crate) previous: Option<String>,
}

/// Data of a `mailbox` event: what the mailbox shows after the change, but `eid` is the entity that spoke.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MailboxEvent {
    #[serde(flatten)]
    pub(crate) mailbox: Mailbox,
    /// The entity whose counts are shown; `null`: nobody says anything of the mailbox any more, and the counts are 0/0.
    pub(crate) owner: Option<String>,
    /// What the entity that spoke says now; `null`: nothing any more.
    pub(crate) said: Option<SaidCounts>,
    /// What it had said before.
    pub(crate) previous: Option<Counts>,
}

/// The counts of a mailbox as one entity says them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SaidCounts {
    pub(crate) new: u16,
    pub(crate) old: u16,
    pub(crate) source: String,
    pub(crate) peer: Option<String>,
    pub(crate) updated_at: String,
}

/// Data of a `publication` event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PublicationEvent {
    #[serde(flatten)]
    pub(crate) publication: Publication,
    /// Why it ended; `null`: it began.
    pub(crate) ended: Option<String>,
}

/// Data of a `lost` event: so many events were dropped because the client read too slowly.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LostEvent {
    pub(crate) lost: u64,
}

/// Data of a `reset` event: the events after the given Last-Event-ID are not kept any more. Read the lists anew.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ResetEvent {
    pub(crate) reason: String,
}

/// A problem document (RFC 9457), as far as the commands read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProblemDocument {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// What is wrong with a configuration that was not taken, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

impl From<core::ReloadReport> for Reloaded {
    fn from(report: core::ReloadReport) -> Self {
        let changes = report.difference.changes.into_iter();
        let relations = report.relations.into_iter();
        let warnings = report.warnings.into_iter();
        Self {
            changes: changes
                .map(|it| SectionChange {
                    kind: it.kind.to_owned(),
                    name: it.name,
                    change: it.what.as_str().to_owned(),
                })
                .collect(),
            unchanged: report.difference.unchanged,
            relations: relations
                .map(|it| RelationChange {
                    publish: it.publish,
                    change: it.turn.as_str().to_owned(),
                    retracted: it.retracted,
                    added: it.added,
                })
                .collect(),
            warnings: warnings
                .map(|it| ReloadWarning {
                    code: it.code.to_owned(),
                    peer: it.peer,
                    text: it.text,
                })
                .collect(),
            findings: Vec::new(),
        }
    }
}

impl Reloaded {
    /// What it says to people, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for SectionChange { kind, name, change } in &self.changes {
            lines.push(match kind == name {
                true => format!("[{name}] {change}"),
                false => format!("{kind} [{name}] {change}"),
            });
        }
        for relation in &self.relations {
            let RelationChange {
                publish,
                retracted,
                added,
                ..
            } = relation;
            lines.push(match relation.change.as_str() {
                "begun" => format!("publish {publish} begins: its peer is told everything"),
                "ends" => {
                    format!("publish {publish} ends: {retracted} devices are taken back there")
                }
                _ => format!(
                    "publish {publish} goes on: {retracted} devices are taken back there, {added} states are added"
                ),
            });
        }
        lines
    }
}

impl From<&lampwire_conf::Diagnostic> for Finding {
    fn from(found: &lampwire_conf::Diagnostic) -> Self {
        Self {
            severity: found.severity.as_str().to_owned(),
            code: found.code.to_owned(),
            file: found.at.file.to_string(),
            line: found.at.line,
            column: found.at.column,
            message: found.message.clone(),
            help: found.help.clone(),
        }
    }
}

impl From<core::DeviceView> for Device {
    fn from(view: core::DeviceView) -> Self {
        Self {
            device: view.device,
            state: view.state.as_str().to_owned(),
            entities: view.entities.into_iter().map(Entity::from).collect(),
        }
    }
}

impl From<core::EntityView> for Entity {
    fn from(view: core::EntityView) -> Self {
        Self {
            eid: view.eid.to_string(),
            state: view.state.as_str().to_owned(),
            cachable: view.cachable,
            source: view.source.as_str().to_owned(),
            peer: view.peer,
            updated_at: view.updated_at.to_string(),
            lost: view.lost,
        }
    }
}

impl From<core::MailboxView> for Mailbox {
    fn from(view: core::MailboxView) -> Self {
        Self {
            mailbox: view.mailbox,
            new: view.new,
            old: view.old,
            eid: view.eid.to_string(),
            source: view.source.as_str().to_owned(),
            peer: view.peer,
            updated_at: view.updated_at.to_string(),
            lost: view.lost,
        }
    }
}

impl From<&core::MailboxView> for SaidCounts {
    fn from(view: &core::MailboxView) -> Self {
        Self {
            new: view.new,
            old: view.old,
            source: view.source.as_str().to_owned(),
            peer: view.peer.clone(),
            updated_at: view.updated_at.to_string(),
        }
    }
}

impl From<core::PeerView> for Peer {
    fn from(view: core::PeerView) -> Self {
        Self {
            name: view.name,
            entity_id: view.entity_id.map(|eid| eid.to_string()),
            status: view.status.as_str().to_owned(),
            endpoints: view.endpoints,
            publishers: view.publishers,
            publications: view.publications,
            last_heard: view.last_heard.map(|at| at.to_string()),
            round_trip_ms: view.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            canary_ms: view.canary.map(|time| time.as_secs_f64() * 1000.0),
            behind: view.behind,
            notes: view.notes,
        }
    }
}

impl From<core::PublisherView> for Publisher {
    fn from(view: core::PublisherView) -> Self {
        Self {
            name: view.name,
            peer: view.peer,
            event: view.event.as_str().to_owned(),
            server_uri: view.server_uri,
            target: view.target.map(|target| target.to_string()),
            status: view.status.as_str().to_owned(),
            lanes: view.lanes.into_iter().map(Lane::from).collect(),
            behind: view.behind,
            sent: view.sent,
            confirmed: view.confirmed,
            refused: view.refused,
            last_answer: view.last_answer.map(Answer::from),
            retry_at: view.retry_at.map(|at| at.to_string()),
        }
    }
}

impl From<core::LaneView> for Lane {
    fn from(view: core::LaneView) -> Self {
        Self {
            index: view.index,
            open: view.open,
            opened_at: view.opened_at.map(|at| at.to_string()),
            expires_at: view.expires_at.map(|at| at.to_string()),
            in_flight: view.in_flight,
        }
    }
}

impl From<core::AnswerView> for Answer {
    fn from(view: core::AnswerView) -> Self {
        Self {
            status: view.status,
            reason: view.reason,
            at: view.at.to_string(),
        }
    }
}

impl From<core::PublicationView> for Publication {
    fn from(view: core::PublicationView) -> Self {
        Self {
            id: view.id,
            endpoint: view.endpoint,
            resource: view.resource,
            event: view.event.as_str().to_owned(),
            remote: view.remote.to_string(),
            created_at: view.created_at.to_string(),
            changed_at: view.changed_at.to_string(),
            expires_at: view.expires_at.to_string(),
            states: view.states,
        }
    }
}

impl From<(u16, u16)> for Counts {
    fn from((new, old): (u16, u16)) -> Self {
        Self { new, old }
    }
}
