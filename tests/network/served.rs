//! Servers that stop: a process that gets SIGSTOP, and one that accepts no connection any more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use testserver::network::Network;
use testserver::{Certificate, Options, Server};

use crate::kept::ok_or;
use crate::support::ms;

/// A scripted server in a process of its own. It is killed when dropped, and with the network.
pub struct ServerProcess {
    child: Child,
    pub url: String,
}

impl ServerProcess {
    /// It answers `ok`.
    pub fn start(network: &Network, tls: bool) -> Self {
        let ip = network.far_ip().to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "served::a_server_for_another_process", "--ignored", "--nocapture"])
            .env(SERVE, if tls { format!("tls {ip}") } else { ip })
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // SAFETY: prctl is async-signal-safe, and the closure touches no memory of the parent. The thread that starts the
        // child is the network's, which lives as long as the network.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let mut child = network.far(move || command.spawn()).expect("a server process");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.ok()?.strip_prefix("url ")?.to_owned()));
        // The certificates are of this process.
        Self { child, url: url.expect("a server that listens") }
    }

    /// Lets it run no further, or again.
    pub fn set_stopped(&self, stopped: bool) {
        let signal = if stopped { libc::SIGSTOP } else { libc::SIGCONT };
        // SAFETY: no pointers; the child was not waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what [`ServerProcess`] runs.
#[test]
#[ignore = "runs in a process of another test"]
fn a_server_for_another_process() {
    let Ok(how) = std::env::var(SERVE) else { return };
    let (tls, ip) = match how.strip_prefix("tls ") {
        Some(ip) => (Some(Certificate::Good), ip),
        None => (None, how.as_str()),
    };
    let options = Options { ip: Some(ip.parse().unwrap()), tls, ..Options::default() };
    let server = Server::start_with(options, ok_or([])).unwrap();
    println!("\nurl {}", server.url("/"));
    std::thread::sleep(Duration::from_secs(100));
}

/// A server that accepts one connection, answers `ok` to each request on it, the second one after `pause`, and whose
/// queue of connections to accept is full by then. It is on the far side, and ends with its connection.
pub fn start_busy(ip: Ipv4Addr, pause: Duration) -> SocketAddr {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    std::thread::spawn(move || {
        let (peer, _) = listener.accept().unwrap();
        let fill = || TcpStream::connect_timeout(&address, ms(200)).ok();
        let fillers: Vec<_> = std::iter::from_fn(fill).take(16).collect();
        assert!(fillers.len() < 16, "the queue does not fill up");
        answer(peer, |number| {
            if number == 1 {
                std::thread::sleep(pause);
            }
        });
    });
    address
}

/// A server that accepts nothing until it is told to, and whose queue has room for one connection. Then it answers `ok`
/// to every request. It is on the far side.
pub fn start_deaf(ip: Ipv4Addr, go: Receiver<()>) -> SocketAddr {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    std::thread::spawn(move || {
        go.recv().unwrap();
        while let Ok((peer, _)) = listener.accept() {
            std::thread::spawn(move || answer(peer, |_| ()));
        }
    });
    address
}

/// Answers `ok` to each request until the client closes, after what `before` does with its number.
fn answer(mut peer: Socket, before: impl Fn(u32)) {
    for number in 0.. {
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        while !head.ends_with(b"\r\n\r\n") {
            match peer.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(got) => head.extend_from_slice(&piece[..got]),
            }
        }
        before(number);
        if peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

const SERVE: &str = "HANGUP_TEST_SERVE";
