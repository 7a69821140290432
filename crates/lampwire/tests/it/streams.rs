//! Two running programs over TLS: with certificates that are checked both ways, and with one that is wrong.

use std::net::Ipv4Addr;

use super::certificates::{Authority, Signed};
use super::harness::{Directory, Node, address, wait_for};

const ONE: &str = "02:00:00:00:00:01";

/// Two addresses with a directory for each one's files, and the authority that both trust.
struct Lab {
    directory: Directory,
    at: [Ipv4Addr; 2],
}

impl Lab {
    fn new(authority: &Authority) -> Self {
        let directory = Directory::new();
        directory.write("authority.pem", &authority.pem);
        Self {
            directory,
            at: [address(), address()],
        }
    }

    /// The transport of a node that shows this certificate and checks those of others.
    fn transport(&self, at: Ipv4Addr, signed: &Signed, name: &str) -> String {
        let pem = self
            .directory
            .write(name, &format!("{}{}", signed.key, signed.certificate));
        let authority = self.directory.0.join("authority.pem");
        format!(
            "[tls]\ntype=transport\nprotocol=tls\nbind={at}:5061\ncert_file={pem}\nca_list_file={}\nverify_server=yes\n\
             verify_client=yes\nrequire_client_cert=yes\n",
            authority.display()
        )
    }

    /// A node that tells the other one of its devices.
    fn telling(&self, signed: &Signed) -> Node {
        let [at, other] = self.at;
        let text = format!(
            "{}[out]\ntype=outbound-publish\nserver_uri=sip:instance1@{other}\\;transport=tls\nevent=asterisk-devicestate\n",
            self.transport(at, signed, "one.pem")
        );
        Node::start(at, &format!("entity_id={ONE}"), &text)
    }

    /// A node that takes everything from `instance1`.
    fn taking(&self, signed: &Signed) -> Node {
        let text = format!(
            "{}[instance1]\ntype=endpoint\n[instance1]\ntype=inbound-publication\nevent_asterisk-devicestate=instance1\n\
             [instance1]\ntype=asterisk-publication\ndevice_state=yes\n",
            self.transport(self.at[1], signed, "two.pem")
        );
        Node::start(self.at[1], "entity_id=02:00:00:00:00:02", &text)
    }

    fn name(&self, index: usize) -> String {
        self.at[index].to_string()
    }
}

fn until_logged(node: &Node, words: &str) {
    wait_for(&format!("{words:?} in a log"), || {
        node.process.log().contains(words).then_some(())
    });
}

#[test]
fn states_cross_by_tls_with_certificates_checked_both_ways() {
    let authority = Authority::new("Lab");
    let lab = Lab::new(&authority);
    let two = lab.taking(&authority.sign(&[&lab.name(1)]));
    let one = lab.telling(&authority.sign(&[&lab.name(0)]));
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    wait_for("the state at the other", || {
        (two.said("Custom:x", ONE)? == "RINGING").then_some(())
    });
}

#[test]
fn a_server_with_a_wrong_certificate_is_refused_and_both_logs_say_why() {
    let authority = Authority::new("Lab");
    let lab = Lab::new(&authority);
    let two = lab.taking(&Authority::new("Other").sign(&[&lab.name(1)]));
    let one = lab.telling(&authority.sign(&[&lab.name(0)]));
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    until_logged(
        &one,
        &format!(
            "its certificate (for {}) is not signed by an authority in ",
            lab.name(1)
        ),
    );
    until_logged(&two, "transport tls: a connection from ");
    until_logged(
        &two,
        "the other side refused the handshake (UnknownCA): it does not know the authority that signed our certificate",
    );
    assert_eq!(two.said("Custom:x", ONE), None);
}

#[test]
fn a_server_with_another_name_is_refused_and_both_logs_say_why() {
    let authority = Authority::new("Lab");
    let lab = Lab::new(&authority);
    let two = lab.taking(&authority.sign(&["elsewhere.test"]));
    let one = lab.telling(&authority.sign(&[&lab.name(0)]));
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    until_logged(
        &one,
        &format!(
            "its certificate is for elsewhere.test, and not for {}",
            lab.name(1)
        ),
    );
    until_logged(
        &two,
        "the other side refused the handshake (BadCertificate)",
    );
    assert_eq!(two.said("Custom:x", ONE), None);
}

#[test]
fn a_client_with_a_wrong_certificate_is_refused_and_both_logs_say_why() {
    let authority = Authority::new("Lab");
    let lab = Lab::new(&authority);
    let two = lab.taking(&authority.sign(&[&lab.name(1)]));
    let one = lab.telling(&Authority::new("Other").sign(&[&lab.name(0)]));
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    until_logged(
        &two,
        &format!(
            "its certificate (for {}) is not signed by an authority in ",
            lab.name(0)
        ),
    );
    until_logged(
        &one,
        "the other side refused the handshake (UnknownCA): it does not know the authority that signed our certificate",
    );
    assert_eq!(two.said("Custom:x", ONE), None);
}
