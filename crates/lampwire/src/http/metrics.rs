//! GET /metrics: the node's figures for Prometheus, as classic text or as OpenMetrics.
//!
//! Labels come from the configuration and from the program's own words, so there are not many series.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use lampwire_core::{
    Census, ClusterStage, ClusterView, Counters, Histogram, PeerStatus, PeerView, PublisherStatus,
    PublisherView, WallTime,
};

use super::Service;
use super::limits;
use super::problem::Problem;
use crate::cluster;
use crate::driver::events::HubFigures;
use crate::store;

/// The classic text format.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// GET of all figures.
#[utoipa::path(get, path = "/metrics", tag = "node", operation_id = "metrics", summary = "Figures for Prometheus",
    description = "The classic text, or OpenMetrics where Accept names application/openmetrics-text.",
    responses((status = 200, description = "the figures", content_type = "text/plain", body = String)))]
pub(crate) async fn show(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut census = Census::default();
    loop {
        let (counted, more) = service
            .node
            .ask(move |node, _| {
                let more = node.count_states(&mut census, limits::COUNT_CELLS);
                (census, more)
            })
            .await?;
        census = counted;
        if !more {
            break;
        }
    }
    let behind = service.node.behind().await?;
    let (counters, publishers, peers, publications, in_cluster, now) = service
        .node
        .ask(move |node, now| {
            (
                node.counters().clone(),
                node.publishers_with(now, &behind),
                node.peers_with(now, &behind),
                node.publication_count(),
                node.cluster(now),
                now.wall,
            )
        })
        .await?;
    let figures = Figures {
        counters,
        publishers,
        peers,
        publications,
        census,
        now,
        started_at: service.started_at,
        endpoints: service
            .config
            .get()
            .endpoints
            .iter()
            .map(|it| it.name.clone())
            .collect(),
        kept_out: service.door.counts(),
        hub: service.node.event_figures(),
        store: service.store.figures(),
        bus: service.bus.as_ref().map(|bus| bus.figures()),
        in_cluster,
    };
    let open = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(wants_open);
    let content_type = if open { OPEN_METRICS } else { CLASSIC };
    Ok(([(header::CONTENT_TYPE, content_type)], figures.text(open)).into_response())
}

/// Whether an Accept header has OpenMetrics in it, and not as what is not wanted.
fn wants_open(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts.find_map(|it| it.strip_prefix("q="));
        let unwanted = quality.is_some_and(|it| it.parse() == Ok(0.0));
        kind.eq_ignore_ascii_case("application/openmetrics-text") && !unwanted
    })
}

/// All that is told.
#[derive(Debug)]
struct Figures {
    counters: Counters,
    publishers: Vec<PublisherView>,
    peers: Vec<PeerView>,
    publications: usize,
    census: Census,
    now: WallTime,
    started_at: WallTime,
    /// Names by their place in the configuration.
    endpoints: Vec<String>,
    /// Requests of the HTTP interface that were refused, by the reason.
    kept_out: BTreeMap<&'static str, u64>,
    hub: HubFigures,
    store: store::Figures,
    /// Where the node is one of a cluster.
    bus: Option<cluster::Figures>,
    /// How the node sees the others.
    in_cluster: Option<ClusterView>,
}

impl Figures {
    fn text(&self, open: bool) -> String {
        let mut page = Page {
            text: String::new(),
            open,
        };
        self.node(&mut page);
        self.requests(&mut page);
        self.states(&mut page);
        self.publishers(&mut page);
        self.peers(&mut page);
        self.http(&mut page);
        self.store(&mut page);
        self.bus(&mut page);
        self.in_cluster(&mut page);
        if open {
            page.text.push_str("# EOF\n");
        }
        page.text
    }

