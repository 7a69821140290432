//! What a service manager is told, and what a container's health check sees.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use super::harness::{
    DEADLINE, Directory, Node, Process, address, lampwire, run, sections, wait_for,
};

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(directory: &Directory) -> Self {
        let path = directory.0.join("notify").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path }
    }

    /// The next message.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Takes all that lies there now, and tells how much it was.
    fn empty(&self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut count = 0;
        let end = loop {
            match self.socket.recv(&mut buffer) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        count
    }
}

#[test]
fn a_service_manager_is_told_ready_alive_and_ending() {
    let (directory, at) = (Directory::new(), address());
    let manager = Manager::new(&directory);
    let file = directory.write("lampwire.conf", &sections(at, ""));
    let mut command = lampwire();
    command
        .args(["run", "-c", &file])
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "100000");
    let mut process = Process::start(&mut command);

    let first = manager.next();
    assert!(first.starts_with("READY=1\nWATCHDOG=1\nSTATUS="), "{first}");
    // Ready means that its ports are open.
    let url = format!("http://{at}:7060");
    let (code, said, error) = run(&["health", "--node", &url]);
    assert_eq!(
        (code, said.as_str()),
        (0, "ready: 0 peers up, 0 down, 0 unknown\n"),
        "{error}"
    );
    for _ in 0..3 {
        let beat = manager.next();
        assert_eq!(
            beat,
            "WATCHDOG=1\nSTATUS=0 of 0 peers up, 0 states, 0 behind"
        );
    }

    // Stopped as a whole it gives no sign of life, and goes on when it may.
    process.signal("STOP");
    let status = format!("/proc/{}/stat", process.child.id());
    wait_for("its stop", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.contains(") T ").then_some(())
    });
    manager.empty();
    assert_eq!(manager.empty(), 0);
    process.signal("CONT");
    assert!(manager.next().starts_with("WATCHDOG=1"));

    process.signal("TERM");
    while !manager.next().starts_with("STOPPING=1\nSTATUS=ending") {}
    assert_eq!(process.ended(), Some(0), "{}", process.log());
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_to_stop() {
    let (directory, at) = (Directory::new(), address());
    let file = directory.write("lampwire.conf", &sections(at, ""));
    for name in ["vsock:2:1234", "/nowhere/at/all"] {
        let mut command = lampwire();
        command
            .args(["run", "-c", &file])
            .env("NOTIFY_SOCKET", name);
        let mut process = Process::start(&mut command);
        wait_for("its start", || {
            process.log().contains("running with").then_some(())
        });
        process.signal("TERM");
        assert_eq!(process.ended(), Some(0), "{}", process.log());
        let told = process.log().contains("NOTIFY_SOCKET=vsock:2:1234");
        assert_eq!(told, name.starts_with("vsock"), "{}", process.log());
    }
}

#[test]
fn health_speaks_for_programs_and_fails_without_a_node() {
    let node = Node::start(address(), "http_token=s3cret\n", "");
    // No token is needed.
    let (code, said, _) = node.command(&["health", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["status"]), (0, &"ready".into()));
    let url = format!("http://{}:7060", address());
    let (code, said, error) = run(&["health", "--node", &url]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(error.contains("no node answers"), "{error}");
}
