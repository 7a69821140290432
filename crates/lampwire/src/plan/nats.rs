//! The configuration of a NATS server.

use std::fmt::Write as _;

use lampwire_conf::Secret;

use super::peers::{Cluster, Kind, Plan, Server};
use super::secrets::Secrets;

/// What it is called.
pub(super) const FILE_NAME: &str = "nats-server.conf";
/// As whom the servers of one site log in at each other.
pub(super) const ROUTE: &str = "route";
/// As whom the servers of other sites log in at those in the middle.
pub(super) const LEAF: &str = "leaf";

/// Its nats-server.conf.
pub(super) fn of(plan: &Plan, cluster: &Cluster, server: &Server, secrets: &Secrets) -> String {
    let mut out = String::new();
    let Server {
        name,
        site,
        directory,
        store,
        ..
    } = server;
    let bind = |port| std::net::SocketAddr::new(server.bind, port);
    let files = format!(
        "cert_file: \"{directory}/tls/certificate.pem\", key_file: \"{directory}/tls/key.pem\""
    );
    // Whoever connects as a server shows a certificate of the plan's authority too.
    let both =
        format!("  tls {{ {files}, ca_file: \"{directory}/tls/authority.pem\", verify: true }}\n");
    let domain = match cluster.has_sites() {
        true => format!("  domain: \"{site}\"\n"),
        false => String::new(),
    };
    let _ = write!(
        out,
        "\nserver_name: \"{name}\"\nlisten: \"{}\"\n\ntls {{ {files} }}\n\njetstream {{\n  store_dir: \"{store}\"\n{domain}}}\n\n",
        bind(server.port)
    );
    out.push_str("# The nodes of Lampwire at this site.\nauthorization {\n  users: [\n");
    let of_site = |kind, at: &str| kind == Kind::Lampwire && at == site;
    for node in plan.peers.iter().filter(|it| of_site(it.kind, &it.site)) {
        let password = secrets.of_node(&node.name);
        let _ = writeln!(
            out,
            "    {{ user: \"{}\", password: \"{password}\" }}",
            node.name
        );
    }
    out.push_str("  ]\n}\n");
    let others: Vec<&Server> = cluster
        .of_site(site)
        .filter(|other| other.name != *name)
        .collect();
    if !others.is_empty() {
        let password = secrets.of_routes(site);
        let _ = write!(
            out,
            "\n# The other servers of this site.\ncluster {{\n  name: \"{}-{site}\"\n  listen: \"{}\"\n  authorization {{ user: \"{ROUTE}\", password: \"{password}\" }}\n{both}  routes: [\n",
            cluster.name,
            bind(server.route_port())
        );
        for other in others {
            let at = authority(&other.host, other.route_port());
            let _ = writeln!(out, "    \"nats-route://{ROUTE}:{password}@{at}\"");
        }
        out.push_str("  ]\n}\n");
    }
    if !cluster.has_sites() {
        return out;
    }
    let password = secrets.of_leaf();
    if site == cluster.middle() {
        let _ = write!(
            out,
            "\n# The servers of the other sites connect to this one.\nleafnodes {{\n  listen: \"{}\"\n  authorization {{ user: \"{LEAF}\", password: \"{password}\" }}\n{both}}}\n",
            bind(server.leaf_port())
        );
        return out;
    }
    let _ = write!(
        out,
        "\n# The servers of site {}.\nleafnodes {{\n  remotes: [\n    {{\n      urls: [\n",
        cluster.middle()
    );
    for other in cluster.of_site(cluster.middle()) {
        let at = authority(&other.host, other.leaf_port());
        let _ = writeln!(out, "        \"tls://{LEAF}:{password}@{at}\"");
    }
    let _ = write!(
        out,
        "      ]\n      tls {{ {files}, ca_file: \"{directory}/tls/authority.pem\" }}\n    }}\n  ]\n}}\n"
    );
    out
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The password of a user of servers, in a configuration that an earlier run has written.
pub(super) fn password(text: &str, user: &str) -> Option<Secret> {
    let begin = format!("authorization {{ user: \"{user}\", password: \"");
    let rest = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&begin))?;
    let (password, _) = rest.split_once('"')?;
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric();
    (!password.is_empty() && password.bytes().all(is_ours)).then(|| Secret::new(password))
}
