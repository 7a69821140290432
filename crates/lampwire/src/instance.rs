//! One node with all that it needs: everything is bound first, then it is started, and later it ends with grace.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lampwire_conf::{Ami, Config, Location, Protocol, Transport};
use lampwire_core::{Node, Setup};
use lampwire_sip::EntityId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::driver::{
    self, Clock, Driver, Handle, Marks, Mirror, StreamTransport, Tls, UdpTransport,
};
use crate::http::{self, Listener, Service, Token};
use crate::identity::{self, Identity};

/// A node whose sockets are bound, and which has not begun.
#[derive(Debug)]
pub(crate) struct Instance {
    config: Arc<Config>,
    identity: Identity,
    sockets: Vec<UdpTransport>,
    streams: Vec<StreamTransport>,
    /// How the manager interfaces of Asterisks are reached.
    outgoing: Vec<StreamTransport>,
    listener: Option<Listener>,
}

/// A node at work.
#[derive(Debug)]
pub(crate) struct Running {
    /// Asks the node.
    pub(crate) node: Handle,
    stop: watch::Sender<bool>,
    driver: JoinHandle<()>,
    http: Option<JoinHandle<()>>,
}

/// Why a node cannot begin: one line that says what is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct CannotBegin {
    /// What it is about.
    pub(crate) subject: Subject,
    /// Where it stands in the configuration; empty or the beginning of a line.
    place: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do about it, where the configuration can help.
    advice: Option<String>,
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
            place: String::new(),
            problem: problem.into(),
            advice: None,
        }
    }
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.place, self.problem)?;
        match &self.advice {
            Some(advice) => write!(out, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CannotBegin {}

impl Instance {
    /// Chooses the entity id and binds every socket. The configuration is one without errors. Needs a running tokio
    /// runtime. All that is wrong is told at once, not only the first.
    pub(crate) fn bind(config: Arc<Config>) -> Result<Self, Vec<CannotBegin>> {
        let mut wrong = Vec::new();
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
        let first = config.transports.first().map(|transport| transport.bind);
        let bound = sockets
            .iter()
            .map(|it| it.local)
            .chain(streams.iter().map(|it| it.local));
        let local = bound.min_by_key(|local| Some(local.ip()) != first.map(|bind| bind.ip()));
        let identity = identity::choose(
            config.lampwire.entity_id,
            config.lampwire.state_dir.as_deref(),
            local.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
        );
        Ok(Self {
            config,
            identity,
            sockets,
            streams,
            outgoing,
            listener,
        })
    }

    /// Where its SIP sockets are bound.
    pub(crate) fn sip_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let streams = self.streams.iter().map(|stream| stream.local);
        self.sockets
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
            tracing::warn!("{trouble}; states are kept in memory only");
        }
        tracing::info!(
            "entity id {}, {}",
            self.identity.entity_id,
            self.identity.origin
        );
        for socket in &self.sockets {
            let name = &self.config.transports[usize::from(socket.id.0)].name;
            tracing::info!("transport {name}: SIP on {}/udp", socket.local);
        }
        for stream in &self.streams {
            let transport = &self.config.transports[usize::from(stream.id.0)];
            let (name, protocol) = (&transport.name, transport.protocol.as_str());
            match stream.listens() {
                true => tracing::info!("transport {name}: SIP on {}/{protocol}", stream.local),
                false => tracing::info!(
                    "transport {name}: SIP to others by {protocol}; without cert_file= nobody can connect to it"
                ),
            }
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
        let setup = Setup {
            config: Arc::clone(&self.config),
            entity_id: self.identity.entity_id,
            seed,
            secret: seed,
        };
        let node = Node::new(clock.now(), setup);
        let mirror = self.config.lampwire.hep_server.map(|server| {
            Mirror::new(server, self.identity.entity_id).map_err(|error| {
                CannotBegin::node(format!("hep_server={server} cannot be used: {error}"))
            })
        });
        let (driver, node) = Driver::new(
            node,
            clock,
            self.sockets,
            self.streams,
            self.outgoing,
            mirror.transpose()?,
            &self.config,
        );
        let (stop, stopped) = watch::channel(false);
        let http = self.listener.map(|listener| {
            let token = self
                .config
                .lampwire
                .http_token
                .clone()
                .map(|secret| Arc::new(Token::new(secret)));
            let routes = http::routes(Service {
                node: node.clone(),
                token,
                config: Arc::clone(&self.config),
                started_at: clock.now().wall,
            });
            tokio::spawn(http::serve(listener, routes, stopped.clone()))
        });
        let driver = tokio::spawn(driver.run(stopped));
        Ok(Running {
            node,
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
        let whole = (&mut self.driver).await.is_ok();
        // Without its node the HTTP has nothing more to say, whoever ended it.
        self.stop();
        match self.http.take() {
            Some(http) => http.await.is_ok() && whole,
            None => whole,
        }
    }
}

/// A transport that is bound.
enum Bound {
    Datagrams(UdpTransport),
    Connections(StreamTransport),
}

fn bind_transport(index: usize, transport: &Transport) -> Result<Bound, Vec<CannotBegin>> {
    let Transport { name, at, bind, .. } = transport;
    let cannot = |problem: String, advice: String| CannotBegin {
        subject: Subject::Sip,
        place: place(at),
        problem,
        advice: Some(advice),
    };
    let Some(id) = driver::transport_id(index) else {
        let problem = format!("transport {name}: there are too many transports");
        return Err(vec![cannot(problem, "remove some".to_owned())]);
    };
    let marks = Marks {
        tos: transport.tos,
        cos: transport.cos,
    };
    let mut warnings = Vec::new();
    let bound = match transport.protocol {
        Protocol::Udp => UdpTransport::bind(id, *bind, marks).map(Bound::Datagrams),
        protocol @ (Protocol::Tcp | Protocol::Tls) => {
            let tls = match protocol {
                Protocol::Tls => Tls::load(transport, &mut warnings).map(Some),
                _ => Ok(None),
            };
            let tls = tls.map_err(|problems| {
                let told = problems.into_iter();
                told.map(|it| cannot(format!("transport {name}: {}", it.problem), it.advice))
                    .collect::<Vec<_>>()
            })?;
            StreamTransport::bind(id, *bind, marks, transport.tcp_keepalive, tls)
                .map(Bound::Connections)
        }
    };
    for warning in warnings {
        tracing::warn!("{}transport {name}: {warning}", place(at));
    }
    bound.map_err(|error| {
        let protocol = transport.protocol.as_str();
        let why = why(&error, "Asterisk or another SIP server");
        vec![cannot(
            format!("transport {name}: {bind}/{protocol} cannot be bound: {why}"),
            format!("change bind= of [{name}]"),
        )]
    })
}

/// How connections to the manager interface of an Asterisk are made; their number follows those of the transports.
fn way_to(index: usize, ami: &Ami) -> Result<StreamTransport, Vec<CannotBegin>> {
    let cannot = |problem: &str, advice: &str| CannotBegin {
        subject: Subject::Node,
        place: place(&ami.at),
        problem: format!("ami {}: {problem}", ami.name),
        advice: Some(advice.to_owned()),
    };
    let Some(id) = driver::transport_id(index) else {
        return Err(vec![cannot("there are too many of them", "remove some")]);
    };
    let mut warnings = Vec::new();
    let tls = ami.tls.then(|| {
        let mut transport = Transport::default_at(&ami.at.file);
        transport.tls.verify_server = ami.verify_server;
        transport.tls.ca_list_file.clone_from(&ami.ca_list_file);
        Tls::load(&transport, &mut warnings)
    });
    let tls = tls.transpose().map_err(|problems| {
        let told = problems.into_iter();
        told.map(|it| cannot(&it.problem, &it.advice))
            .collect::<Vec<_>>()
    })?;
    for warning in warnings {
        tracing::warn!("{}ami {}: {warning}", place(&ami.at), ami.name);
    }
    Ok(StreamTransport::outgoing(id, tls))
}

fn bind_http(config: &Config, address: SocketAddr) -> Result<Listener, Vec<CannotBegin>> {
    let own = &config.lampwire;
    let cannot = |problem: String, advice: String| CannotBegin {
        subject: Subject::Http,
        place: own.at.as_ref().map(place).unwrap_or_default(),
        problem,
        advice: Some(advice),
    };
    // The files are read as a transport's are; what is wrong is told by the names that they have here.
    let named = |text: &str| {
        text.replace("priv_key_file", "http_key")
            .replace("cert_file", "http_cert")
    };
    let mut warnings = Vec::new();
    let tls = own.http_cert.as_deref().map(|certificate| {
        driver::tls::web::acceptor(certificate, own.http_key.as_deref(), &mut warnings)
    });
    for warning in &warnings {
        tracing::warn!("{}", named(warning));
    }
    let tls = tls.transpose().map_err(|problems| {
        let told = problems.iter();
        told.map(|it| cannot(named(&it.problem), named(&it.advice)))
            .collect::<Vec<_>>()
    })?;
    Listener::bind(address, tls).map_err(|error| {
        vec![cannot(
            format!(
                "http_bind: {address}/tcp cannot be bound: {}",
                why(&error, "another lampwire")
            ),
            "change http_bind= of [lampwire]".to_owned(),
        )]
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
