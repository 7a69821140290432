//! A scripted target for `lampwire bench`: it grants every PUBLISH, and says nothing for a while in the middle of the load.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::Signed;

/// It hears nothing for so long.
pub(crate) const MUTE: Duration = Duration::from_millis(500);

/// Takes datagrams at port 5060 of the address, for as long as the test runs. It is mute once, behind so many requests.
pub(crate) fn over_udp(at: Ipv4Addr, mute_after: usize) {
    let socket = UdpSocket::bind((at, 5060)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        for number in 1_usize.. {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            if number == mute_after {
                std::thread::sleep(MUTE);
            }
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            socket.send_to(granted(text).as_bytes(), from).unwrap();
        }
    });
}

/// Takes one connection, over which little is on its way when it is not read. It is mute once, behind so many requests.
pub(crate) fn over_tls(at: SocketAddr, signed: &Signed, mute_after: usize) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The system holds twice the window and some segments; both are small here, as on a line that is far and bad.
    socket.set_tcp_mss(536).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&at.into()).unwrap();
    socket.listen(1).unwrap();
    let listener = TcpListener::from(socket);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap(),
        );
    let config = Arc::new(config.unwrap());
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let (mut text, mut number) = (String::new(), 0);
        let mut buffer = [0; 4096];
        // The load ends with the connection.
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            while let Some(end) = whole(&text) {
                number += 1;
                if number == mute_after {
                    std::thread::sleep(MUTE);
                }
                let answer = granted(&text[..end]);
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                text.drain(..end);
            }
        }
    });
}

/// The length of the first message, where all of it is there.
fn whole(text: &str) -> Option<usize> {
    let head = text.find("\r\n\r\n")? + 4;
    let body: usize = header(text, "Content-Length").parse().unwrap();
    (text.len() >= head + body).then_some(head + body)
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn granted(request: &str) -> String {
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Expires"] {
        answer.push_str(&format!("{name}: {}\r\n", header(request, name)));
    }
    answer + "SIP-ETag: tag\r\nContent-Length: 0\r\n\r\n"
}