    fn node(&self, page: &mut Page) {
        page.info("lampwire_build_info", "The version that runs; always 1.")
            .put(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge(
            "lampwire_start_time_seconds",
            "When the node began, in seconds since 1970.",
        )
        .put(&[], Seconds(self.started_at.as_millis()));
    }

    fn requests(&self, page: &mut Page) {
        let counters = &self.counters;
        let mut requests = page.counter(
            "lampwire_sip_requests_total",
            "Requests that were answered, by whose they are, what they ask and what was answered.",
        );
        for (answered, count) in &counters.answered {
            let endpoint = answered
                .endpoint
                .and_then(|index| self.endpoints.get(index));
            let status = answered.status.to_string();
            let labels = [
                ("endpoint", endpoint.map_or("", String::as_str)),
                ("method", answered.method),
                ("event", answered.event),
                ("status", &status),
            ];
            requests.put(&labels, count);
        }
        let mut refused = page.counter(
            "lampwire_sip_refused_total",
            "Requests that were refused, by the reason.",
        );
        for (reason, count) in &counters.refused {
            refused.put(&[("reason", reason)], count);
        }
        for (name, help, count) in [
            (
                "lampwire_sip_datagrams_received_total",
                "Datagrams that came in.",
                counters.datagrams_received,
            ),
            (
                "lampwire_sip_stream_messages_received_total",
                "Messages that came in over connections.",
                counters.stream_messages_received,
            ),
            (
                "lampwire_sip_connections_refused_total",
                "Connections that were closed at once, being too many.",
                counters.connections_refused,
            ),
            (
                "lampwire_sip_unparsable_total",
                "Messages that are no SIP, or cannot be answered.",
                counters.unparsable,
            ),
            (
                "lampwire_sip_unanswered_total",
                "Requests of strangers that were not answered, being too many.",
                counters.unanswered,
            ),
            (
                "lampwire_sip_awaiting_names_total",
                "Unproven requests that were not answered because names of the configuration had not been answered yet.",
                counters.awaiting_names,
            ),
            (
                "lampwire_sip_retransmissions_received_total",
                "Requests that had come before and were answered as before.",
                counters.retransmissions,
            ),
            (
                "lampwire_sip_stray_responses_total",
                "Answers to nothing that was asked.",
                counters.stray_responses,
            ),
            (
                "lampwire_refreshes_received_total",
                "Requests of peers for all states.",
                counters.refreshes_received,
            ),
            (
                "lampwire_publications_expired_total",
                "Publications of peers that ran out.",
                counters.publications_expired,
            ),
        ] {
            page.counter(name, help).put(&[], count);
        }
        page.gauge(
            "lampwire_publications",
            "Publications that peers hold here.",
        )
        .put(&[], self.publications);
    }

    fn states(&self, page: &mut Page) {
        let mut kept = page.gauge(
            "lampwire_states",
            "States that are kept, by kind and source.",
        );
        for (kind, source, count) in self.census.counts() {
            kept.put(&[("kind", kind), ("source", source.as_str())], count);
        }
        let mut received = page.counter(
            "lampwire_states_received_total",
            "States that peers sent, by what became of them.",
        );
        for (result, count) in [
            ("changed", self.counters.changes_received),
            ("repeated", self.counters.repeats_received),
            ("filtered", self.counters.filtered),
            ("own-entity-id", self.counters.own_entity_id_received),
            ("stale", self.counters.stale),
            ("gone", self.counters.gone),
            ("echoed", self.counters.echoes),
        ] {
            received.put(&[("result", result)], count);
        }
        for (name, help, count) in [
            (
                "lampwire_entities_lost_total",
                "Entity ids that were lost, and whose states were retracted or held.",
                self.counters.losses,
            ),
            (
                "lampwire_entities_returned_total",
                "Entity ids that came back after they were lost.",
                self.counters.returns,
            ),
            (
                "lampwire_states_expired_total",
                "States of this node that were set for a time and not renewed.",
                self.counters.expired,
            ),
        ] {
            page.counter(name, help).put(&[], count);
        }
        let mut retracted = page.counter(
            "lampwire_states_retracted_total",
            "States of devices that were taken back, by the reason.",
        );
        for (reason, count) in [
            ("lost", self.counters.retracted_lost),
            ("gone", self.counters.swept),
            ("reload", self.counters.retracted_by_reload),
        ] {
            retracted.put(&[("reason", reason)], count);
        }
        let mut findings = page.counter(
            "lampwire_entity_id_findings_total",
            "Entity ids that are shared or were changed, by what was found.",
        );
        for (finding, count) in &self.counters.findings {
            findings.put(&[("finding", finding)], count);
        }
    }

    fn publishers(&self, page: &mut Page) {
        type Of = fn(&PublisherView) -> u64;
        let gauges: [(&str, &str, Of); 3] = [
            (
                "lampwire_publisher_behind_states",
                "States that the peer should hold and has not confirmed.",
                |it| it.behind,
            ),
            (
                "lampwire_publisher_in_flight_requests",
                "Requests that are on their way.",
                |it| u64::try_from(it.in_flight).unwrap_or(u64::MAX),
            ),
            (
                "lampwire_publisher_back_off",
                "1 while the peer is silent, unreachable or refuses.",
                |it| u64::from(it.status == PublisherStatus::BackOff),
            ),
        ];
        for (name, help, of) in gauges {
            let mut family = page.gauge(name, help);
            self.publishers
                .iter()
                .for_each(|it| family.put(&[("publisher", &it.name)], of(it)));
        }
        let counters: [(&str, &str, Of); 4] = [
            (
                "lampwire_publisher_requests_total",
                "Requests that were sent, copies not counted.",
                |it| it.sent,
            ),
            (
                "lampwire_publisher_copies_total",
                "Copies of requests that were sent for want of an answer.",
                |it| it.copies,
            ),
            (
                "lampwire_publisher_confirmed_states_total",
                "States that the peer has confirmed.",
                |it| it.confirmed,
            ),
            (
                "lampwire_publisher_refusals_total",
                "Refusals by the peer.",
                |it| it.refused,
            ),
        ];
        for (name, help, of) in counters {
            let mut family = page.counter(name, help);
            self.publishers
                .iter()
                .for_each(|it| family.put(&[("publisher", &it.name)], of(it)));
        }
        type Times = fn(&PublisherView) -> &Histogram;
        let histograms: [(&str, &str, Times); 2] = [
            (
                "lampwire_publisher_round_trip_seconds",
                "The time from a request to the peer's answer.",
                |it| &it.round_trips,
            ),
            (
                "lampwire_publisher_confirm_seconds",
                "The time from a change to the peer's confirmation.",
                |it| &it.confirm_times,
            ),
        ];
        for (name, help, of) in histograms {
            let mut family = page.histogram(name, help);
            for publisher in &self.publishers {
                family.put_histogram(("publisher", &publisher.name), of(publisher));
            }
        }
        let with_canary = self.publishers.iter().filter(|it| it.canaries.total > 0);
        let mut family = page.histogram(
            "lampwire_publisher_canary_seconds",
            "The time of a canary to the peer and back; at an Asterisk, of the answer by which it proves a publication.",
        );
        for publisher in with_canary {
            family.put_histogram(("publisher", &publisher.name), &publisher.canaries);
        }
    }

    fn peers(&self, page: &mut Page) {
        let mut family = page.gauge(
            "lampwire_peer_up",
            "1: the peer answers, or a publication of it is live.",
        );
        for peer in &self.peers {
            family.put(
                &[("peer", &peer.name)],
                u8::from(peer.status == PeerStatus::Up),
            );
        }
        let mut family = page.gauge(
            "lampwire_peer_round_trip_seconds",
            "The time from the last request to the peer's answer.",
        );
        for peer in &self.peers {
            if let Some(time) = peer.round_trip {
                family.put(&[("peer", &peer.name)], time.as_secs_f64());
            }
        }
        let mut family = page.gauge(
            "lampwire_peer_silence_seconds",
            "The time since the peer last sent or answered anything.",
        );
        for peer in &self.peers {
            if let Some(at) = peer.last_heard {
                let silence = self.now.as_millis().saturating_sub(at.as_millis());
                family.put(&[("peer", &peer.name)], Seconds(silence));
            }
        }
        let mut family = page.gauge(
            "lampwire_peer_notes",
            "What an operator should know of the peer; `show peers` has the words.",
        );
        for peer in &self.peers {
            family.put(&[("peer", &peer.name)], peer.notes.len());
        }
    }

    fn http(&self, page: &mut Page) {
        let mut kept_out = page.counter(
            "lampwire_http_refused_total",
            "Requests of the HTTP interface that were answered 401 or 403, by the reason.",
        );
        for (reason, count) in &self.kept_out {
            kept_out.put(&[("reason", reason)], count);
        }
        page.gauge("lampwire_event_streams", "Clients that follow events.")
            .put(&[], self.hub.readers);
        page.gauge(
            "lampwire_event_history",
            "Events that are kept for clients that come back.",
        )
        .put(&[], self.hub.kept);
        page.counter(
            "lampwire_events_lost_total",
            "Events that clients lost, having read too slowly.",
        )
        .put(&[], self.hub.lost);
    }

    fn store(&self, page: &mut Page) {
        let store = &self.store;
        let mut condition = page.gauge(
            "lampwire_store_condition",
            "Whether states survive a restart: 1 for what is so.",
        );
        for word in ["off", "ok", "memory-only"] {
            let so = store.condition.as_str() == word;
            condition.put(&[("condition", word)], u8::from(so));
        }
        page.gauge("lampwire_store_bytes", "Bytes of what is kept on the disk.")
            .put(&[], store.size.live + store.size.journal);
        page.gauge(
            "lampwire_store_saved_timestamp_seconds",
            "When something was written last, in seconds since 1970; 0: never.",
        )
        .put(&[], Seconds(store.saved_at.as_millis()));
        let counters = [
            (
                "lampwire_store_written_bytes_total",
                "Bytes that were written.",
                store.size.written,
            ),
            (
                "lampwire_store_batches_total",
                "Batches of changes that are on the disk.",
                store.batches,
            ),
            (
                "lampwire_store_snapshots_total",
                "Times that everything was written anew.",
                store.snapshots,
            ),
            (
                "lampwire_store_faults_total",
                "Times that something could not be written.",
                store.faults,
            ),
        ];
        for (name, help, count) in counters {
            page.counter(name, help).put(&[], count);
        }
    }

    fn in_cluster(&self, page: &mut Page) {
        let view = self.in_cluster.as_ref();
        let mut stages = page.gauge(
            "lampwire_cluster_stage",
            "1 at the stage at which the node is: joining, alone (it cannot see the others) or joined.",
        );
        for stage in [
            ClusterStage::Joining,
            ClusterStage::Alone,
            ClusterStage::Joined,
        ] {
            view.iter().for_each(|it| {
                stages.put(&[("stage", stage.as_str())], u64::from(it.stage == stage));
            });
        }
        let mut nodes = page.gauge(
            "lampwire_cluster_nodes",
            "Nodes of the cluster that are there, this one among them, and that were there and are not.",
        );
        for (status, alive) in [("up", true), ("down", false)] {
            view.iter().for_each(|it| {
                let count = it.nodes.iter().filter(|node| node.alive == alive).count();
                nodes.put(&[("status", status)], count);
            });
        }
        let mut roles = page.gauge(
            "lampwire_cluster_servers",
            "Servers that this node is the home of, and that it speaks to.",
        );
        let own = view.into_iter().flat_map(|it| &it.nodes).find(|it| it.own);
        for (role, count) in [
            ("home", own.map(|it| it.homes)),
            ("speaker", own.map(|it| it.speaks)),
        ] {
            count
                .iter()
                .for_each(|count| roles.put(&[("role", role)], *count));
        }
        type Of = fn(&ClusterView) -> u64;
        let gauges: [(&str, &str, Of); 3] = [
            (
                "lampwire_cluster_waiting_states",
                "States of this node's own that the bucket has not confirmed yet.",
                |it| it.waiting,
            ),
            (
                "lampwire_cluster_pending_records",
                "Records that wait in the buckets to be read.",
                |it| it.sites.iter().map(|site| site.pending).sum(),
            ),
            (
                "lampwire_cluster_shadows",
                "States of servers whose home another node is, heard here and not yet said by that.",
                |it| it.shadows as u64,
            ),
        ];
        for (name, help, of) in gauges {
            let mut family = page.gauge(name, help);
            view.iter().for_each(|it| family.put(&[], of(it)));
        }
        let counters: [(&str, &str, Of); 5] = [
            (
                "lampwire_cluster_news_total",
                "Records of others that were news.",
                |it| it.news,
            ),
            (
                "lampwire_cluster_unreadable_total",
                "Records and messages that were not understood.",
                |it| it.unreadable,
            ),
            (
                "lampwire_cluster_filtered_total",
                "Records and messages that a filter kept out.",
                |it| it.filtered,
            ),
            (
                "lampwire_cluster_claims_total",
                "Times that this node took a role.",
                |it| it.claims,
            ),
            (
                "lampwire_cluster_overdue_total",
                "States that were said here because their home had not.",
                |it| it.overdue,
            ),
        ];
        for (name, help, of) in counters {
            let mut family = page.counter(name, help);
            view.iter().for_each(|it| family.put(&[], of(it)));
        }
    }

    fn bus(&self, page: &mut Page) {
        type Of = fn(&cluster::Figures) -> u64;
        let bus = self.bus.as_ref();
        let gauges: [(&str, &str, Of); 4] = [
            (
                "lampwire_bus_up",
                "1: there is a connection to NATS, and the own site's bucket is there.",
                |it| u64::from(it.up),
            ),
            (
                "lampwire_bus_in_flight_puts",
                "Puts into the bucket that are on their way.",
                |it| it.in_flight,
            ),
            (
                "lampwire_bus_orders_waiting",
                "What the node wants done at NATS and that waits for the connection.",
                |it| it.orders_waiting,
            ),
            (
                "lampwire_bus_happenings_waiting",
                "What came from NATS and waits for the node.",
                |it| it.happenings_waiting,
            ),
        ];
        for (name, help, of) in gauges {
            let mut family = page.gauge(name, help);
            bus.iter().for_each(|it| family.put(&[], of(it)));
        }
        let counters: [(&str, &str, Of); 8] = [
            (
                "lampwire_bus_connections_total",
                "Connections to NATS that were made.",
                |it| it.connections,
            ),
            (
                "lampwire_bus_losses_total",
                "Connections to NATS that were lost.",
                |it| it.losses,
            ),
            (
                "lampwire_bus_failed_attempts_total",
                "Attempts to connect to NATS of which nothing came.",
                |it| it.attempts_failed,
            ),
            (
                "lampwire_bus_readings_total",
                "Readings of a bucket that began.",
                |it| it.readings,
            ),
            (
                "lampwire_bus_readings_ended_total",
                "Readings of a bucket that failed or could not begin.",
                |it| it.readings_ended,
            ),
            (
                "lampwire_bus_records_total",
                "Records that were read in buckets.",
                |it| it.records,
            ),
            (
                "lampwire_bus_sent_bytes_total",
                "Bytes of all that was put into the bucket and said, with its subjects.",
                |it| it.bytes_out,
            ),
            (
                "lampwire_bus_received_bytes_total",
                "Bytes of all that was read in buckets and heard, with its subjects.",
                |it| it.bytes_in,
            ),
        ];
        for (name, help, of) in counters {
            let mut family = page.counter(name, help);
            bus.iter().for_each(|it| family.put(&[], of(it)));
        }
        let mut family = page.counter(
            "lampwire_bus_puts_total",
            "Puts into the bucket, withdrawals and erasures, by what became of them.",
        );
        if let Some(figures) = bus {
            for (result, count) in [
                ("stored", figures.stored),
                ("refused", figures.refused),
                ("unanswered", figures.unanswered),
            ] {
                family.put(&[("result", result)], count);
            }
        }
        let mut family = page.counter(
            "lampwire_bus_messages_total",
            "Messages that nobody keeps: said, heard, or left out where the connection was stuck.",
        );
        if let Some(figures) = bus {
            for (what, count) in [
                ("said", figures.said),
                ("heard", figures.heard),
                ("left-out", figures.unsaid),
            ] {
                family.put(&[("what", what)], count);
            }
        }
    }
}

/// Milliseconds, told in seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// What is being written.
struct Page {
    text: String,
    open: bool,
}

/// The figures of one name.
struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Page {
    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, name, "gauge", help)
    }

    /// In OpenMetrics an info's family is named without `_info`; the classic text has gauges only.
    fn info(&mut self, name: &'static str, help: &str) -> Family<'_> {
        match self.open {
            true => self.family(name, name.trim_end_matches("_info"), "info", help),
            false => self.gauge(name, help),
        }
    }

    /// In OpenMetrics a counter's family is named without `_total`.
    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        let family = match self.open {
            true => name.trim_end_matches("_total"),
            false => name,
        };
        self.family(name, family, "counter", help)
    }

    fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, family: &str, kind: &str, help: &str) -> Family<'_> {
        let _ = write!(
            self.text,
            "# HELP {family} {help}\n# TYPE {family} {kind}\n"
        );
        Family { page: self, name }
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl fmt::Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

