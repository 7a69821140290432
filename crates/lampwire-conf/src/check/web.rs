//! Several instances together: who tells whom what, and what of it does not work.

use std::collections::{HashMap, HashSet};

use lampwire_sip::{EntityId, EventPackage};

use super::cluster;
use super::instance::Instance;
use super::link::{Receiver, Request, Verdict, refused};
use super::places::{Places, Target};
use crate::diagnostic::{Diagnostic, Findings, quote};
use crate::section::ami::Ami;
use crate::section::outbound_publish::OutboundPublish;

/// The most instances that are looked at together: each is met by each.
pub const MAX_INSTANCES: usize = 1_000;

/// One publish and the instance that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The sender, as an index into what was given.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// Devices or mailboxes.
    pub event: EventPackage,
    /// The sender's outbound-publish.
    pub publish: String,
    /// What is sent; None: everything.
    pub sends: Option<String>,
    /// What is taken; None: everything, or it does not come so far.
    pub takes: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Each instance's own findings and those of its relations, by instance, file and line.
    pub findings: Vec<Diagnostic>,
    /// Who tells whom what.
    pub links: Vec<Link>,
}

/// Looks at the instances together; of those beyond [`MAX_INSTANCES`] at their own findings alone.
///
/// ```
/// use lampwire_conf::MapSource;
/// use lampwire_conf::check::{Instance, Paths, several};
///
/// let a = "[b]\ntype=outbound-publish\nserver_uri=sip:x@192.0.2.2\nevent=asterisk-mwi\n";
/// let b = "[udp]\ntype=transport\nbind=192.0.2.2\n[y]\ntype=endpoint\n";
/// let mut source = MapSource::new([("a.conf", a), ("b.conf", b)]);
/// let read = |name| {
///     let paths = Paths { configuration: name, asterisk: None, sorcery: None, manager: None };
///     Instance::read(name, None, &paths, &mut source.clone())
/// };
/// let web = several(&[read("a.conf"), read("b.conf")]);
/// assert!(web.findings.iter().any(|found| found.code == "not-recognised"));
/// ```
pub fn several(instances: &[Instance]) -> Web {
    let mut web = Web::default();
    for instance in instances {
        web.findings.extend(instance.found.iter().cloned());
    }
    let looked_at = &instances[..instances.len().min(MAX_INSTANCES)];
    if looked_at.len() > 1 {
        let mut findings = Findings::default();
        for instance in looked_at {
            findings.opened(&instance.at.file);
        }
        let mut checker = Checker {
            instances: looked_at,
            places: Places::new(looked_at, &mut findings),
            findings,
            links: Vec::new(),
            recognised: HashMap::new(),
            strayed: vec![false; looked_at.len()],
        };
        checker.run();
        web.links = checker.links;
        web.findings
            .extend(checker.findings.finish(&looked_at[0].at.file));
    }
    let mut order: HashMap<&str, usize> = HashMap::new();
    for instance in instances {
        let own = instance.found.iter().map(|found| &*found.at.file);
        let manager = instance.manager.iter().map(|manager| &**manager.file());
        for file in [&*instance.at.file].into_iter().chain(own).chain(manager) {
            let next = order.len();
            order.entry(file).or_insert(next);
        }
    }
    web.findings.sort_by_key(|found| {
        let file = order.get(&*found.at.file).copied();
        (file, found.at.line, found.at.column)
    });
    web
}

struct Checker<'a> {
    instances: &'a [Instance],
    places: Places,
    findings: Findings,
    links: Vec<Link>,
    /// (receiver, endpoint) -> who is taken for it, and whether by its address.
    recognised: HashMap<(usize, usize), Vec<(usize, bool)>>,
    /// Whether it publishes to somebody who is none of the instances, and may be meant for one of them.
    strayed: Vec<bool>,
}

