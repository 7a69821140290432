//! What cannot run: one clear line each, exit status 1, no panic.

use std::net::UdpSocket;

use super::harness::{Directory, address, run, sections};

/// Runs a node with this text and gives its errors.
fn refused(text: &str) -> String {
    let directory = Directory::new();
    let path = directory.write("lampwire.conf", text);
    let (code, out, error) = run(&["run", "-c", &path]);
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    error.replace(&path, "FILE")
}

fn line<'a>(error: &'a str, start: &str) -> &'a str {
    let found: Vec<&str> = error
        .lines()
        .filter(|line| line.starts_with(start))
        .collect();
    assert_eq!(found.len(), 1, "{error}");
    found[0]
}

#[test]
fn a_wrong_option() {
    let error = refused("[a]\ntype=endpoint\nidentify_bye=ip\n");
    let line = line(&error, "FILE:3");
    assert!(
        line.contains("error") && line.contains("identify_by"),
        "{error}"
    );
}

#[test]
fn a_wrong_regex() {
    let error =
        refused("[a]\ntype=asterisk-publication\ndevice_state=yes\ndevice_state_filter=^PJSIP/(\n");
    assert!(line(&error, "FILE:4").contains("error"), "{error}");
}

#[test]
fn an_include_that_cannot_be_read() {
    let error = refused("#include nowhere.conf\n");
    let line = line(&error, "FILE:1");
    assert!(line.contains("nowhere.conf"), "{error}");
}

#[test]
fn all_errors_at_once() {
    let error =
        refused("[a]\ntype=endpoint\nidentify_bye=ip\n[b]\ntype=transport\nbind=nowhere at all\n");
    line(&error, "FILE:3");
    line(&error, "FILE:6");
}

#[test]
fn a_file_that_is_not_there() {
    let (code, _, error) = run(&["run", "-c", "/nowhere/lampwire.conf"]);
    assert_eq!(code, 1);
    assert!(error.contains("/nowhere/lampwire.conf"), "{error}");
    let directory = Directory::new();
    let (code, _, error) = run(&["run", "-c", directory.0.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(error.contains("directory"), "{error}");
}

#[test]
fn ports_in_use() {
    let at = address();
    let _sip = UdpSocket::bind((at, 5060)).unwrap();
    let _http = std::net::TcpListener::bind((at, 7060)).unwrap();
    let error = refused(&sections(at, ""));
    let sip = line(&error, "error: FILE:1: transport udp");
    assert!(
        sip.contains("port is in use") && sip.contains("change bind= of [udp]"),
        "{error}"
    );
    let http = line(&error, "error: FILE:5: http_bind");
    assert!(
        http.contains("port is in use") && http.contains("change http_bind="),
        "{error}"
    );
}

#[test]
fn an_address_that_is_not_ours() {
    let error = refused(
        "[udp]\ntype=transport\nbind=192.0.2.1:5060\n[lampwire]\ntype=lampwire\nhttp_bind=\n",
    );
    assert!(
        line(&error, "error: ").contains("does not have that address"),
        "{error}"
    );
}

#[test]
fn tls_files_that_are_not_there_or_make_no_sense() {
    let directory = Directory::new();
    let garbage = directory.write("garbage.pem", "not a certificate");
    let at = address();
    let tls = format!(
        "[tls]\ntype=transport\nprotocol=tls\nbind={at}:5061\ncert_file=/nowhere/cert.pem\npriv_key_file={garbage}\n\
         ca_list_file={garbage}\nmethod=tlsv1\nverify_server=yes\n"
    );
    let error = refused(&format!("{}{tls}", sections(at, "")));
    for words in [
        "transport tls: method=tlsv1: TLS 1.0 is broken",
        "/nowhere/cert.pem",
        "garbage.pem",
    ] {
        assert!(error.contains(words), "{words:?} in {error}");
    }
}

#[test]
fn check_prints_what_run_would_refuse() {
    let directory = Directory::new();
    let path = directory.write("wrong.conf", "[a]\ntype=endpoint\nidentify_bye=ip\n");
    let (code, out, error) = run(&["check", &path]);
    assert_eq!((code, error.as_str()), (1, ""));
    assert!(out.starts_with(&format!("{path}:3")), "{out}");
    assert!(out.contains("1 error"), "{out}");
    let path = directory.write("right.conf", &sections(address(), ""));
    let (code, out, _) = run(&["check", &path]);
    assert_eq!(code, 0, "{out}");
    let (code, _, error) = run(&["check", &path, &path]);
    assert_eq!(code, 1);
    assert!(error.contains("given twice"), "{error}");
}

#[test]
fn the_examples_of_the_documentation_are_without_errors() {
    for name in [
        "instance1.conf",
        "instance2.conf",
        "instance2-filtered.conf",
    ] {
        let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let (code, out, _) = run(&["check", &path]);
        assert_eq!(code, 0, "{out}");
    }
}