impl Family<'_> {
    fn put(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.page.sample(self.name, "", labels, value);
    }

    fn put_histogram(&mut self, label: (&str, &str), histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in Histogram::BOUNDS.iter().zip(histogram.counts) {
            below += count;
            // OpenMetrics has `1.0`, and a series is to be called the same in both.
            let bound = format!("{:?}", bound.as_secs_f64());
            self.page
                .sample(self.name, "_bucket", &[label, ("le", &bound)], below);
        }
        let labels = [label, ("le", "+Inf")];
        self.page
            .sample(self.name, "_bucket", &labels, histogram.total);
        self.page
            .sample(self.name, "_sum", &[label], histogram.sum.as_secs_f64());
        self.page
            .sample(self.name, "_count", &[label], histogram.total);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The names of all series.
    fn names() -> Vec<String> {
        let figures = Figures {
            counters: Counters::default(),
            publishers: Vec::new(),
            peers: Vec::new(),
            publications: 0,
            census: Census::default(),
            now: WallTime::from_millis(0),
            started_at: WallTime::from_millis(0),
            endpoints: Vec::new(),
            kept_out: BTreeMap::new(),
            hub: HubFigures::default(),
            store: store::Figures::default(),
            bus: None,
            in_cluster: None,
        };
        let text = figures.text(false);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .flat_map(|line| {
                let (name, kind) = line.split_once(' ').unwrap();
                let suffixes: &[&str] = match kind {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
            })
            .collect()
    }

    #[test]
    fn what_is_packaged_for_them_uses_figures_that_there_are() {
        let names = names();
        for (file, text) in [
            (
                "grafana/lampwire.json",
                include_str!("../../../../packaging/grafana/lampwire.json"),
            ),
            (
                "prometheus/lampwire.rules.yml",
                include_str!("../../../../packaging/prometheus/lampwire.rules.yml"),
            ),
            ("docs/seeing.md", include_str!("../../../../docs/seeing.md")),
            (
                "prometheus/lampwire.test.yml",
                include_str!("../../../../packaging/prometheus/lampwire.test.yml"),
            ),
        ] {
            let part = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
            let used: Vec<&str> = text
                .split(part)
                .filter(|word| word.starts_with("lampwire_"))
                .collect();
            assert!(used.len() > 2, "{file}");
            for word in used {
                // A histogram is also named by its family.
                let is_one =
                    |name: &String| name == word || name.strip_suffix("_bucket") == Some(word);
                assert!(names.iter().any(is_one), "{file}: {word}");
            }
        }
    }

    #[test]
    fn open_metrics_is_for_those_who_want_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert!(wants_open(prometheus));
        assert!(wants_open("Application/OpenMetrics-Text"));
        for classic in ["", "*/*", "text/plain", "application/openmetrics-text; q=0"] {
            assert!(!wants_open(classic), "{classic}");
        }
    }

    #[test]
    fn labels_are_escaped_and_counters_named_as_the_format_has_it() {
        let mut page = Page {
            text: String::new(),
            open: true,
        };
        page.counter("x_total", "Help.")
            .put(&[("a", "q\"b\\c\nd")], 1);
        assert_eq!(
            page.text,
            "# HELP x Help.\n# TYPE x counter\nx_total{a=\"q\\\"b\\\\c\\nd\"} 1\n"
        );
    }
}