impl Checker<'_> {
    fn run(&mut self) {
        self.entity_ids();
        cluster::nodes(self.instances, &mut self.findings);
        let mut usable = Vec::new();
        for instance in self.instances {
            usable.push(!instance.has_errors());
            if instance.has_errors() {
                let message = format!(
                    "{} has errors: what it exchanges with the others is looked at once they are mended",
                    quote(&instance.name)
                );
                self.findings.note("not-compared", &instance.at, message);
            }
        }
        let receivers: Vec<Receiver<'_>> = self
            .instances
            .iter()
            .map(|instance| Receiver::new(instance, &self.places))
            .collect();
        for from in 0..self.instances.len() {
            for publish in &self.instances[from].config.outbound_publishes {
                if usable[from] {
                    self.publish(from, publish, &receivers, &usable);
                }
            }
        }
        for (from, instance) in self.instances.iter().enumerate() {
            for ami in &instance.config.amis {
                if usable[from] {
                    self.manager(from, ami, &usable);
                }
            }
        }
        self.shared_endpoints();
        self.one_way(&usable);
        self.paths();
    }

    fn entity_ids(&mut self) {
        let mut seen: HashMap<EntityId, &Instance> = HashMap::new();
        for instance in self.instances {
            let Some(eid) = instance.entity_id else {
                continue;
            };
            if let Some(other) = seen.get(&eid) {
                let message = format!(
                    "{} and {} have the same entity id, {eid}",
                    quote(&other.name),
                    quote(&instance.name)
                );
                let help = format!(
                    "the other stands at line {} of {}",
                    other.entity_id_at.line, other.entity_id_at.file
                );
                let at = &instance.entity_id_at;
                self.findings
                    .error_with_help("equal-entity-ids", at, message, help);
            } else {
                seen.insert(eid, instance);
            }
        }
    }

    fn publish(
        &mut self,
        from: usize,
        publish: &OutboundPublish,
        receivers: &[Receiver<'_>],
        usable: &[bool],
    ) {
        let sender = &self.instances[from];
        let to = match self.places.target(self.instances, from, publish) {
            Target::Instance(to) => to,
            Target::Itself => return,
            Target::Elsewhere => {
                let message = format!(
                    "{} leads to {}, which is no address of any instance given",
                    quote(&publish.name),
                    quote(&publish.server_uri)
                );
                // Of two the other must be meant, if nothing else leads there; of more it may be somebody whose file was not given.
                let at = &publish.at;
                let reaches = |other: &OutboundPublish| {
                    other.event == publish.event
                        && self.places.target(self.instances, from, other) != Target::Elsewhere
                };
                let others = &sender.config.outbound_publishes;
                if self.instances.len() == 2 && !others.iter().any(reaches) {
                    self.strayed[from] = true;
                    let help = "correct the address, or say where the other is by ADDRESS=FILE";
                    self.findings.warning(
                        "unknown-destination",
                        at,
                        message,
                        Some(help.to_owned()),
                    );
                } else {
                    self.strayed[from] |= (0..self.instances.len())
                        .any(|other| other != from && !self.places.is_known(other));
                    self.findings.note("unknown-destination", at, message);
                }
                return;
            }
        };
        if !usable[to] {
            return;
        }
        let host = lampwire_sip::Uri::parse(&publish.server_uri)
            .map(|uri| super::instance::host_text(uri.host))
            .unwrap_or_default();
        let request = Request {
            from: sender,
            publish,
            auths: &receivers[from].auths,
            source: match publish.outbound_proxy {
                Some(_) => None,
                None => self.places.source(sender, from, publish, &host),
            },
        };
        let met = receivers[to].meet(request, &mut self.findings);
        if let Some((endpoint, by_address)) = met.endpoint {
            let who = self.recognised.entry((to, endpoint)).or_default();
            if !who.iter().any(|(known, _)| *known == from) {
                who.push((from, by_address));
            }
        }
        let (sends, takes) = match publish.event {
            EventPackage::DeviceState => (
                &publish.device_state_filter,
                met.peer.and_then(|peer| peer.device_state_filter.as_ref()),
            ),
            EventPackage::Mwi => (
                &publish.mailbox_state_filter,
                met.peer.and_then(|peer| peer.mailbox_state_filter.as_ref()),
            ),
        };
        if let Some(peer) = met.peer {
            self.refresh(from, to, peer, publish.event);
        }
        self.links.push(Link {
            from,
            to,
            event: publish.event,
            publish: publish.name.clone(),
            sends: sends.as_ref().map(ToString::to_string),
            takes: takes.map(ToString::to_string),
            verdict: met.verdict,
        });
    }

    /// What a section of type=ami meets at its Asterisk.
    fn manager(&mut self, from: usize, ami: &Ami, usable: &[bool]) {
        let Some(to) = self.places.asterisk(self.instances, &ami.host) else {
            if self.instances.iter().any(|it| it.manager.is_some()) {
                let message = format!(
                    "{} leads to {}, which is no address of any Asterisk given",
                    quote(&ami.name),
                    quote(&ami.host)
                );
                self.findings.note("unknown-destination", &ami.at, message);
            }
            return;
        };
        let instance = &self.instances[to];
        if !usable[to] {
            return;
        }
        let config = &instance.config;
        let publishes = config
            .outbound_publishes
            .iter()
            .map(|it| (&it.name, &it.at));
        let takes = config.inbound_publications.iter();
        let takes = takes.filter(|it| it.device_state.is_some() || it.mwi.is_some());
        if let Some((name, at)) = publishes.chain(takes.map(|it| (&it.name, &it.at))).next() {
            let message = format!(
                "{} of {} reads {}, which takes part by its own exchange",
                quote(&ami.name),
                quote(&self.instances[from].name),
                quote(&instance.name)
            );
            let help = format!(
                "remove one of the two: see {} at line {} of {}",
                quote(name),
                at.line,
                at.file
            );
            self.findings
                .error_with_help("ami-and-exchange", &ami.at, message, help);
        }
        if let Some(manager) = &instance.manager {
            manager.meet(&self.instances[from], ami, instance, &mut self.findings);
        }
    }

    /// Whether the receiver asks the sender when it wants all it has.
    fn refresh(
        &mut self,
        from: usize,
        to: usize,
        peer: &crate::AsteriskPublication,
        event: EventPackage,
    ) {
        let receiver = &self.instances[to];
        let named = match event {
            EventPackage::DeviceState => &peer.devicestate_publish,
            EventPackage::Mwi => &peer.mailboxstate_publish,
        };
        let back = named.as_ref().and_then(|named| {
            let mut publishes = receiver.config.outbound_publishes.iter();
            publishes.find(|publish| publish.name == *named)
        });
        let Some(back) = back else { return };
        if let Target::Instance(other) = self.places.target(self.instances, to, back)
            && other != from
        {
            let message = format!(
                "{} takes the states of {}, and asks for them over {}, which leads to {}",
                quote(&peer.name),
                quote(&self.instances[from].name),
                quote(&back.name),
                quote(&self.instances[other].name)
            );
            self.findings
                .warning("refresh-elsewhere", &peer.at, message, None);
        }
    }

    fn shared_endpoints(&mut self) {
        let mut shared: Vec<_> = self
            .recognised
            .drain()
            .filter(|(_, who)| who.len() > 1)
            .collect();
        shared.sort_by_key(|(key, _)| *key);
        for ((to, endpoint), who) in shared {
            let receiver = &self.instances[to];
            let endpoint = &receiver.config.endpoints[endpoint];
            let names: Vec<String> = who
                .iter()
                .take(3)
                .map(|(from, _)| quote(&self.instances[*from].name))
                .collect();
            let message = format!(
                "{} takes {}{} for the same endpoint, {}",
                quote(&receiver.name),
                names.join(" and "),
                if who.len() > 3 { " and others" } else { "" },
                quote(&endpoint.name)
            );
            let help = if who.iter().any(|(_, by_address)| *by_address) {
                "they come from one address: only the user in From tells them apart (identify_by=username)"
            } else {
                "let each publish to a resource with a name of its own, which is the user in its From"
            };
            let help = Some(help.to_owned());
            self.findings
                .warning("shared-endpoint", &endpoint.at, message, help);
        }
    }

    fn one_way(&mut self, usable: &[bool]) {
        let there: HashSet<(usize, usize, EventPackage)> = self
            .links
            .iter()
            .map(|link| (link.from, link.to, link.event))
            .collect();
        let mut said = HashSet::new();
        for link in &self.links {
            let (from, to) = (link.from, link.to);
            if there.contains(&(to, from, link.event)) || !usable[to] || self.strayed[to] {
                continue;
            }
            let (a, b) = (
                quote(&self.instances[from].name),
                quote(&self.instances[to].name),
            );
            let any = [EventPackage::DeviceState, EventPackage::Mwi]
                .into_iter()
                .any(|event| there.contains(&(to, from, event)));
            let (key, message) = if any {
                let event = link.event.as_str();
                let message = format!("{a} publishes {event} to {b}, which publishes none to {a}");
                ((from, to, Some(link.event)), message)
            } else {
                let message = format!("{a} publishes to {b}, which publishes nothing to {a}");
                ((from, to, None), message)
            };
            let publish = self.instances[from]
                .config
                .outbound_publishes
                .iter()
                .find(|publish| publish.name == link.publish);
            if let Some(publish) = publish
                && said.insert(key)
            {
                self.findings.warning("one-way", &publish.at, message, None);
            }
        }
    }

    /// What reaches whom by way of others.
    fn paths(&mut self) {
        let count = self.instances.len();
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); count];
        for link in &self.links {
            // What was meant: a link that does not work is told by itself.
            if !edges[link.from].contains(&link.to) {
                edges[link.from].push(link.to);
            }
        }
        self.attached(&edges);
        // What the nodes of a cluster share over NATS reaches each of them.
        let direct = edges.clone();
        for (from, edges) in edges.iter_mut().enumerate() {
            for (to, other) in self.instances.iter().enumerate() {
                let tied = cluster::are_tied(&self.instances[from], other);
                if tied && from != to && !edges.contains(&to) {
                    edges.push(to);
                }
            }
        }
        let relays = |index: usize| self.instances[index].config.lampwire.relay;
        let reach: Vec<HashSet<usize>> = (0..count)
            .map(|from| {
                let mut seen = HashSet::from([from]);
                let mut open = vec![from];
                while let Some(at) = open.pop() {
                    if at != from && !relays(at) {
                        continue;
                    }
                    for next in &edges[at] {
                        if seen.insert(*next) {
                            open.push(*next);
                        }
                    }
                }
                seen
            })
            .collect();
        let heard = |at: usize| (0..count).filter(move |from| *from != at);
        let mut found = Vec::new();
        for middle in 0..count {
            let tellers = || heard(middle).filter(|from| edges[*from].contains(&middle));
            if !relays(middle) {
                let pair = tellers().find_map(|from| {
                    let apart = |to: &&usize| **to != from && !reach[from].contains(to);
                    Some((from, *edges[middle].iter().find(apart)?))
                });
                if let Some((from, to)) = pair {
                    let name = |index: usize| quote(&self.instances[index].name);
                    let message = format!(
                        "{} exchanges with {} and {}, which do not exchange with each other, and passes nothing on",
                        name(middle),
                        name(from),
                        name(to)
                    );
                    let help = match self.instances[middle].kind {
                        super::Kind::Lampwire => "set `relay=yes` in its section of type=lampwire",
                        super::Kind::Asterisk => {
                            "an Asterisk passes nothing on: let each publish to each, or put a Lampwire with relay=yes in the middle"
                        }
                    };
                    found.push((middle, "not-relayed", message, Some(help.to_owned())));
                }
                continue;
            }
            for other in (middle + 1..count).filter(|other| relays(*other)) {
                let tied = edges[middle].contains(&other) && edges[other].contains(&middle);
                let apart = tellers().any(|from| {
                    !relays(from)
                        && edges[other]
                            .iter()
                            .any(|to| *to != from && !relays(*to) && !reach[from].contains(to))
                });
                if !tied && apart {
                    let message = format!(
                        "hubs {} and {} do not exchange with each other",
                        quote(&self.instances[middle].name),
                        quote(&self.instances[other].name)
                    );
                    let help = cluster::apart(&self.instances[middle], &self.instances[other]);
                    found.push((other, "hubs-apart", message, help));
                }
            }
        }
        for (index, code, message, help) in found {
            let at = self.instances[index].whole();
            self.findings.warning(code, at, message, help);
        }
        self.relayed_ids(&direct);
    }

    /// Who is attached to several nodes of a cluster.
    fn attached(&mut self, edges: &[Vec<usize>]) {
        for (index, server) in self.instances.iter().enumerate() {
            let nodes: Vec<&Instance> =
                edges[index].iter().map(|to| &self.instances[*to]).collect();
            cluster::attached(server, &nodes, &mut self.findings);
        }
    }

    /// Whether a hub's endpoint at its peers may speak for those that the hub relays.
    fn relayed_ids(&mut self, edges: &[Vec<usize>]) {
        for (hub, instance) in self.instances.iter().enumerate() {
            if !instance.config.lampwire.relay {
                continue;
            }
            for to in &edges[hub] {
                let receiver = &self.instances[*to];
                let Some(endpoint) = receiver
                    .config
                    .endpoints
                    .iter()
                    .filter(|it| !it.allowed_eids.is_empty())
                    .find(|endpoint| {
                        let own = instance.entity_id;
                        own.is_none_or(|own| endpoint.allowed_eids.iter().any(|it| it.matches(own)))
                    })
                else {
                    continue;
                };
                let others = (0..self.instances.len())
                    .filter(|from| from != to && edges[*from].contains(&hub))
                    .map(|from| &self.instances[from]);
                let refused = refused(endpoint, others);
                if let Some(first) = refused.first() {
                    let message = format!(
                        "endpoint {} of {} may not speak for {}, whose states come by way of {}",
                        quote(&endpoint.name),
                        quote(&receiver.name),
                        quote(&first.name),
                        quote(&instance.name)
                    );
                    let help = first
                        .entity_id
                        .map(|eid| format!("add `@allowed_eids={eid}`"));
                    self.findings.add(
                        crate::Severity::Error,
                        "relayed-ids-refused",
                        &endpoint.at,
                        message,
                        help,
                    );
                }
            }
        }
    }
}
