//! The demo's two configurations: the example of Asterisk's documentation as it stands, with loopback addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lampwire_conf::{Config, Severity, Source};

/// The example, and the address of each instance in it.
const EXAMPLES: [(&str, &str); 2] = [
    (
        include_str!("../../../../examples/instance1.conf"),
        "172.16.10.1",
    ),
    (
        include_str!("../../../../examples/instance2.conf"),
        "172.16.10.2",
    ),
];

/// The names of the two, as the example has them.
pub(crate) const NAMES: [&str; 2] = ["instance1", "instance2"];

/// Where the two live here. Not 127.0.0.1: each has the same port on an address of its own, as two machines would.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];

/// Where an instance's HTTP is.
pub(crate) fn http_address(http_port: u16, instance: usize) -> SocketAddr {
    let offset = u16::from(instance > 0);
    SocketAddr::from((Ipv4Addr::LOCALHOST, http_port.saturating_add(offset)))
}

/// The configuration of instance 0 or 1.
pub(crate) fn load(instance: usize, sip_port: u16, http_port: u16) -> anyhow::Result<Arc<Config>> {
    let text = text(instance, sip_port, http_port);
    let name = format!("{}.conf", NAMES[instance]);
    let (config, diagnostics) = lampwire_conf::load(&name, &mut Text(text));
    for diagnostic in diagnostics {
        if diagnostic.severity == Severity::Error {
            anyhow::bail!("the demo's own configuration: {diagnostic}");
        }
        tracing::debug!("{diagnostic}");
    }
    Ok(Arc::new(config))
}

fn text(instance: usize, sip_port: u16, http_port: u16) -> String {
    let mut text = EXAMPLES[instance].0.to_owned();
    for ((_, from), to) in EXAMPLES.iter().zip(ADDRESSES) {
        text = text.replace(
            from,
            &if sip_port == 5060 {
                to.to_string()
            } else {
                format!("{to}:{sip_port}")
            },
        );
    }
    let address = ADDRESSES[instance];
    let http = http_address(http_port, instance);
    let number = instance + 1;
    text.push_str(&format!(
        "\n[udp]\ntype=transport\nprotocol=udp\nbind={address}:{sip_port}\n\
         \n[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:0{number}\nhttp_bind={http}\nstate_dir=\n"
    ));
    text
}

/// The one file there is.
struct Text(String);

impl Source for Text {
    fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }

    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_becomes_two_nodes_that_know_each_other() {
        let one = load(0, 5060, 7060).unwrap();
        assert_eq!(
            one.outbound_publishes[0].server_uri,
            "sip:instance1@127.0.1.2"
        );
        assert_eq!(one.transports[0].bind, "127.0.1.1:5060".parse().unwrap());
        assert_eq!(
            one.lampwire.http_bind,
            Some("127.0.0.1:7060".parse().unwrap())
        );
        let two = load(1, 5099, 7060).unwrap();
        assert_eq!(
            two.outbound_publishes[0].server_uri,
            "sip:instance2@127.0.1.1:5099"
        );
        assert_eq!(
            two.lampwire.http_bind,
            Some("127.0.0.1:7061".parse().unwrap())
        );
        assert_ne!(one.lampwire.entity_id, two.lampwire.entity_id);
    }
}
