//! The connection: made, served until it ends, and made anew.
//!
//! It lives in a runtime of its own, which is dropped with it: no task and nothing that waited to be written outlives a connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, ServerError, Subscriber};
use futures_util::StreamExt;
use lampwire_bus::Scope;
use lampwire_bus::limits::SAID;
use lampwire_conf::Cluster;
use lampwire_core::{BusCommand, Level, Notice, Place};
use lampwire_sip::EntityId;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::bucket::{self, Names, Trouble};
use super::login::{self, Connected};
use super::patience::Patience;
use super::reader::{self, Plan};
use super::status::{Status, add, count};
use super::writer::Writer;
use super::{Happened, Order, limits, reason};

/// The connection's thread.
pub(super) struct Link {
    settings: Cluster,
    own: EntityId,
    names: Names,
    orders: mpsc::Receiver<Order>,
    tell: mpsc::Sender<Happened>,
    status: Arc<Status>,
    /// Servers that those of the configuration have named.
    discovered: Vec<String>,
    /// How many connections there were.
    connections: u64,
    /// Readings so far: each has a name of its own.
    readings: u64,
    /// Attempts in a row of which nothing good came.
    failures: u32,
    /// What is odd about the bucket and was told.
    told: Option<String>,
    /// With which JetStream is asked.
    patience: Arc<Patience>,
}

/// How a connection came to its end.
enum End {
    /// Nobody wants it any more.
    Closed,
    /// It was lost, or could not be made.
    Lost,
}

/// One that can be served.
struct Ready {
    connected: Connected,
    writer: Writer,
    answers: Subscriber,
    said: [Subscriber; 2],
    /// What people call the server.
    server: String,
}

