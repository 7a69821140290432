//! Pages of others keep out: a browser on this machine that shows one must not be its hand here.
//!
//! A name that an attacker owns may resolve to 127.0.0.1 (DNS rebinding); then his page has the same origin as a node without token.
//! So without a token a request must name the node by its address or as localhost. And whatever a page of another origin sends, with a
//! token or without, changes nothing.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Service;
use super::problem::Problem;

/// Lets a request pass that is no other page's.
pub(crate) async fn keep_out(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    let is_open = service.config.get().lampwire.http_token.is_none();
    match check(request.method(), request.uri(), request.headers(), is_open) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap, is_open: bool) -> Result<(), Problem> {
    let host = headers
        .get(header::HOST)
        .map(|it| it.to_str().unwrap_or("?"));
    let host = host.or(uri.authority().map(|it| it.as_str()));
    if let Some(host) = host
        && is_open
        && !is_own_name(host)
    {
        let detail = format!(
            "{host:?} is no name of this node: ask it by its address or as localhost, or set http_token in its configuration"
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "wrong-host", detail));
    }
    // What browsers say of whose request it is; a page of another site has nothing to ask here, but it may lead to our page.
    let said = |name: &str| headers.get(name).map(|it| it.as_bytes());
    if said("sec-fetch-site") == Some(b"cross-site") && said("sec-fetch-mode") != Some(b"navigate")
    {
        let detail = "a page of another site may ask nothing here";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other-origin", detail));
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    if matches!(*method, Method::GET | Method::HEAD) {
        // Without the CORS headers that are never sent, the other page cannot read the answer.
        return Ok(());
    }
    let origin = origin.to_str().unwrap_or("?");
    let of_origin = origin.split_once("://").map(|(_, authority)| authority);
    if of_origin.is_some() && of_origin == host {
        return Ok(());
    }
    let detail = format!("a page of {origin} may not change anything here");
    Err(Problem::new(StatusCode::FORBIDDEN, "other-origin", detail))
}

/// Whether a Host names an address, which nobody's DNS can do for him, or this machine.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(method: Method, host: &str, origin: Option<&str>, is_open: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&method, &Uri::from_static("/"), &headers, is_open).is_ok()
    }

    #[test]
    fn a_rebound_name_is_none_of_ours() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:7060",
            "[::1]:7060",
            "localhost:7060",
            "LOCALHOST",
            "a.localhost:1",
            "192.0.2.1",
        ] {
            assert!(asked(Method::GET, host, None, true), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7060",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "x",
            "",
        ] {
            assert!(!asked(Method::GET, host, None, true), "{host}");
            assert!(asked(Method::GET, host, None, false), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_may_lead_here_and_ask_nothing() {
        let asked = |site: &str, mode: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:7060".parse().unwrap());
            headers.insert("sec-fetch-site", site.parse().unwrap());
            headers.insert("sec-fetch-mode", mode.parse().unwrap());
            check(&Method::GET, &Uri::from_static("/"), &headers, true).is_ok()
        };
        assert!(asked("cross-site", "navigate"));
        assert!(asked("same-origin", "cors") && asked("none", "navigate"));
        assert!(!asked("cross-site", "cors") && !asked("cross-site", "no-cors"));
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        for is_open in [true, false] {
            let put = |origin| asked(Method::PUT, "127.0.0.1:7060", origin, is_open);
            assert!(put(None));
            assert!(put(Some("http://127.0.0.1:7060")));
            assert!(put(Some("https://127.0.0.1:7060")));
            for other in ["http://evil.example", "http://127.0.0.1:8080", "null"] {
                assert!(!put(Some(other)), "{other}");
                assert!(asked(Method::GET, "127.0.0.1:7060", Some(other), is_open));
            }
        }
    }
}
