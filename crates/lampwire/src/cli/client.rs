//! A client of a node's HTTP interface. Its errors say what to do.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::http::types::{ProblemDocument, Readiness};

/// Everything but the unreserved characters of RFC 3986 is encoded, slashes too.
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long the connection may take: a node is near, or it is not there.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an answer may take to begin.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a stream of events may be silent: a node that has nothing to say says so every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The longest answer that is read, in bytes: far above a page of 1000 devices with fifty entities each.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Asks one node.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    /// Without a slash at its end.
    url: String,
    authorization: Option<String>,
}

impl Client {
    /// Takes the node's URL, its token (`@FILE`: the file that holds it), and for https the file of the certificates that are trusted,
    /// where it is not the system's.
    pub(crate) fn new(
        url: &str,
        token: Option<&str>,
        authorities: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let Some(host) = host else {
            bail!("--node {url}: give a URL as http://127.0.0.1:7060");
        };
        if host.trim_end_matches('/').is_empty() {
            bail!("--node {url}: the URL names no host");
        }
        let url = url.trim_end_matches('/');
        let token = match token {
            Some(token) => match token.strip_prefix('@') {
                Some(path) => Some(
                    std::fs::read_to_string(path)
                        .with_context(|| format!("--token: {path} cannot be read"))?
                        .trim()
                        .to_owned(),
                ),
                None => Some(token.to_owned()),
            },
            None => None,
        };
        if token
            .as_ref()
            .is_some_and(|token| !token.bytes().all(|byte| matches!(byte, b' '..=b'~')))
        {
            bail!("--token: a token has ASCII characters only, and no control characters");
        }
        let tls = match url.starts_with("https://") {
            true => tls(authorities)?,
            false => TlsConfig::default(),
        };
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            // A node is asked straight: what proxies there are for the web know nothing of it.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_recv_response(Some(ANSWER_TIME_MAX))
            .user_agent(concat!("lampwire/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            url: url.to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
        })
    }

    /// GET of a path under /api/v1, with parameters.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let mut request = self.agent.get(format!("{}/api/v1/{path}", self.url));
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.json(self.authorized(request).call())
    }

    /// Whether the node is ready: GET of /readyz, which wants no token.
    pub(crate) fn readiness(&self) -> anyhow::Result<Readiness> {
        self.json(self.agent.get(format!("{}/readyz", self.url)).call())
    }

    /// PUT of a JSON body.
    pub(crate) fn put(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let request = self.agent.put(format!("{}/api/v1/{path}", self.url));
        self.checked(self.authorized(request).send_json(body))
            .map(|_| ())
    }

    /// POST of a JSON body.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.url));
        self.json(self.authorized(request).send_json(body))
    }

    /// DELETE.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = self.agent.delete(format!("{}/api/v1/{path}", self.url));
        self.checked(self.authorized(request).call()).map(|_| ())
    }

    /// The event stream, from after the given event or from now on.
    pub(crate) fn events(
        &self,
        pattern: Option<&str>,
        after: Option<&str>,
    ) -> anyhow::Result<impl Read + use<>> {
        let mut request = self.agent.get(format!("{}/api/v1/events", self.url));
        if let Some(pattern) = pattern {
            request = request.query("match", pattern);
        }
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let request = request.config().timeout_per_read(Some(SILENCE_MAX)).build();
        Ok(self
            .checked(self.authorized(request).call())?
            .into_body()
            .into_reader())
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    fn json<T: DeserializeOwned>(
        &self,
        result: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<T> {
        let body = self
            .checked(result)?
            .into_body()
            .into_with_config()
            .limit(ANSWER_BYTES_MAX)
            .reader();
        serde_json::from_reader(io::BufReader::new(body)).with_context(|| {
            format!(
                "what answers at {} is no lampwire node of this version",
                self.url
            )
        })
    }

    /// The answer, if it is one of success.
    fn checked(
        &self,
        result: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Response<Body>> {
        let mut response = result.map_err(|error| self.no_answer(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Option<ProblemDocument> = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Err(match problem {
            Some(_) if status == StatusCode::UNAUTHORIZED => match self.authorization {
                None => anyhow!(
                    "the node at {} wants a token: set LAMPWIRE_TOKEN or give --token",
                    self.url
                ),
                Some(_) => anyhow!(
                    "the node at {} does not take this token: see http_token= of its configuration",
                    self.url
                ),
            },
            Some(problem) if status == StatusCode::NOT_FOUND => NotFound(problem.detail).into(),
            Some(problem) => Refused(problem).into(),
            None => anyhow!("{} answers {status} and is no lampwire node", self.url),
        })
    }

    fn no_answer(&self, error: &ureq::Error) -> anyhow::Error {
        let what_to_do = "start one with `lampwire run`, or give --node URL";
        match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                anyhow!("no node answers at {}: {what_to_do}", self.url)
            }
            ureq::Error::Io(error) if error.get_ref().is_some_and(|it| it.is::<TlsError>()) => {
                anyhow!(
                    "the node at {} is not trusted ({error}): give --cacert FILE with its certificate",
                    self.url
                )
            }
            ureq::Error::BadUri(reason) => anyhow!("--node {}: {reason}", self.url),
            error => anyhow!("no node answers at {} ({error}): {what_to_do}", self.url),
        }
    }
}

/// The node knows of no such thing.
#[derive(Debug)]
struct NotFound(String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The node refuses, in its own words.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) ProblemDocument);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Refused {}

/// Whether an error says that the node knows of no such thing.
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error.is::<NotFound>()
}

/// What https needs: whom to trust.
fn tls(authorities: Option<&Path>) -> anyhow::Result<TlsConfig> {
    let roots: Vec<Certificate<'static>> = match authorities {
        Some(path) => {
            let pem = std::fs::read(path)
                .with_context(|| format!("--cacert: {} cannot be read", path.display()))?;
            let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            found
                .map(|certificate| Certificate::from_der(&certificate).to_owned())
                .collect()
        }
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    if let (true, Some(path)) = (roots.is_empty(), authorities) {
        bail!(
            "--cacert: {} has no certificate in PEM form",
            path.display()
        );
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::from(roots))
        .build())
}

/// A name as it stands in a path.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NAME).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_encoded_for_a_path() {
        assert_eq!(encoded("PJSIP/1001"), "PJSIP%2F1001");
        assert_eq!(encoded("100@default"), "100%40default");
        assert_eq!(encoded("Custom:ü ?#%"), "Custom%3A%C3%BC%20%3F%23%25");
        assert_eq!(encoded(".."), "..");
    }

    #[test]
    fn a_url_that_is_none_is_told() {
        for (url, about) in [
            ("127.0.0.1:7060", "give a URL"),
            ("ftp://x", "give a URL"),
            ("http://", "no host"),
        ] {
            let error = Client::new(url, None, None).unwrap_err().to_string();
            assert!(error.contains(about), "{error}");
        }
        let error = Client::new("http://x", Some("@/nowhere/at/all"), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