impl Link {
    pub(super) fn new(
        settings: Cluster,
        own: EntityId,
        orders: mpsc::Receiver<Order>,
        tell: mpsc::Sender<Happened>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            names: Names::new(&settings.cluster),
            settings,
            own,
            orders,
            tell,
            status,
            discovered: Vec::new(),
            connections: 0,
            readings: 0,
            failures: 0,
            told: None,
            patience: Arc::new(Patience::new()),
        }
    }

    /// Connects again and again, until nobody wants it any more.
    pub(super) fn run(mut self) {
        loop {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let end = match runtime {
                Ok(runtime) => {
                    let end = runtime.block_on(self.live());
                    // A name that is being resolved holds a thread for a while: nobody waits for it.
                    runtime.shutdown_background();
                    end
                }
                Err(error) => {
                    std::thread::sleep(limits::SYSTEM_PAUSE);
                    let why = format!("the system gives nothing to connect by: {error}");
                    // A full channel: the node knows of trouble already.
                    let _ = self.tell.try_send(Happened::Down { why });
                    match self.orders.is_closed() {
                        true => End::Closed,
                        false => End::Lost,
                    }
                }
            };
            if matches!(end, End::Closed) {
                return;
            }
        }
    }

    /// One connection, and the pause before it where the last one was none.
    async fn live(&mut self) -> End {
        let pause = tokio::time::sleep(pause(self.failures));
        tokio::select! {
            () = pause => {}
            () = unwanted(&mut self.orders) => return End::Closed,
        }
        let servers = self.servers();
        let attempt = Attempt {
            settings: &self.settings,
            own: self.own,
            names: &self.names,
            status: &self.status,
            patience: &self.patience,
        };
        let made = tokio::select! {
            made = attempt.try_all(&servers) => made,
            () = unwanted(&mut self.orders) => return End::Closed,
        };
        let (ready, notice) = match made {
            Ok(made) => made,
            Err(Unusable { why, silent }) => {
                self.failures = match silent {
                    // It was waited for them already, and servers that elect a leader are back soon.
                    true => 1,
                    false => self.failures.saturating_add(1),
                };
                count(&self.status.attempts_failed);
                return self.down(why).await;
            }
        };
        if let Some(notice) = notice {
            let said = (notice.level != Level::Info).then(|| notice.text.clone());
            // A bucket that is odd is told of once, not with each connection.
            if (said.is_none() || said != self.told)
                && self.tell.send(Happened::Notice(notice)).await.is_err()
            {
                return End::Closed;
            }
            self.told = said;
        }
        self.discovered = ready.connected.client.server_info().connect_urls;
        let since = Instant::now();
        self.status.up.store(true, Ordering::Relaxed);
        count(&self.status.connections);
        let end = self.serve(ready).await;
        self.status.up.store(false, Ordering::Relaxed);
        match end {
            Ok(()) => End::Closed,
            Err(why) => {
                self.failures = match since.elapsed() >= limits::GOOD_AFTER {
                    true => 0,
                    false => self.failures.saturating_add(1),
                };
                count(&self.status.losses);
                self.down(why).await
            }
        }
    }

    async fn down(&self, why: String) -> End {
        match self.tell.send(Happened::Down { why }).await {
            Ok(()) => End::Lost,
            Err(_) => End::Closed,
        }
    }

    /// Servers in the order in which they are tried: those of the configuration first, so that one that cannot be reached from here and is named by
    /// another holds up nobody. Among each in any order, so that nodes spread over them.
    fn servers(&self) -> Vec<String> {
        let mut servers = self.settings.urls.clone();
        shuffle(&mut servers);
        let known = |url: &str| {
            let mut places = self.settings.urls.iter();
            places.any(|it| it.split_once("://").is_some_and(|(_, place)| place == url))
        };
        let mut others: Vec<String> = self.discovered.clone();
        others.retain(|url| !known(url));
        shuffle(&mut others);
        servers.extend(others);
        servers.truncate(limits::SERVERS_MAX);
        servers
    }

    /// Serves a connection to its end; `Ok`: nobody wants it any more.
    async fn serve(&mut self, ready: Ready) -> Result<(), String> {
        let Ready {
            mut connected,
            mut writer,
            mut answers,
            said: [mut wide, mut near],
            server,
        } = ready;
        let client = connected.client.clone();
        self.connections += 1;
        let gone = |_| "the node has ended".to_owned();
        self.tell
            .send(Happened::Up {
                server: server.clone(),
            })
            .await
            .map_err(gone)?;
        let mut readers: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
        let mut look = tokio::time::interval(limits::LOOK_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What the server said last that it does not do.
        let mut hint: Option<String> = None;
        let lost = |hint: &Option<String>| match hint {
            Some(hint) => format!("{server}: the connection is lost; the server said: {hint}"),
            None => format!("{server}: the connection is lost"),
        };
        loop {
            let happened = tokio::select! {
                order = self.orders.recv() => match order {
                    None => {
                        close(&client, &mut writer, &mut answers, &mut connected.events).await;
                        return Ok(());
                    }
                    Some(order) if order.connection != self.connections => None,
                    Some(Order { command: BusCommand::Read { site, domain, wide, from }, .. }) => {
                        if let Some(before) = readers.remove(&site) {
                            before.abort();
                            // What it was about to tell would be taken for the next one's.
                            let _ = before.await;
                        }
                        let reading = self.read(&client, &site, domain, wide, from);
                        readers.insert(site, reading);
                        None
                    }
                    Some(order) => writer.take(order.command),
                },
                Some(answer) = answers.next() => writer.answered(&answer),
                Some(message) = wide.next() => Some(self.heard(message)),
                Some(message) = near.next() => Some(self.heard(message)),
                event = connected.events.recv() => match event {
                    // The client has ended, whatever it says of its connection.
                    None => return Err(lost(&hint)),
                    Some(Event::Disconnected | Event::Closed) => return Err(lost(&hint)),
                    Some(Event::ServerError(said)) => {
                        let text = login::words(&said);
                        hint = Some(text.clone());
                        Some(Happened::Notice(Notice {
                            level: Level::Warn,
                            code: "bus-server-says",
                            text: format!("cluster {}: {server} says: {text}", self.settings.cluster),
                        }))
                    }
                    Some(Event::LameDuckMode) => Some(Happened::Notice(Notice {
                        level: Level::Info,
                        code: "bus-server-ends",
                        text: format!("cluster {}: {server} is about to end", self.settings.cluster),
                    })),
                    Some(_) => None,
                },
                _ = look.tick() => {
                    // Events are dropped where there are too many.
                    if client.connection_state() != State::Connected {
                        return Err(lost(&hint));
                    }
                    for overdue in writer.overdue(hint.as_deref()) {
                        self.tell.send(overdue).await.map_err(gone)?;
                    }
                    None
                }
            };
            if let Some(happened) = happened {
                self.tell.send(happened).await.map_err(gone)?;
            }
        }
    }

    fn heard(&self, mut message: async_nats::Message) -> Happened {
        count(&self.status.heard);
        add(
            &self.status.bytes_in,
            message.subject.len() + message.payload.len(),
        );
        if message.payload.len() > SAID {
            // Nothing that the node could read, and while it waits for it a megabyte is one.
            message.payload = Default::default();
        }
        let topic = self.names.topics().len();
        Happened::Said { message, topic }
    }

    fn read(
        &mut self,
        client: &Client,
        site: &str,
        domain: Option<String>,
        wide: bool,
        from: Option<Place>,
    ) -> JoinHandle<()> {
        self.readings += 1;
        let own_site = (site == self.settings.site).then(|| self.settings.clone());
        let plan = Plan {
            site: site.into(),
            context: bucket::context(client, domain.as_deref(), &self.patience),
            patience: Arc::clone(&self.patience),
            domain,
            stream: self.names.stream(site),
            keys: self.names.keys(site),
            wide,
            from,
            consumer: format!(
                "lampwire-{}-{}-{}",
                self.own.to_string().replace(':', ""),
                random() % 1_000_000,
                self.readings
            ),
        };
        let (tell, status) = (self.tell.clone(), Arc::clone(&self.status));
        let names = self.names.clone();
        tokio::spawn(async move {
            if let Some(settings) = own_site {
                // It may have been removed. What hinders this hinders the reading, which says so.
                let _ = bucket::ensure(&plan.context, &names, &settings).await;
            }
            reader::read(plan, tell, status).await;
        })
    }
}

