//! The scripted server as a test sees it: started with a script, watched, released, stopped.

use crate::acceptor::{Acceptor, Bounds, listen};
use crate::certs::Certificate;
use crate::connection;
use crate::ledger::{Ended, Ledger, Record};
use crate::script::{Script, Step, Then};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server on loopback that does what its script says. Begins with `start`, can be watched and
/// released meanwhile, ends with `stop`, when dropped, or when its life is over (two minutes unless
/// told otherwise), with every connection closed within some milliseconds. All methods from any
/// thread.
///
/// Connections are counted from 0 in the order in which they were accepted.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
    ledger: Arc<Ledger>,
    https: bool,
}

/// How a server listens. `Options::default()` is 127.0.0.1, plain, for two minutes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Listen on ::1 instead.
    pub ipv6: bool,
    /// Begin every connection with this handshake, before its script.
    pub tls: Option<Certificate>,
    /// When the server stops by itself.
    pub life: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { ipv6: false, tls: None, life: Duration::from_secs(120) }
    }
}

impl Server {
    /// Starts on a free port of 127.0.0.1. Panics if the system has no socket left, since a test
    /// cannot go on.
    pub fn start(script: Script) -> Server {
        Server::start_with(Options::default(), script).expect("a listening socket")
    }

    /// Starts with TLS from the first byte.
    pub fn start_tls(certificate: Certificate, script: Script) -> Server {
        let options = Options { tls: Some(certificate), ..Options::default() };
        Server::start_with(options, script).expect("a listening socket")
    }

    /// Starts as the options say.
    pub fn start_with(options: Options, script: Script) -> io::Result<Server> {
        Server::on(listen(options.ipv6, 0)?, options, script)
    }

    /// Starts on a listener that exists.
    pub(crate) fn on(
        listener: TcpListener,
        options: Options,
        mut script: Script,
    ) -> io::Result<Server> {
        if let Some(which) = options.tls {
            // Made now, not while the first client's clock runs.
            crate::certs::certs();
            script.connections.iter_mut().for_each(|steps| steps.insert(0, Step::Tls(which)));
        }
        let https = script.starts_with_tls();
        let accepts = match script.then {
            Then::Refuse => script.connections.len(),
            Then::Repeat | Then::Close => usize::MAX,
        };
        let ledger = Arc::new(Ledger::default());
        let theirs = Arc::clone(&ledger);
        let bounds = Bounds { life: options.life, accepts };
        let acceptor = Acceptor::spawn(listener, bounds, move |socket, index, stop| {
            connection::run(socket, index, script.steps(index), &theirs, stop);
        })?;
        Ok(Server { acceptor, ledger, https })
    }

    /// Opens a barrier for every connection that awaits this name, now or later.
    pub fn release(&self, name: &str) {
        self.ledger.latch(name).expect("a descriptor for the barrier").set();
    }

    /// Waits until a script has reached the mark of this name at least once. False when the time is
    /// up.
    pub fn wait_mark(&self, name: &str, timeout: Duration) -> bool {
        self.wait_marks(name, 1, timeout)
    }

    /// Waits until scripts have reached the mark of this name `times` times in all.
    pub fn wait_marks(&self, name: &str, times: usize, timeout: Duration) -> bool {
        let reached = |count: &usize| *count >= times;
        self.ledger.wait(timeout, |s| s.marks.get(name).filter(|n| reached(n)).copied()).is_some()
    }

    /// Waits until `count` connections were accepted in all. False when the time is up.
    pub fn wait_connections(&self, count: usize, timeout: Duration) -> bool {
        self.ledger.wait(timeout, |s| (s.connections.len() >= count).then_some(())).is_some()
    }

    /// Waits until `count` request heads were received in all, on whatever connections.
    pub fn wait_heads(&self, count: usize, timeout: Duration) -> bool {
        let enough = |connections: &[Record]| {
            connections.iter().map(|record| record.heads.len()).sum::<usize>() >= count
        };
        self.ledger.wait(timeout, |s| enough(&s.connections).then_some(())).is_some()
    }

    /// Waits until every connection accepted so far is closed on this side too.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let gone = |connections: &[Record]| connections.iter().all(|record| record.closed);
        self.ledger.wait(timeout, |s| gone(&s.connections).then_some(())).is_some()
    }

    /// Waits for the end of a connection: who ended it, and when that was seen here. `None` when
    /// the time is up; a connection that was not accepted yet is waited for as well.
    pub fn wait_ended(&self, connection: usize, timeout: Duration) -> Option<(Ended, Instant)> {
        self.ledger.wait(timeout, |s| s.connections.get(connection).and_then(|r| r.ended))
    }

    /// Closes the listener and all connections and returns when that is done. Twice is harmless;
    /// what was recorded can still be read.
    pub fn stop(&mut self) {
        self.acceptor.stop();
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// The URL of a path (with its slash): https if the first thing on a connection is a handshake.
    /// With https the host is `localhost` on IPv4, so that server name indication is seen as well.
    pub fn url(&self, path: &str) -> String {
        match (self.https, self.addr().is_ipv6()) {
            (false, _) => format!("http://{}{path}", self.addr()),
            (true, true) => format!("https://{}{path}", self.addr()),
            (true, false) => format!("https://localhost:{}{path}", self.port()),
        }
    }

    /// How many connections were accepted in all.
    pub fn connections(&self) -> usize {
        self.ledger.read(|s| s.connections.len())
    }

    /// How many connections have not ended yet.
    pub fn open_connections(&self) -> usize {
        self.ledger.read(|s| s.connections.iter().filter(|r| r.ended.is_none()).count())
    }

    /// The request heads received on a connection, each with its blank line.
    pub fn heads(&self, connection: usize) -> Vec<String> {
        self.of(connection, |r| r.heads.clone()).unwrap_or_default()
    }

    /// The request bodies received on a connection, decoded, one for each head that was answered or
    /// followed by `recv body`.
    pub fn bodies(&self, connection: usize) -> Vec<Vec<u8>> {
        self.of(connection, |r| r.bodies.clone()).unwrap_or_default()
    }

    /// The bytes that the script has taken from a connection: heads as they came, bodies without
    /// their chunk framing, plain if there is TLS, at most 16 MiB.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.of(connection, |r| r.received.clone()).unwrap_or_default()
    }

    /// How often scripts have reached a mark.
    pub fn marks(&self, name: &str) -> usize {
        self.ledger.read(|s| s.marks.get(name).copied().unwrap_or(0))
    }

    /// Who ended a connection; `None` while it is open, and for one that was not accepted.
    pub fn ended(&self, connection: usize) -> Option<Ended> {
        self.of(connection, |r| r.ended).flatten().map(|(how, _)| how)
    }

    /// What was wrong with what the peer sent, such as the TLS alert with which it refused the
    /// certificate.
    pub fn broken(&self, connection: usize) -> Option<String> {
        self.of(connection, |r| r.broken.clone()).flatten()
    }

    fn of<T>(&self, connection: usize, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.ledger.read(|s| s.connections.get(connection).map(look))
    }
}
