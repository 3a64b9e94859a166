//! One port on several addresses of loopback, each with a behaviour of its own: the addresses of
//! one name, for tests of happy eyeballs.

use crate::black_hole::BlackHole;
use crate::script::Script;
use crate::server::{Options, Server};
use serde::Deserialize;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// The places of one port. Begins with `open`; each place ends when dropped, the scripted ones also
/// by themselves.
#[derive(Debug)]
pub struct Addresses {
    places: Vec<(SocketAddr, Place)>,
}

/// How an address treats connects. In JSON: `{"serves":[[..]]}`, `"refuses"`, `"silent"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Accepts them and runs this script.
    Serves(Script),
    /// Refuses them: nothing listens there.
    Refuses,
    /// Lets them hang.
    Silent,
}

/// What there is at an address.
#[derive(Debug)]
pub enum Place {
    /// A scripted server.
    Server(Server),
    /// Nothing that listens; the port is only kept from others.
    Reserved(Reserved),
    /// A black hole; `BlackHole::open` makes a server of it.
    BlackHole(BlackHole),
}

/// A port on which nothing listens, reserved so that no other process can. Released when dropped.
#[derive(Debug)]
pub struct Reserved {
    _socket: Socket,
}

impl Addresses {
    /// Opens one free port on all these addresses: `Addresses::open(&[("::1", Manner::Silent),
    /// ("127.0.0.1", Manner::Serves(script))])`. An invalid address is `InvalidInput`.
    pub fn open(wanted: &[(&str, Manner)]) -> io::Result<Addresses> {
        let parsed: io::Result<Vec<(IpAddr, &Manner)>> =
            wanted.iter().map(|(ip, manner)| Ok((address(ip)?, manner))).collect();
        let parsed = parsed?;
        // A port that is free on the first address may be taken on another.
        let mut last = Addresses::attempt(&parsed);
        for _ in 1..ATTEMPTS {
            match &last {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    last = Addresses::attempt(&parsed)
                }
                _ => break,
            }
        }
        last
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.places.first().map_or(0, |(addr, _)| addr.port())
    }

    /// The addresses with the port, in the order in which they were given.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.places.iter().map(|(addr, _)| *addr).collect()
    }

    /// The URL of a path (with its slash) on a host that leads to these addresses.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port())
    }

    /// The scripted server at an address. Panics if there is none.
    pub fn server(&self, ip: &str) -> &Server {
        let found = self.places.iter().find_map(|(addr, place)| match place {
            Place::Server(server) if addr.ip().to_string() == ip => Some(server),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no server listens on {ip}"))
    }

    /// Each place for itself.
    pub fn into_places(self) -> Vec<(SocketAddr, Place)> {
        self.places
    }

    fn attempt(wanted: &[(IpAddr, &Manner)]) -> io::Result<Addresses> {
        let mut all = Addresses { places: Vec::new() };
        for (ip, manner) in wanted {
            all.places.push(place((*ip, all.port()).into(), manner)?);
        }
        Ok(all)
    }
}

fn address(text: &str) -> io::Result<IpAddr> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("no address: {text}"));
    text.parse().map_err(invalid)
}

/// Makes what is wanted at an address; port 0 picks a free one.
fn place(at: SocketAddr, manner: &Manner) -> io::Result<(SocketAddr, Place)> {
    Ok(match manner {
        Manner::Serves(script) => {
            let options = Options { ip: Some(at.ip()), port: at.port(), ..Options::default() };
            let server = Server::start_with(options, script.clone())?;
            (server.addr(), Place::Server(server))
        }
        Manner::Silent => {
            let hole = BlackHole::at(at)?;
            (hole.addr(), Place::BlackHole(hole))
        }
        Manner::Refuses => {
            let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
            socket.bind(&at.into())?;
            let addr = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
            (addr, Place::Reserved(Reserved { _socket: socket }))
        }
    })
}

/// How many ports are tried before the error that none is free on all addresses.
const ATTEMPTS: usize = 20;