/// Why servers cannot be used.
struct Unusable {
    why: String,
    /// One is there, and its JetStream does not answer.
    silent: bool,
}

impl From<String> for Unusable {
    fn from(why: String) -> Self {
        Self { why, silent: false }
    }
}

/// What an attempt to connect needs.
struct Attempt<'a> {
    settings: &'a Cluster,
    own: EntityId,
    names: &'a Names,
    status: &'a Arc<Status>,
    patience: &'a Patience,
}

impl Attempt<'_> {
    /// The first of the servers that can be used; or why none can.
    async fn try_all(&self, servers: &[String]) -> Result<(Ready, Option<Notice>), Unusable> {
        let mut reasons = Vec::new();
        let mut silent = false;
        for server in servers {
            match self.try_one(server).await {
                Ok(made) => return Ok(made),
                Err(unusable) => {
                    reasons.push(format!("{server}: {}", unusable.why));
                    silent |= unusable.silent;
                }
            }
        }
        // In one order, whatever that of the attempts was: the same trouble is the same words.
        reasons.sort();
        let more = reasons.len().saturating_sub(limits::REASONS_TOLD);
        reasons.truncate(limits::REASONS_TOLD);
        let told = reasons.join("; ");
        let why = match more {
            0 => told,
            more => format!("{told}; and {more} more"),
        };
        Err(Unusable { why, silent })
    }

    async fn try_one(&self, server: &str) -> Result<(Ready, Option<Notice>), Unusable> {
        let settings = self.settings;
        let node = settings.node.as_deref().unwrap_or("node");
        let name = format!("lampwire {node} ({})", self.own);
        let mut connected = login::connect(settings, &name, server).await?;
        let client = connected.client.clone();
        let writer = Writer::new(
            client.clone(),
            self.names,
            &settings.site,
            settings.domain.as_deref(),
            Arc::clone(self.status),
        );
        let topics = self.names.topics();
        let (wide, near) = (Scope::Wide.as_str(), Scope::Site.as_str());
        let subscribe = |subject: String| async {
            let subscribed = client.subscribe(subject).await;
            subscribed.map_err(|error| reason(&error.to_string()))
        };
        let answers = subscribe(writer.inbox()).await?;
        let said = [
            subscribe(format!("{topics}{wide}.>")).await?,
            subscribe(format!("{topics}{near}.{}.>", settings.site)).await?,
        ];
        let context = bucket::context(&client, settings.domain.as_deref(), self.patience);
        let asked = Instant::now();
        let ensured = bucket::ensure(&context, self.names, settings).await;
        let silent = matches!(ensured, Err(Trouble::Silence));
        match silent {
            true => self.patience.disappointed(),
            false => self.patience.answered(asked.elapsed()),
        }
        let said_no = refusal(&mut connected).await;
        let (info, made) = match ensured {
            Ok(_) if said_no.is_some() => return Err(said_no.unwrap_or_default().into()),
            Ok(ensured) => ensured,
            Err(trouble) => {
                let why = trouble.of_domain(settings.domain.as_deref());
                let why = match said_no {
                    Some(said) => format!("{why}; {said}"),
                    None => why,
                };
                return Err(Unusable { why, silent });
            }
        };
        let differences = bucket::differences(&info.config, self.names, settings)?;
        let cluster = &settings.cluster;
        let stream = &info.config.name;
        let notice = match (made, differences.is_empty()) {
            (true, _) => Some(Notice {
                level: Level::Info,
                code: "bus-bucket-made",
                text: format!("cluster {cluster}: the bucket {stream} was made"),
            }),
            (false, false) => Some(Notice {
                level: Level::Warn,
                code: "bus-bucket-differs",
                text: format!(
                    "cluster {cluster}: the bucket {stream} is used as it is: {}; change it by NATS' own tools, or the configuration",
                    differences.join(", ")
                ),
            }),
            (false, true) => None,
        };
        let known = client.server_info();
        let ready = Ready {
            connected,
            writer,
            answers,
            said,
            server: format!(
                "{server} ({}, nats-server {})",
                reason(&known.server_name),
                reason(&known.version)
            ),
        };
        Ok((ready, notice))
    }
}

