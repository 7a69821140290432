//! The README of a plan: what to copy where.

use std::fmt::Write as _;

use super::peers::{Authentication, Kind, Peer, Plan, Server, Topology};

pub(super) fn text(plan: &Plan) -> String {
    let mut out = String::from("# What to copy where\n\n");
    let shape = match plan.topology {
        Topology::Mesh => {
            "Each of these servers exchanges device and mailbox states with each other.".to_owned()
        }
        Topology::Cluster => "Each of these Asterisks exchanges device and mailbox states with the Lampwires that it is attached to, and these share what they hear over NATS: they are one hub.".to_owned(),
        Topology::Hub => format!(
            "Each of these servers exchanges device and mailbox states with {}, which passes on what it hears.",
            plan.hub
                .and_then(|hub| plan.peers.get(hub))
                .map_or("the hub", |hub| &hub.name)
        ),
    };
    let proof = match plan.auth {
        Authentication::Digest => {
            "Each proves who it is by a password of its own for each of the others; the passwords stand in the files here and nowhere else."
        }
        Authentication::None => {
            "Each is known by its address alone: keep others off the network between them."
        }
    };
    let wire = match plan.tls {
        true => {
            " They speak TLS, and check each other's certificates, which the authority in `authority/` has signed. Keep its key safe: who has it can be any of them."
        }
        false => " What they say can be read on the way; `tls = true` in the plan encrypts it.",
    };
    let _ = write!(
        out,
        "{shape} {proof}{wire}\n\n| name | kind | address | sends |\n|---|---|---|---|\n"
    );
    for peer in &plan.peers {
        let kind = match peer.kind {
            Kind::Asterisk => "Asterisk",
            Kind::Lampwire if plan.cluster.is_some() => "Lampwire, a node",
            Kind::Lampwire if plan.is_hub(peer) => "Lampwire, the hub",
            Kind::Lampwire => "Lampwire",
        };
        let code = |filter: &Option<String>| {
            filter.as_ref().map_or("all".to_owned(), |filter| {
                format!("`{}`", filter.replace('|', "\\|"))
            })
        };
        let _ = writeln!(
            out,
            "| {} | {kind} | {} | devices {}, mailboxes {} |",
            peer.name,
            authority(peer),
            code(&peer.devices),
            code(&peer.mailboxes)
        );
    }
    let _ = write!(
        out,
        "\nLook at all of it, before and after you change anything:\n\n    lampwire check"
    );
    for peer in &plan.peers {
        let _ = write!(out, " {}={}", authority(peer), peer.name);
    }
    out.push_str("\n\nThe files hold passwords: copy them by ssh, and let nobody but the service read them. To add a server, add it to PEERS.toml, run `lampwire plan` again, and copy what it calls new or changed.\n");
    servers(&mut out, plan);
    for server in plan.cluster.iter().flat_map(|it| &it.servers) {
        nats(&mut out, plan, server);
    }
    let protocol = if plan.tls { "TCP" } else { "UDP" };
    for peer in &plan.peers {
        let _ = write!(
            out,
            "\n## {}\n\nOpen {protocol} port {} to the others.\n",
            peer.name, peer.port
        );
        match peer.kind {
            Kind::Asterisk => asterisk(&mut out, plan, peer),
            Kind::Lampwire => lampwire(&mut out, plan, peer),
        }
    }
    out
}

