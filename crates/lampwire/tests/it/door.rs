//! Who gets in over HTTP, and how it is encrypted.

use super::certificates::Authority;
use super::harness::{
    Directory, Node, Process, Request, address, finish, lampwire, sections, wait_for,
};

#[test]
fn a_page_of_somebody_else_gets_nothing() {
    let node = Node::alone();
    for host in ["evil.example", "evil.example:7060"] {
        for path in ["/api/v1/devices", "/", "/metrics", "/healthz"] {
            let answer = Request::get(&node.url, path).header("host", host).send();
            assert!(answer.problem(403).contains("evil.example"));
        }
    }
    let port = node.url.rsplit_once(':').unwrap().1;
    let local =
        Request::get(&node.url, "/api/v1/devices").header("host", &format!("localhost:{port}"));
    assert_eq!(local.send().status, 200);
    let put = |origin: &str| {
        Request::get(&node.url, "/api/v1/devices/Custom%3Ax")
            .method("PUT")
            .header("origin", origin)
            .body(r#"{"state":"INUSE"}"#)
            .send()
    };
    put("http://evil.example").problem(403);
    put("null").problem(403);
    assert_eq!(put(&node.url).status, 201);
}

#[test]
fn the_page_is_open_and_strict_and_the_rest_wants_the_token() {
    let node = Node::start(address(), "http_token=s3cret", "");
    for path in ["/", "/assets/app.js", "/assets/style.css"] {
        let answer = node.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for path in [
        "/metrics",
        "/openapi.json",
        "/api/v1/explain/devices/x",
        "/api/v1/status",
    ] {
        node.get(path).problem(401);
    }
    node.get("/assets/nothing.js").problem(404);
    node.post("/", "{}").problem(405);
    let described = Request::get(&node.url, "/openapi.json")
        .header("authorization", "Bearer s3cret")
        .send();
    assert_eq!(described.json["openapi"], "3.1.0");
    // Each operation that is described is one: asked for without its right parameters it answers, and not that it is none.
    for (path, item) in described.json["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let asked = path.replace("{device}", "x").replace("{uniqueid}", "x");
            let answer = Request::get(&node.url, &asked)
                .method(&method.to_uppercase())
                .send();
            assert!(
                matches!(answer.status, 200 | 401),
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[test]
fn with_a_certificate_it_is_https_and_nothing_else() {
    let at = address();
    let authority = Authority::new("Authority of a test");
    let signed = authority.sign(&[&at.to_string()]);
    let directory = Directory::new();
    let ca = directory.write("ca.pem", &authority.pem);
    let both = directory.write("both.pem", &(signed.certificate.clone() + &signed.key));
    let config = directory.write("lampwire.conf", &sections(at, &format!("http_cert={both}")));
    let process = Process::start(lampwire().args(["run", "-c", &config]));
    let url = format!("https://{at}:7060");
    wait_for("a node that answers", || {
        let mut command = lampwire();
        command.args(["status", "--json", "--node", &url, "--cacert", &ca]);
        (finish(&mut command).0 == 0).then_some(())
    });
    let (code, _, error) = finish(lampwire().args(["status", "--node", &url]));
    assert_eq!(code, 1);
    assert!(error.contains("--cacert"), "{error}");
    let (code, ..) = finish(lampwire().args(["status", "--node", &format!("http://{at}:7060")]));
    assert_eq!(code, 1);
    assert!(
        process.log().contains("HTTP on https://"),
        "{}",
        process.log()
    );
}

#[test]
fn a_certificate_that_is_none_is_told_by_its_option() {
    let at = address();
    let directory = Directory::new();
    let config = directory.write(
        "lampwire.conf",
        &sections(at, "http_cert=/nowhere/c.pem\nhttp_key=/nowhere/k.pem"),
    );
    let (code, _, error) = finish(lampwire().args(["run", "-c", &config]));
    assert_eq!(code, 1);
    assert!(
        error.contains("http_cert") && error.contains("/nowhere/c.pem"),
        "{error}"
    );
    assert!(
        error.contains("http_key") && !error.contains("priv_key_file"),
        "{error}"
    );
}

/// Whoever is kept out is counted and told, and not oftener than a log can bear; his token is not.
#[test]
fn who_is_kept_out_is_counted_and_told() {
    let client = "[door]\ntype=api-client\ntoken=door-token\ndevice_state_filter=^Custom:door\n";
    let node = Node::start(address(), "http_token=s3cret", client);
    let ask = |token: Option<&str>, path: &str| {
        let request = Request::get(&node.url, path);
        match token {
            Some(token) => request.header("authorization", &format!("Bearer {token}")),
            None => request,
        }
        .send()
    };
    ask(None, "/api/v1/devices").problem(401);
    for _ in 0..100 {
        ask(Some("wr0ng-token"), "/api/v1/devices?match=x").problem(401);
    }
    ask(Some("door-token"), "/api/v1/peers").problem(403);
    let request = Request::get(&node.url, "/api/v1/refresh").method("POST");
    let from_elsewhere = request.header("origin", "http://evil.example").send();
    from_elsewhere.problem(403);
    let text = ask(Some("s3cret"), "/metrics").text;
    for (reason, count) in [
        ("no-token", 1),
        ("wrong-token", 100),
        ("client-may-not", 1),
        ("other-origin", 1),
    ] {
        let line = format!("lampwire_http_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&line), "{line}: {text}");
    }
    let log = node.process.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("http-refused: "))
        .collect();
    assert!((20..40).contains(&told.len()), "{}: {log}", told.len());
    assert!(
        told[0].contains("WARN") && told[0].contains("answered 401 to GET /api/v1/devices: "),
        "{}",
        told[0]
    );
    assert!(told[0].contains(" 127."), "{}", told[0]);
    assert!(log.contains("DEBUG http-no-token: "), "{log}");
    for secret in ["wr0ng-token", "door-token", "s3cret"] {
        assert!(!log.contains(secret), "{log}");
    }
}
