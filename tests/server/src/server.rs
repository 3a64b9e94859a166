//! The scripted server as a test sees it: started with a script, watched, released, stopped.

use crate::acceptor::{Acceptor, Bounds, listen, listen_unix};
use crate::certs::Certificate;
use crate::connection;
use crate::ledger::Ledger;
use crate::scratch::Scratch;
use crate::script::{Script, Step, Then};
use socket2::Socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A server on loopback that runs its script. Begins with `start`, can be observed (by the
/// methods of its [`Ledger`]) and released meanwhile, ends with `stop`, when dropped, or when its
/// life is over (two minutes by default), with every connection closed within some
/// milliseconds. All methods from any thread.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
    ledger: Arc<Ledger>,
    https: bool,
    /// The directory of the Unix-domain socket, if that is where it listens.
    scratch: Option<Scratch>,
}

/// How a server listens. `Options::default()` is a free port of 127.0.0.1, plain, for two minutes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Listen on ::1 instead.
    pub ipv6: bool,
    /// Listen on this address of loopback, such as 127.0.0.2, instead.
    pub ip: Option<IpAddr>,
    /// Listen on this port; 0 picks a free one.
    pub port: u16,
    /// Listen on a Unix-domain socket instead, in a directory of its own that goes with the server.
    /// There a `rst` step is seen as a reset only by a peer that left bytes unread here.
    pub unix: bool,
    /// Begin every connection with this handshake, before its script.
    pub tls: Option<Certificate>,
    /// When the server stops by itself.
    pub life: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ipv6: false,
            ip: None,
            port: 0,
            unix: false,
            tls: None,
            life: Duration::from_secs(120),
        }
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
        if options.unix {
            let scratch = Scratch::new()?;
            let listener = listen_unix(&scratch.path().join(SOCKET))?;
            let server = Server::on(listener, options, script)?;
            return Ok(Server { scratch: Some(scratch), ..server });
        }
        let usual: IpAddr = match options.ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        let ip = options.ip.unwrap_or(usual);
        Server::on(listen((ip, options.port).into())?, options, script)
    }

    /// Starts on a listener that exists.
    pub(crate) fn on(listener: Socket, options: Options, mut script: Script) -> io::Result<Server> {
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
        Ok(Server { acceptor, ledger, https, scratch: None })
    }

    /// Opens a barrier for every connection that awaits this name, now or later.
    pub fn release(&self, name: &str) {
        self.ledger.latch(name).expect("a descriptor for the barrier").set();
    }

    /// Closes the listener and all connections and returns when that is done. Twice is harmless;
    /// what was recorded can still be read.
    pub fn stop(&mut self) {
        self.acceptor.stop();
    }

    /// Where it listens. Panics if that is a Unix-domain socket.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port it listens on. Panics as `addr` does.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// The URL of a path (with its slash): https if the first thing on a connection is a handshake.
    /// With https the host is `localhost` on 127.0.0.1, so that server name indication is seen as
    /// well; on a Unix-domain socket it is always that.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        if self.scratch.is_some() {
            return format!("{scheme}://localhost{path}");
        }
        let addr = self.addr();
        if self.https && addr.ip() == Ipv4Addr::LOCALHOST {
            return format!("{scheme}://localhost:{}{path}", addr.port());
        }
        format!("{scheme}://{addr}{path}")
    }

    /// The path of the Unix-domain socket on which it listens, if it does.
    pub fn socket_path(&self) -> Option<PathBuf> {
        self.scratch.as_ref().map(|scratch| scratch.path().join(SOCKET))
    }
}

impl Deref for Server {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

/// The name of a Unix-domain socket in its directory. Short: the whole path has room for 107 bytes
/// (unix(7)).
const SOCKET: &str = "socket";