fn asterisk(out: &mut String, plan: &Plan, peer: &Peer) {
    let (name, directory) = (&peer.name, &peer.directory);
    let _ = write!(
        out,
        "\n1. Copy `{name}/pjsip.conf` to `{directory}/pjsip.conf`, readable by Asterisk's user alone{}.\n\
         2. Add this line at the end of `/etc/asterisk/pjsip.conf`:\n\n       #include \"{directory}/pjsip.conf\"\n\n",
        match plan.tls {
            true => format!(", and `{name}/tls` to `{directory}/tls`"),
            false => String::new(),
        }
    );
    if peer.existing_transport {
        let _ = writeln!(
            out,
            "   It uses a transport that is there; it must listen at port {}.",
            peer.port
        );
    } else {
        let _ = writeln!(
            out,
            "   It brings a transport of its own. If the server has one at port {} already, write `existing_transport = true` for this peer and run the plan again.",
            peer.port
        );
    }
    let _ = write!(
        out,
        "3. These modules must be loaded: `res_pjsip_pubsub`, `res_pjsip_outbound_publish`, `res_pjsip_publish_asterisk`, `res_pjsip_endpoint_identifier_{}`{}.\n\
         4. `core show settings` on its command line tells its Entity ID: no two servers may have the same. `entityid` in `[options]` of asterisk.conf sets it.\n\
         5. Restart Asterisk when nobody speaks: `asterisk -rx 'core restart when convenient'`. A publish that a peer has refused before stays silent until then.\n",
        match plan.auth {
            Authentication::Digest => "user",
            Authentication::None => "ip",
        },
        match plan.auth {
            Authentication::Digest =>
                ", `res_pjsip_authenticator_digest`, `res_pjsip_outbound_authenticator_digest`",
            Authentication::None if plan.shares_address(peer) =>
                ", `res_pjsip_endpoint_identifier_user`, `res_pjsip_acl`",
            Authentication::None => "",
        }
    );
    if plan.hints {
        let _ = writeln!(
            out,
            "6. Copy `{name}/extensions.conf` to `{directory}/extensions.conf`, `#include` it in `/etc/asterisk/extensions.conf`, and write `include => lamp-hints` in the context that telephones subscribe in."
        );
    }
}

/// The NATS servers, all together.
fn servers(out: &mut String, plan: &Plan) {
    let Some(cluster) = &plan.cluster else {
        return;
    };
    out.push_str(
        "\nBegin with the NATS servers, which speak TLS in any case: their certificates are of the authority in `authority/`.",
    );
    if cluster.has_sites() {
        let _ = write!(
            out,
            " Those of the other sites connect to those of site {}; while these are away, each site goes on by itself.",
            cluster.middle()
        );
    }
    out.push_str("\n\n| NATS server | site | nodes connect to |\n|---|---|---|\n");
    for server in &cluster.servers {
        let at = super::nats::authority(&server.host, server.port);
        let _ = writeln!(out, "| {} | {} | {at} |", server.name, server.site);
    }
}

fn nats(out: &mut String, plan: &Plan, server: &Server) {
    let Server {
        name,
        directory,
        store,
        site,
        ..
    } = server;
    let Some(cluster) = &plan.cluster else {
        return;
    };
    let mut ports = vec![format!("{} to the nodes of site {site}", server.port)];
    if cluster.of_site(site).count() > 1 {
        ports.push(format!(
            "{} to the other NATS servers of the site",
            server.route_port()
        ));
    }
    if cluster.has_sites() && cluster.middle() == site {
        ports.push(format!(
            "{} to the NATS servers of the other sites",
            server.leaf_port()
        ));
    }
    let _ = write!(
        out,
        "\n## {name}\n\nOpen TCP port {}.\n\n\
         1. Install NATS, 2.9 or newer (`apt install nats-server`).\n\
         2. Copy `{name}/tls` to `{directory}/tls`, and `{name}/nats-server.conf` to where the service reads it (`/etc/nats-server.conf` on Debian), both readable by the service's user alone.\n\
         3. Make `{store}`, which belongs to that user. What the nodes share is kept there.\n\
         4. `nats-server -t -c /etc/nats-server.conf`, then start the service again.\n",
        ports.join(", ")
    );
}

fn lampwire(out: &mut String, plan: &Plan, peer: &Peer) {
    let (name, directory) = (&peer.name, &peer.directory);
    let _ = write!(
        out,
        "\n1. Copy `{name}/lampwire.conf` to `{directory}/lampwire.conf`, readable by Lampwire's user alone{}.\n\
         2. `lampwire check {directory}/lampwire.conf`, then start the service again, or `lampwire run -c {directory}/lampwire.conf`.\n\
         3. `lampwire show peers` tells whether the others are there.\n",
        match plan.tls || plan.cluster.is_some() {
            true => format!(", and `{name}/tls` to `{directory}/tls`"),
            false => String::new(),
        }
    );
}

/// `host:port`, as `check` takes it.
fn authority(peer: &Peer) -> String {
    match peer.host.contains(':') {
        true => format!("[{}]:{}", peer.host, peer.port),
        false => format!("{}:{}", peer.host, peer.port),
    }
}
