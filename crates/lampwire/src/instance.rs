//! One node with all that it needs: everything is bound first, then it is started, and later it ends with grace.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lampwire_conf::{Ami, Config, Location, Protocol, Transport};
use lampwire_core::{Node, Setup};
use lampwire_sip::EntityId;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::cluster::Bus;
use crate::driver::tls::web::Acceptor;
use crate::driver::{
    self, Clock, Driver, Handle, Marks, Mirror, StreamTransport, Tls, Transports, UdpTransport,
};
use crate::http::{self, Door, Listener, Service};
use crate::identity::{self, Identity};
use crate::reload::{InForce, InUse, Reloader};
use crate::store::{self, Keeper};

/// A node whose sockets are bound, and which has not begun.
#[derive(Debug)]
pub(crate) struct Instance {
    config: Arc<Config>,
    identity: Identity,
    /// What the last life left; `None`: nothing is to survive this one.
    kept: Option<store::Opened>,
    transports: Transports,
    listener: Option<Listener>,
    /// The file that its configuration came from.
    file: Option<PathBuf>,
}

/// A node at work.
#[derive(Debug)]
pub(crate) struct Running {
    /// Asks the node.
    pub(crate) node: Handle,
    /// Reads its configuration again, where it came from a file.
    pub(crate) reloader: Option<Arc<Reloader>>,
    stop: watch::Sender<bool>,
    /// Told when the node has ended; dropped where it has by a fault of its own.
    driver: oneshot::Receiver<io::Result<()>>,
    http: Option<JoinHandle<()>>,
}

/// Why a node cannot begin: one line that says what is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct CannotBegin {
    /// What it is about.
    pub(crate) subject: Subject,
    /// Where it stands in the configuration.
    pub(crate) at: Option<Location>,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do about it, where the configuration can help.
    pub(crate) advice: Option<String>,
}

/// What cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A transport.
    Sip,
    /// The HTTP interface.
    Http,
    /// The node as a whole.
    Node,
}

impl CannotBegin {
    fn node(problem: impl Into<String>) -> Self {
        Self {
            subject: Subject::Node,
            at: None,
            problem: problem.into(),
            advice: None,
        }
    }
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.at.as_ref().map(place).unwrap_or_default();
        write!(out, "{place}{}", self.problem)?;
        match &self.advice {
            Some(advice) => write!(out, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CannotBegin {}

impl Instance {
    /// Chooses the entity id, reads what the last life left, and then binds every socket. The configuration is one without errors. Needs a running tokio
    /// runtime. All that is wrong is told at once, not only the first.
    pub(crate) fn bind(config: Arc<Config>) -> Result<Self, Vec<CannotBegin>> {
        let mut wrong = Vec::new();
        let directory = config.lampwire.state_dir.as_deref();
        let claimed = directory.map(|directory| store::claim(Path::new(directory)));
        let mine = directory.filter(|_| !matches!(claimed, Some(Err(_))));
        let identity = identity::choose(config.lampwire.entity_id, mine, first_bind(&config));
        let kept =
            claimed.map(|claimed| claimed.and_then(|it| store::open(it, identity.entity_id)));
        let kept = kept.transpose().unwrap_or_else(|fault| {
            let advice =
                "two nodes with one entity id confuse every peer: give each its own state_dir=";
            wrong.push(CannotBegin {
                at: config.lampwire.at.clone(),
                advice: Some(advice.to_owned()),
                ..CannotBegin::node(format!("state_dir: {fault}"))
            });
            None
        });
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for (index, transport) in config.transports.iter().enumerate() {
            match bind_transport(index, transport) {
                Ok(Bound::Datagrams(socket)) => sockets.push(socket),
                Ok(Bound::Connections(stream)) => streams.push(stream),
                Err(errors) => wrong.extend(errors),
            }
        }
        let mut outgoing = Vec::new();
        for (index, ami) in config.amis.iter().enumerate() {
            match way_to(index + config.transports.len(), ami) {
                Ok(way) => outgoing.push(way),
                Err(errors) => wrong.extend(errors),
            }
        }
        let listener = match config
            .lampwire
            .http_bind
            .map(|address| bind_http(&config, address))
        {
            Some(Ok(listener)) => Some(listener),
            Some(Err(errors)) => {
                wrong.extend(errors);
                None
            }
            None => None,
        };
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            config,
            identity,
            kept,
            transports: Transports {
                sockets,
                streams,
                outgoing,
            },
            listener,
            file: None,
        })
    }

    /// Its configuration came from this file, and may be read from there again.
    pub(crate) fn of_file(self, file: PathBuf) -> Self {
        let file = Some(file);
        Self { file, ..self }
    }

    /// Where its SIP sockets are bound.
    pub(crate) fn sip_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let streams = self.transports.streams.iter().map(|stream| stream.local);
        self.transports
            .sockets
            .iter()
            .map(|socket| socket.local)
            .chain(streams)
    }

