//! GET /: the page, and what it is made of. All of it stands in the program; it loads nothing from elsewhere, and holds no data.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::Service;

/// Nothing but our own files may run, be shown or be asked, and no other page may hold this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a file of the page is.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $name:literal, $content_type:expr) => {
        File {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("../../web/", $name)),
        }
    };
}

/// All files.
const FILES: &[File] = &[
    file!("/", "index.html", HTML),
    file!("/assets/style.css", "style.css", STYLE),
    file!("/assets/icon.svg", "icon.svg", SVG),
    file!("/assets/app.js", "app.js", SCRIPT),
    file!("/assets/api.js", "api.js", SCRIPT),
    file!("/assets/store.js", "store.js", SCRIPT),
    file!("/assets/dom.js", "dom.js", SCRIPT),
    file!("/assets/board.js", "board.js", SCRIPT),
    file!("/assets/web.js", "web.js", SCRIPT),
    file!("/assets/tables.js", "tables.js", SCRIPT),
    file!("/assets/cluster.js", "cluster.js", SCRIPT),
    file!("/assets/explain.js", "explain.js", SCRIPT),
];

/// The routes of the page's files.
pub(crate) fn routes() -> Router<Service> {
    FILES.iter().fold(Router::new(), |routes, file| {
        routes.route(file.path, get(move || async move { file.answer() }))
    })
}

impl File {
    fn answer(&self) -> impl IntoResponse + use<> {
        let headers = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // A new version of the program is a new page at once.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_address_but_its_own() {
        for file in FILES {
            let text = file.text.replace("http://www.w3.org/", "");
            for foreign in [
                "http://",
                "https://",
                "//cdn",
                "eval(",
                "innerHTML",
                " style=\"",
            ] {
                assert!(!text.contains(foreign), "{}: {foreign}", file.path);
            }
        }
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for file in FILES {
            for (index, _) in file.text.match_indices("/assets/") {
                let name = file.text[index..].split(['"', '\'']).next().unwrap_or("");
                assert!(
                    FILES.iter().any(|it| it.path == name),
                    "{}: {name}",
                    file.path
                );
            }
        }
    }
}
