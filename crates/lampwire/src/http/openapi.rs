//! GET /openapi.json: the interface described (OpenAPI 3.1), made from the handlers and the types of their bodies.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::{
    devices, events, explain, health, mailboxes, metrics, overview, refresh, reload, states, types,
};

/// The document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Lampwire",
        description = "Asterisk's exchange of device and mailbox states, seen and set from outside. Errors are problem documents (RFC 9457).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        devices::list, devices::show, devices::set, devices::unset,
        mailboxes::list, mailboxes::show, mailboxes::set, mailboxes::unset, states::set,
        explain::device, explain::mailbox,
        overview::status, overview::peers, overview::publishers, overview::publications, overview::cluster,
        refresh::ask, reload::reload, events::follow,
        metrics::show, health::alive, health::ready, show,
    ),
    components(schemas(
        types::DeviceEvent, types::MailboxEvent, types::PublicationEvent, types::LostEvent,
        types::ResetEvent, types::ProblemDocument
    )),
    modifiers(&Common)
)]
struct Document;

/// What all operations have in common.
struct Common;

/// Where no token is wanted.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "http_token of the node's configuration, where there is one",
            ))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                refusals(path, operation);
            }
        }
    }
}

/// The refusals that every operation may answer with.
fn refusals(path: &str, operation: &mut Operation) {
    let refusal = |what: &str| {
        let schema = RefOr::Ref(Ref::from_schema_name("ProblemDocument"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(what)
            .content("application/problem+json", content);
        RefOr::T(response.build())
    };
    let responses = &mut operation.responses.responses;
    if !OPEN.contains(&path) {
        responses.insert("401".to_owned(), refusal("the node wants another token"));
        operation.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("token", [] as [&str; 0]),
        ]);
    }
    responses.insert("default".to_owned(), refusal("any other refusal"));
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// GET of the document.
#[utoipa::path(get, path = "/openapi.json", tag = "node", operation_id = "openapi", summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The routes of the program, as they stand in its source: a route that is not described is found here.
    #[test]
    fn every_route_is_described() {
        let source = include_str!("mod.rs");
        let (_, source) = source.split_once("pub(crate) fn routes").unwrap();
        let mut routes: Vec<String> = Vec::new();
        let mut rest = source;
        while let Some((_, after)) = rest.split_once(".route(") {
            let (_, quoted) = after.split_once('"').unwrap();
            let (path, after) = quoted.split_once('"').unwrap();
            let path = path.replace("{*", "{");
            // Those of the first router stand under /api/v1.
            let prefix = match after.contains("let with_data") {
                true => "/api/v1",
                false => "",
            };
            routes.push(format!("{prefix}{path}"));
            rest = after;
        }
        routes.sort();
        let document = Document::openapi();
        let described: Vec<String> = document.paths.paths.keys().cloned().collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        let mut count = 0;
        for (index, _) in TEXT.match_indices("\"$ref\": \"#") {
            let pointer = TEXT[index..].split('#').nth(1).unwrap();
            let pointer = pointer.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            count += 1;
        }
        assert!(count > 50);
    }

    #[test]
    fn the_document_is_as_it_was() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json");
        if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, TEXT.as_str()).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        assert!(
            *TEXT == golden,
            "look at what differs from {path}, then set LAMPWIRE_UPDATE_GOLDEN=1 to take it over"
        );
    }
}
