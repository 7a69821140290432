//! The configuration of one peer, in the form that real Asterisks have been tried with.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::peers::{Cluster, Kind, Peer, Plan};
use super::resource;
use super::secrets::Secrets;

/// Its pjsip.conf or lampwire.conf.
pub(super) fn of(plan: &Plan, peer: &Peer, secrets: &Secrets) -> String {
    let mut out = String::new();
    if peer.kind == Kind::Lampwire {
        let relay = if plan.is_hub(peer) { "\nrelay=yes" } else { "" };
        let _ = write!(out, "\n[lampwire]\ntype=lampwire{relay}\n");
        if let Some(cluster) = &plan.cluster {
            share(&mut out, cluster, peer, secrets);
        }
    }
    if !peer.existing_transport {
        transport(&mut out, plan, peer);
    }
    for other in plan.others(peer) {
        relation(&mut out, plan, peer, other, secrets);
    }
    out
}

/// What a node shares with the others over NATS.
fn share(out: &mut String, cluster: &Cluster, peer: &Peer, secrets: &Secrets) {
    let urls: Vec<String> = cluster
        .of_site(&peer.site)
        .map(|server| {
            format!(
                "tls://{}",
                super::nats::authority(&server.host, server.port)
            )
        })
        .collect();
    let (name, site) = (&peer.name, &peer.site);
    let _ = write!(
        out,
        "\n[cluster]\ntype=cluster\ncluster={}\nnode={name}\nsite={site}\nurl={}\ntls=yes\nca_list_file={}/tls/authority.pem\nusername={name}\npassword={}\nreplicas={}\n",
        cluster.name,
        urls.join(","),
        peer.directory,
        secrets.of_node(name),
        cluster.replicas(site)
    );
    if cluster.has_sites() {
        let _ = writeln!(out, "domain={site}");
    }
    if let Some(rank) = peer.rank {
        let _ = writeln!(out, "rank={rank}");
    }
    for (option, filter) in [
        ("wide_device_state_filter", &peer.wide_devices),
        ("wide_mailbox_state_filter", &peer.wide_mailboxes),
    ] {
        if let Some(filter) = filter {
            let _ = writeln!(out, "{option}={filter}");
        }
    }
}

fn transport(out: &mut String, plan: &Plan, peer: &Peer) {
    let bind = std::net::SocketAddr::new(peer.bind, peer.port);
    if !plan.tls {
        let _ = write!(
            out,
            "\n[lamp-udp]\ntype=transport\nprotocol=udp\nbind={bind}\n"
        );
        return;
    }
    let _ = write!(
        out,
        "\n[lamp-tls]\ntype=transport\nprotocol=tls\nbind={bind}\nmethod=tlsv1_2\n\
         cert_file={0}/tls/certificate.pem\npriv_key_file={0}/tls/key.pem\nca_list_file={0}/tls/authority.pem\n\
         verify_server=yes\nverify_client=yes\nrequire_client_cert=yes\n",
        peer.directory
    );
}

/// Everything about one other peer.
fn relation(out: &mut String, plan: &Plan, peer: &Peer, other: &Peer, secrets: &Secrets) {
    let (me, them) = (resource(peer), resource(other));
    let _ = write!(out, "\n; {}\n[{them}]\ntype=endpoint\n", other.name);
    let answer = secrets.of(&peer.name, &other.name);
    match secrets.of(&other.name, &peer.name) {
        Some(password) => {
            let _ = write!(
                out,
                "identify_by=username\nauth={them}-in\n\n[{them}-in]\ntype=auth\nusername={them}\npassword={}\n",
                escaped(password)
            );
        }
        None => address_alone(out, plan, other, &them),
    }
    if let Some(password) = answer {
        let _ = write!(
            out,
            "\n[{them}-out]\ntype=auth\nusername={me}\npassword={}\n",
            escaped(password)
        );
    }
    let (sends_devices, sends_mailboxes) = filters(plan, peer);
    for (suffix, event, option, filter) in [
        (
            "devicestate",
            "asterisk-devicestate",
            "@device_state_filter",
            sends_devices,
        ),
        (
            "mwi",
            "asterisk-mwi",
            "@mailbox_state_filter",
            sends_mailboxes,
        ),
    ] {
        let _ = write!(
            out,
            "\n[{them}-{suffix}]\ntype=outbound-publish\nserver_uri={}\nevent={event}\n",
            server_uri(plan, &me, other)
        );
        if answer.is_some() {
            let _ = writeln!(out, "outbound_auth={them}-out");
        }
        if let Some(filter) = filter {
            let _ = writeln!(out, "{option}={filter}");
        }
    }
    let _ = write!(
        out,
        "\n[{them}]\ntype=inbound-publication\nendpoint={them}\nevent_asterisk-devicestate={them}\nevent_asterisk-mwi={them}\n"
    );
    let _ = write!(
        out,
        "\n[{them}]\ntype=asterisk-publication\ndevicestate_publish={them}-devicestate\nmailboxstate_publish={them}-mwi\n"
    );
    let (takes_devices, takes_mailboxes) = filters(plan, other);
    for (option, filter) in [
        ("device_state", takes_devices),
        ("mailbox_state", takes_mailboxes),
    ] {
        let _ = writeln!(out, "{option}=yes");
        if let Some(filter) = filter {
            let _ = writeln!(out, "{option}_filter={filter}");
        }
    }
}