    /// Where its HTTP is bound, if it is.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|listener| listener.local)
    }

    /// Its entity id.
    pub(crate) fn entity_id(&self) -> EntityId {
        self.identity.entity_id
    }

    /// Says in the log what it is and where it listens.
    pub(crate) fn introduce(&self) {
        if let Some(trouble) = &self.identity.trouble {
            tracing::warn!("{trouble}");
        }
        if let Some(kept) = &self.kept {
            let findings = &kept.loaded.findings;
            if let Some(damage) = &findings.damage {
                tracing::error!("state_dir: {damage}");
            }
            if findings.cut {
                tracing::warn!(
                    "state_dir: the last batch had not reached the disk whole when the node ended, and is left out"
                );
            }
        }
        tracing::info!(
            "entity id {}, {}",
            self.identity.entity_id,
            self.identity.origin
        );
        for socket in &self.transports.sockets {
            let name = &self.config.transports[usize::from(socket.id.0)].name;
            tracing::info!("transport {name}: SIP on {}/udp", socket.local);
        }
        for stream in &self.transports.streams {
            let transport = &self.config.transports[usize::from(stream.id.0)];
            let (name, protocol) = (&transport.name, transport.protocol.as_str());
            match stream.listens() {
                true => tracing::info!("transport {name}: SIP on {}/{protocol}", stream.local),
                false => tracing::info!(
                    "transport {name}: SIP to others by {protocol}; without cert_file= nobody can connect to it"
                ),
            }
        }
        if let Some(cluster) = &self.config.cluster {
            tracing::info!(
                "cluster {}: node {:?} of site {}, over NATS at {}",
                cluster.cluster,
                cluster.node.as_deref().unwrap_or_default(),
                cluster.site,
                cluster.urls.join(", ")
            );
        }
        match self.http_address() {
            Some(address) => {
                let scheme = self.listener.as_ref().map_or("http", Listener::scheme);
                tracing::info!("HTTP on {scheme}://{address}, with the page");
            }
            None => tracing::info!("no HTTP: http_bind= is empty"),
        }
    }

    /// Starts it. Fails only where the system has no random numbers.
    pub(crate) fn start(self) -> Result<Running, CannotBegin> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| {
            CannotBegin::node(format!("the system gives no random numbers: {error}"))
        })?;
        let clock = Clock::start();
        let directory = self.config.lampwire.state_dir.as_deref();
        let secret = match directory.map(|directory| identity::secret(Path::new(directory))) {
            Some(Ok(secret)) => secret,
            Some(Err(trouble)) => {
                tracing::warn!(
                    "{trouble}; peers will have to begin their publications anew after a restart"
                );
                seed
            }
            None => seed,
        };
        let setup = Setup {
            config: Arc::clone(&self.config),
            entity_id: self.identity.entity_id,
            seed,
            secret,
        };
        let mut node = Node::new(clock.now(), setup);
        let keeper = match self.kept {
            Some(mut kept) => {
                node.restore(clock.now(), std::mem::take(&mut kept.loaded.records));
                let window = self.config.lampwire.store_window;
                Keeper::start(kept, window, clock.now()).map_err(|error| {
                    CannotBegin::node(format!("the system has no thread for the store: {error}"))
                })?
            }
            None => Keeper::off(),
        };
        let store = keeper.status();
        let cluster = self.config.cluster.as_ref();
        let bus = cluster.map(|settings| Bus::start(settings, self.identity.entity_id));
        let bus = bus.transpose().map_err(|error| {
            CannotBegin::node(format!("the system has no thread for the cluster: {error}"))
        })?;
        let bus_status = bus.as_ref().map(Bus::status);
        let mirror = self.config.lampwire.hep_server.map(|server| {
            Mirror::new(server, self.identity.entity_id).map_err(|error| {
                CannotBegin::node(format!("hep_server={server} cannot be used: {error}"))
            })
        });
        let streams = self.transports.streams.iter();
        let in_use = InUse {
            transports: streams
                .filter_map(|stream| {
                    let transport = &self.config.transports[usize::from(stream.id.0)];
                    Some((transport.name.clone(), stream.tls()?.clone()))
                })
                .collect(),
            http: self.listener.as_ref().and_then(|it| it.tls.clone()),
        };
        let (driver, node) = Driver::new(
            node,
            clock,
            self.transports,
            mirror.transpose()?,
            keeper,
            bus,
            &self.config,
            runtime::Handle::current(),
        );
        let (stop, stopped) = watch::channel(false);
        let in_force = InForce::new(Arc::clone(&self.config));
        let reloader = self.file.map(|file| {
            let reloader = Reloader::new(file, node.clone(), in_force.clone(), in_use);
            Arc::new(reloader)
        });
        let http = self.listener.map(|listener| {
            let routes = http::routes(Service {
                node: node.clone(),
                config: in_force.clone(),
                reloader: reloader.clone(),
                store,
                bus: bus_status,
                door: Door::new(clock),
                started_at: clock.now().wall,
            });
            tokio::spawn(http::serve(listener, routes, stopped.clone()))
        });
        let driver = on_its_own_thread(driver, stopped).map_err(|error| {
            CannotBegin::node(format!("the system has no thread for the node: {error}"))
        })?;
        Ok(Running {
            node,
            reloader,
            stop,
            driver,
            http,
        })
    }
}