/// What the server has said that it does not do, up to the answer that has just come: a subscription that it refuses shows only by that.
async fn refusal(connected: &mut Connected) -> Option<String> {
    let mut said = None;
    // It comes by tasks of the client, which are as far as the answer after a turn of each.
    for _ in 0..3 {
        tokio::task::yield_now().await;
        while let Ok(event) = connected.events.try_recv() {
            if let Event::ServerError(error @ ServerError::Other(_)) = event {
                said = Some(format!("the server says: {}", login::words(&error)));
            }
        }
    }
    said
}

/// Waits until nobody wants a connection. What is to be done meanwhile is forgotten: the node has been told that there is none.
async fn unwanted(orders: &mut mpsc::Receiver<Order>) {
    while orders.recv().await.is_some() {}
}

/// Ends a connection once what is on its way has been answered, or after a while.
async fn close(
    client: &Client,
    writer: &mut Writer,
    answers: &mut Subscriber,
    events: &mut mpsc::Receiver<Event>,
) {
    let answered = async {
        while !writer.is_idle()
            && let Some(answer) = answers.next().await
        {
            writer.answered(&answer);
        }
        // What is written leaves, and then the client ends.
        let _ = client.flush().await;
        let _ = client.drain().await;
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Closed | Event::Disconnected) {
                break;
            }
        }
    };
    let _ = timeout(limits::CLOSING_MAX, answered).await;
}

/// The pause before the next attempt, some of it by chance: many nodes lose the same server at once.
fn pause(failures: u32) -> Duration {
    let longest = match failures {
        0 => limits::PAUSE_FIRST,
        _ => {
            let doubled = limits::PAUSE_FIRST * 2_u32.saturating_pow(failures.min(16));
            doubled.min(limits::PAUSE_MAX)
        }
    };
    let share = Duration::from_millis(random() % 1000);
    match failures {
        // Nothing is wrong with the others: at once, but not all of them in one moment.
        0 => longest.mul_f64(share.as_secs_f64()),
        _ => longest.mul_f64(0.5 + share.as_secs_f64() / 2.0),
    }
}

fn shuffle(items: &mut [String]) {
    for last in (1..items.len()).rev() {
        let chosen = usize::try_from(random()).unwrap_or_default() % (last + 1);
        items.swap(last, chosen);
    }
}

/// Any number. Where the system has none, always the same, which does no harm here.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes) >> 8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        assert!(pause(0) < limits::PAUSE_FIRST);
        for failures in 1..40 {
            let pause = pause(failures);
            assert!(pause >= limits::PAUSE_FIRST && pause <= limits::PAUSE_MAX);
        }
    }

    #[test]
    fn all_servers_stay_when_they_are_shuffled() {
        let servers: Vec<String> = (0..20).map(|it| it.to_string()).collect();
        let mut shuffled = servers.clone();
        shuffle(&mut shuffled);
        shuffled.sort_by_key(|it| it.parse::<u32>().unwrap());
        assert_eq!(shuffled, servers);
    }
}
