//! How the servers are connected to: addresses, who we are, TLS; and why it did not work.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError,
};
use lampwire_conf::{self as conf, Cluster, Login, Transport};
use tokio::sync::mpsc;
use tokio_rustls::rustls::ClientConfig;

use super::limits;
use super::reason;
use crate::driver::tls::{self, Connector, Tls};

/// A connection, and what the client says of it.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) events: mpsc::Receiver<Event>,
}

/// The oldest servers that do what is needed: consumers with names, as 2.9 has them.
const OLDEST_SERVER: (i64, i64, i64) = (2, 9, 0);

/// Events that wait to be looked at. Of those that tell of an end the first one counts.
const EVENTS_WAITING: usize = 64;

/// Connects to one server.
pub(super) async fn connect(
    settings: &Cluster,
    name: &str,
    server: &str,
) -> Result<Connected, String> {
    let (tell, events) = mpsc::channel(EVENTS_WAITING);
    let address: ServerAddr = server
        .parse()
        .map_err(|error: io::Error| reason(&error.to_string()))?;
    let tls = match is_tls(settings) {
        true => Some(connector(settings, address.host())?),
        false => None,
    };
    let client = options(settings, name, tls.as_ref(), tell)?
        .connect(address)
        .await
        .map_err(|error| why(settings, tls.as_ref(), &error))?;
    let (major, minor, patch) = OLDEST_SERVER;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(format!(
            "it is nats-server {}, and {major}.{minor} or newer is needed",
            reason(&client.server_info().version)
        ));
    }
    Ok(Connected { client, events })
}

fn options(
    settings: &Cluster,
    name: &str,
    tls: Option<&Connector>,
    tell: mpsc::Sender<Event>,
) -> Result<ConnectOptions, String> {
    let options = ConnectOptions::new();
    let options = match &settings.login {
        Login::None => options,
        Login::Password(user, password) => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Login::Token(token) => options.token(token.expose().to_owned()),
        Login::Nkey(seed) => options.nkey(seed.expose().to_owned()),
        Login::Credentials(text) => options
            .credentials(text.expose())
            .map_err(|error| format!("credentials: {}", reason(&error.to_string())))?,
    };
    let all_tls = settings.urls.iter().all(|url| url.starts_with("tls://"));
    let options = options
        // Also where a server names another one of its cluster, without a scheme.
        .require_tls(settings.tls || all_tls);
    let options = match tls {
        Some(connector) => options.tls_client_config(ClientConfig::clone(connector.tls.config())),
        None => options,
    };
    // It must not connect by itself: what was to be written on one connection is not for the next. It waits, and is dropped.
    let connected = Arc::new(AtomicBool::new(false));
    let was_connected = Arc::clone(&connected);
    Ok(options
        .name(name)
        .no_echo()
        .ignore_discovered_servers()
        .connection_timeout(limits::CONNECTING_MAX)
        .ping_interval(limits::PING_PERIOD)
        .request_timeout(Some(limits::ANSWER_MAX))
        .client_capacity(limits::WRITES_WAITING)
        .subscription_capacity(limits::MESSAGES_WAITING)
        .reconnect_delay_callback(move |_| match was_connected.swap(true, Ordering::Relaxed) {
            false => Duration::ZERO,
            true => Duration::from_secs(86_400),
        })
        .event_callback(move |event| {
            let tell = tell.clone();
            async move {
                let _ = tell.try_send(event);
            }
        }))
}

/// Whether a connection may be one of TLS. Where only the server wants it, it is checked as the section says too.
fn is_tls(settings: &Cluster) -> bool {
    settings.tls
        || settings.ca_list_file.is_some()
        || settings.certificate.is_some()
        || settings.urls.iter().any(|url| url.starts_with("tls://"))
}

/// What TLS goes by, with the files as they are now. The certificate must be one for the host.
fn connector(settings: &Cluster, host: &str) -> Result<Connector, String> {
    let mut section = Transport::default_at(&settings.at.file);
    section.tls = conf::Tls {
        ca_list_file: settings.ca_list_file.clone(),
        cert_file: settings.certificate.as_ref().map(|(it, _)| it.clone()),
        priv_key_file: settings.certificate.as_ref().map(|(_, key)| key.clone()),
        verify_server: true,
        // Servers of one cluster often have one certificate for all.
        allow_wildcard_certs: true,
        ..conf::Tls::default()
    };
    let mut warnings = Vec::new();
    let mut tls = Tls::load(&section, &mut warnings).map_err(|problems| {
        let told = problems
            .iter()
            .map(|it| format!("{}; {}", it.problem, it.advice));
        reason(&told.collect::<Vec<_>>().join("; "))
    })?;
    warnings
        .iter()
        .for_each(|it| tracing::debug!("cluster {}: {it}", settings.cluster));
    tls.named_by = "url=";
    tls.connector(host)
}

/// Why a server could not be connected to.
fn why(settings: &Cluster, tls: Option<&Connector>, error: &ConnectError) -> String {
    let cause = innermost(error);
    match error.kind() {
        ConnectErrorKind::Dns => format!(
            "its name cannot be resolved: {}",
            reason(&cause.to_string())
        ),
        ConnectErrorKind::AuthorizationViolation => refused(&settings.login).to_owned(),
        ConnectErrorKind::Authentication => "the seed of nkey= or credentials= is none".to_owned(),
        ConnectErrorKind::TimedOut => format!(
            "it gives no answer in {} s",
            limits::CONNECTING_MAX.as_secs()
        ),
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => match of_system(error) {
            Some(error) => reason(&match tls {
                Some(connector) => connector.why(error),
                None => tls::why(error),
            }),
            None => match cause.downcast_ref::<ServerError>() {
                Some(said) => format!("it says: {}", words(said)),
                None => reason(&cause.to_string()),
            },
        },
    }
}

/// What the server says, without the client's own prefix.
pub(super) fn words(said: &ServerError) -> String {
    match said {
        ServerError::Other(text) => reason(text),
        other => reason(&other.to_string()),
    }
}

fn refused(login: &Login) -> &'static str {
    match login {
        Login::None => "it wants a login, and none is configured",
        Login::Password(..) => "it refuses the login: wrong username= or password=",
        Login::Token(_) => "it refuses the login: wrong token=",
        Login::Nkey(_) => "it refuses the login: it does not know the nkey",
        Login::Credentials(_) => {
            "it refuses the login: it does not know the user of credentials=, or no longer"
        }
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// The first error of the system among the causes.
fn of_system<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