impl Running {
    /// Asks it to end: its publications are removed, open HTTP requests end. [`Self::ended`] tells when.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end, which comes a few seconds after [`Self::stop`] at the latest. False: it ended by a fault of its own.
    pub(crate) async fn ended(&mut self) -> bool {
        let whole = match (&mut self.driver).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!("the node could not begin: {error}");
                false
            }
            Err(_) => false,
        };
        // Without its node the HTTP has nothing more to say, whoever ended it.
        self.stop();
        match self.http.take() {
            Some(http) => http.await.is_ok() && whole,
            None => whole,
        }
    }
}

/// Runs the driver on a thread that does nothing else: no other task is ever in its way, and what wakes it goes through no other thread.
fn on_its_own_thread(
    driver: Driver,
    stopped: watch::Receiver<bool>,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("node".to_owned())
        .spawn(move || {
            let result = runtime.block_on(driver.run(stopped));
            // A name that is being resolved holds a thread for a while: nobody waits for it.
            runtime.shutdown_background();
            // An error: nobody waits for the end.
            let _ = ended.send(result);
        })?;
    Ok(end)
}

/// The bind by which a node is known that has no other name: that of a datagram transport goes before others, and the address of the first transport
/// before other addresses.
fn first_bind(config: &Config) -> SocketAddr {
    let first = config.transports.first().map(|it| it.bind.ip());
    let by_protocol = |datagrams| {
        let is = move |it: &&Transport| (it.protocol == Protocol::Udp) == datagrams;
        config.transports.iter().filter(is).map(|it| it.bind)
    };
    by_protocol(true)
        .chain(by_protocol(false))
        .min_by_key(|bind| Some(bind.ip()) != first)
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// A transport that is bound.
enum Bound {
    Datagrams(UdpTransport),
    Connections(StreamTransport),
}

fn bind_transport(index: usize, transport: &Transport) -> Result<Bound, Vec<CannotBegin>> {
    let Transport { name, bind, .. } = transport;
    let Some(id) = driver::transport_id(index) else {
        let problem = format!("transport {name}: there are too many transports");
        let advice = "remove some".to_owned();
        return Err(vec![cannot_serve(transport, problem, advice)]);
    };
    let marks = Marks {
        tos: transport.tos,
        cos: transport.cos,
    };
    let bound = match transport.protocol {
        Protocol::Udp => UdpTransport::bind(id, *bind, marks).map(Bound::Datagrams),
        Protocol::Tcp | Protocol::Tls => {
            let tls = tls_of(transport)?;
            StreamTransport::bind(id, *bind, marks, transport.tcp_keepalive, tls)
                .map(Bound::Connections)
        }
    };
    bound.map_err(|error| {
        let protocol = transport.protocol.as_str();
        let why = why(&error, "Asterisk or another SIP server");
        vec![cannot_serve(
            transport,
            format!("transport {name}: {bind}/{protocol} cannot be bound: {why}"),
            format!("change bind= of [{name}]"),
        )]
    })
}

fn cannot_serve(transport: &Transport, problem: String, advice: String) -> CannotBegin {
    CannotBegin {
        subject: Subject::Sip,
        at: Some(transport.at.clone()),
        problem,
        advice: Some(advice),
    }
}

/// What TLS goes by at a transport: the files that its section names are read. None: it is one without TLS.
pub(crate) fn tls_of(transport: &Transport) -> Result<Option<Tls>, Vec<CannotBegin>> {
    let (name, mut warnings) = (&transport.name, Vec::new());
    let tls = (transport.protocol == Protocol::Tls).then(|| Tls::load(transport, &mut warnings));
    for warning in warnings {
        tracing::warn!("{}transport {name}: {warning}", place(&transport.at));
    }
    tls.transpose().map_err(|problems| {
        let told = problems.into_iter();
        told.map(|it| {
            let problem = format!("transport {name}: {}", it.problem);
            cannot_serve(transport, problem, it.advice)
        })
        .collect()
    })
}

/// How connections to the manager interface of an Asterisk are made; their number follows those of the transports.
fn way_to(index: usize, ami: &Ami) -> Result<StreamTransport, Vec<CannotBegin>> {
    let Some(id) = driver::transport_id(index) else {
        let problem = "there are too many of them";
        return Err(vec![cannot_reach(ami, problem, "remove some")]);
    };
    Ok(StreamTransport::outgoing(id, tls_to(ami)?))
}

/// What connections to the manager interface of an Asterisk need of TLS: the files that its section names are read.
pub(crate) fn tls_to(ami: &Ami) -> Result<Option<Tls>, Vec<CannotBegin>> {
    let mut warnings = Vec::new();
    let tls = ami.tls.then(|| {
        let mut transport = Transport::default_at(&ami.at.file);
        transport.tls.verify_server = ami.verify_server;
        transport.tls.ca_list_file.clone_from(&ami.ca_list_file);
        Tls::load(&transport, &mut warnings)
    });
    let tls = tls.transpose().map_err(|problems| {
        let told = problems.into_iter();
        told.map(|it| cannot_reach(ami, &it.problem, &it.advice))
            .collect::<Vec<_>>()
    })?;
    for warning in warnings {
        tracing::warn!("{}ami {}: {warning}", place(&ami.at), ami.name);
    }
    Ok(tls)
}

fn cannot_reach(ami: &Ami, problem: &str, advice: &str) -> CannotBegin {
    CannotBegin {
        subject: Subject::Node,
        at: Some(ami.at.clone()),
        problem: format!("ami {}: {problem}", ami.name),
        advice: Some(advice.to_owned()),
    }
}

fn bind_http(config: &Config, address: SocketAddr) -> Result<Listener, Vec<CannotBegin>> {
    let tls = tls_of_http(config)?;
    Listener::bind(address, tls).map_err(|error| {
        vec![cannot_answer(
            config,
            format!(
                "http_bind: {address}/tcp cannot be bound: {}",
                why(&error, "another lampwire")
            ),
            "change http_bind= of [lampwire]".to_owned(),
        )]
    })
}

fn cannot_answer(config: &Config, problem: String, advice: String) -> CannotBegin {
    CannotBegin {
        subject: Subject::Http,
        at: config.lampwire.at.clone(),
        problem,
        advice: Some(advice),
    }
}

/// What TLS goes by for HTTP: `http_cert` and `http_key` are read. None: it is HTTP without TLS, or none at all.
pub(crate) fn tls_of_http(config: &Config) -> Result<Option<Acceptor>, Vec<CannotBegin>> {
    let own = &config.lampwire;
    // The files are read as a transport's are; what is wrong is told by the names that they have here.
    let named = |text: &str| {
        text.replace("priv_key_file", "http_key")
            .replace("cert_file", "http_cert")
    };
    let mut warnings = Vec::new();
    let certificate = own.http_cert.as_deref().filter(|_| own.http_bind.is_some());
    let tls = certificate.map(|certificate| {
        driver::tls::web::acceptor(certificate, own.http_key.as_deref(), &mut warnings)
    });
    for warning in &warnings {
        tracing::warn!("{}", named(warning));
    }
    tls.transpose().map_err(|problems| {
        let told = problems.iter();
        told.map(|it| cannot_answer(config, named(&it.problem), named(&it.advice)))
            .collect()
    })
}

/// Where it stands in the configuration, as the beginning of a line.
fn place(at: &Location) -> String {
    if at.line == 0 {
        String::new()
    } else {
        format!("{}:{}: ", at.file, at.line)
    }
}

/// What a failed bind means.
fn why(error: &io::Error, who: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("the port is in use, perhaps by {who}"),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 want CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => error.to_string(),
    }
}