/// Without passwords only the address tells who it is; where it tells two apart from nobody, the name and the address together do.
fn address_alone(out: &mut String, plan: &Plan, other: &Peer, them: &str) {
    let host = &other.host;
    match host.parse::<IpAddr>() {
        Ok(address) if plan.shares_address(other) => {
            let _ = write!(
                out,
                "identify_by=username\ndeny=0.0.0.0/0\ndeny=::/0\npermit={address}\n"
            );
        }
        _ => {
            let _ = write!(
                out,
                "identify_by=ip\n\n[{them}]\ntype=identify\nendpoint={them}\nmatch={host}\nsrv_lookups=no\n"
            );
        }
    }
}

/// What a peer sends: its own devices and mailboxes; a hub passes on whatever it has.
fn filters<'a>(plan: &Plan, peer: &'a Peer) -> (Option<&'a str>, Option<&'a str>) {
    match plan.is_hub(peer) {
        true => (None, None),
        false => (peer.devices.as_deref(), peer.mailboxes.as_deref()),
    }
}

fn server_uri(plan: &Plan, me: &str, other: &Peer) -> String {
    let host = match other.host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => other.host.clone(),
    };
    match (plan.tls, other.port) {
        (true, port) => format!("sip:{me}@{host}:{port}\\;transport=tls"),
        (false, 5060) => format!("sip:{me}@{host}"),
        (false, port) => format!("sip:{me}@{host}:{port}"),
    }
}

/// A value in which `;` is none of a comment's.
fn escaped(text: &str) -> String {
    text.replace(';', "\\;")
}

/// The extensions of the others' telephones, where their filters tell what these are called. None: it is no Asterisk.
pub(super) fn hints(plan: &Plan, peer: &Peer) -> Option<String> {
    if peer.kind != Kind::Asterisk {
        return None;
    }
    let mut out = String::from(
        "\n; Hints for the telephones of the other servers. Include the context in the one that telephones subscribe in.\n\n[lamp-hints]\n",
    );
    let all = plan.peers.iter();
    for other in all.filter(|other| other.name != peer.name && other.kind == Kind::Asterisk) {
        let hint = other.devices.as_deref().and_then(hint);
        let _ = match hint {
            Some((technology, digits)) => writeln!(
                out,
                "; {}\nexten => _{digits}.,hint,{technology}/${{EXTEN}}",
                other.name
            ),
            None => writeln!(
                out,
                "; {0}: its `devices` do not tell how its telephones are called; for each one a line such as\n;exten => 1001,hint,PJSIP/1001",
                other.name
            ),
        };
    }
    Some(out)
}

/// Technology and first digits of `^PJSIP/1`.
fn hint(filter: &str) -> Option<(&str, &str)> {
    let (technology, digits) = filter.strip_prefix('^')?.split_once('/')?;
    let plain =
        |text: &str, of: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| of(&byte));
    (plain(technology, u8::is_ascii_alphanumeric) && plain(digits, u8::is_ascii_digit))
        .then_some((technology, digits))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::peers::Authentication;

    #[test]
    fn hints_need_a_telling_filter() {
        assert_eq!(hint("^PJSIP/1"), Some(("PJSIP", "1")));
        for filter in [
            "PJSIP/1",
            "^PJSIP/",
            "^PJSIP/1$",
            "^(PJSIP|SIP)/1",
            "^Custom:1",
        ] {
            assert_eq!(hint(filter), None, "{filter}");
        }
    }

    #[test]
    fn no_password_without_digest() {
        let plan = Plan::parse("auth=\"none\"\n[[peer]]\nname=\"a\"\naddress=\"10.0.0.1\"\n[[peer]]\nname=\"b\"\naddress=\"10.0.0.1:5070\"\n").unwrap();
        assert_eq!(plan.auth, Authentication::None);
        let secrets = Secrets::gather(&plan, std::path::Path::new("/nonexistent")).unwrap();
        let text = of(&plan, &plan.peers[0], &secrets);
        assert!(
            !text.contains("password") && text.contains("permit=10.0.0.1"),
            "{text}"
        );
        assert!(
            text.contains("server_uri=sip:lamp-a@10.0.0.1:5070\n"),
            "{text}"
        );
    }
}
