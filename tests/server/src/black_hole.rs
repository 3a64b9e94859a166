//! An address on loopback to which connecting hangs.
//!
//! Linux drops a SYN when the listener's accept queue is full. With a backlog of 0 the queue holds
//! one connection, and a filler takes that place. The client's kernel repeats its SYN after 1, 3, 7
//! seconds, so a hole that is opened meanwhile lets a dial in progress succeed late.

use crate::acceptor::BACKLOG;
use crate::script::Script;
use crate::server::{Options, Server};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Begins hanging when made; `open` turns it into a server; dropping it closes the port, after
/// which pending connects are refused at their next SYN.
#[derive(Debug)]
pub struct BlackHole {
    listener: Socket,
    addr: SocketAddr,
    fillers: Vec<TcpStream>,
}

impl Default for BlackHole {
    fn default() -> Self {
        BlackHole::new()
    }
}

impl BlackHole {
    /// Makes one on a free port of 127.0.0.1. Panics if connecting to it does not hang after all.
    pub fn new() -> BlackHole {
        BlackHole::try_new().expect("a port to which connecting hangs")
    }

    /// As `new`, with an error instead of a panic.
    pub fn try_new() -> io::Result<BlackHole> {
        BlackHole::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Makes one on an address of loopback; port 0 picks a free one.
    pub fn at(addr: SocketAddr) -> io::Result<BlackHole> {
        let listener = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        listener.bind(&addr.into())?;
        listener.listen(0)?;
        let addr = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut fillers = Vec::new();
        while fillers.len() < FILLERS {
            match TcpStream::connect_timeout(&addr, PROBE) {
                Ok(filler) => fillers.push(filler),
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    return Ok(BlackHole { listener, addr, fillers });
                }
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("the accept queue does not fill up"))
    }

    /// Where connecting hangs.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of `addr`.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The URL of a path (with its slash) in it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Lets connections in from now on. A dial that hangs gets through when its kernel repeats the
    /// SYN, up to a second after it began (three for one that is older).
    pub fn open(self, script: Script) -> io::Result<Server> {
        // The fillers first, or they would be the server's connections 0 and following.
        for filler in self.fillers {
            let (theirs, _) = self.listener.accept()?;
            drop((filler, theirs));
        }
        self.listener.listen(BACKLOG)?;
        Server::on(self.listener, Options::default(), script)
    }
}

/// A connect on loopback that takes longer than this hangs.
const PROBE: Duration = Duration::from_millis(100);

/// Far more than any backlog of 0 admits.
const FILLERS: usize = 16;
