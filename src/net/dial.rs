//! Addresses to a connected socket.
//!
//! The addresses are tried in the resolver's order, each with its share of the time that is
//! left, so that a silent first address does not use up all of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stop;
use super::socket::Socket;
use crate::wait::{Event, Interest, Until, Want, Woken, wait};

/// Connects to the first address that answers. `ended` wakes the wait when somebody wants the
/// dial to end.
pub(crate) fn dial_all(
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
    ended: &Event,
) -> Result<Arc<Socket>, Stop> {
    let mut last = Stop::Io(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let turn = share(deadline, addresses.len() - index);
        match connect(address, turn, ended) {
            Ok(socket) => return Ok(socket),
            Err(stop @ (Stop::Interrupted | Stop::Ended)) => return Err(stop),
            // Out of descriptors: the next address would need one as well.
            Err(Stop::Io(error)) if is_exhaustion(&error) => return Err(Stop::Io(error)),
            Err(stop) => last = stop,
        }
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(Stop::Deadline);
        }
    }
    Err(last)
}

fn connect(
    address: &SocketAddr,
    deadline: Option<Instant>,
    ended: &Event,
) -> Result<Arc<Socket>, Stop> {
    let socket = open(address).map_err(Stop::Io)?;
    let inside = socket.enter().ok_or(Stop::Ended)?;
    match inside.connect(address) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            let want = Want { fd: Some((inside.fd(), Interest::Write)), event: Some(ended) };
            match wait(want, Until::new(deadline)).map_err(Stop::Io)? {
                Woken::Ready { .. } => {}
                Woken::Event => return Err(Stop::Ended),
                Woken::Deadline => return Err(Stop::Deadline),
                Woken::Interrupted => return Err(Stop::Interrupted),
            }
            // connect(2): the outcome of a connect in progress is SO_ERROR.
            if let Some(error) = inside.take_error().map_err(Stop::Io)? {
                return Err(Stop::Io(error));
            }
        }
        Err(error) => return Err(Stop::Io(error)),
    }
    drop(inside);
    Ok(socket)
}

fn open(address: &SocketAddr) -> io::Result<Arc<Socket>> {
    // socket2 opens close-on-exec.
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(*address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A request is written whole; waiting for an acknowledgement first only adds latency.
    socket.set_tcp_nodelay(true)?;
    Ok(Socket::new(socket))
}

/// An equal share of what is left, but no less than two seconds of it.
fn share(deadline: Option<Instant>, turns: usize) -> Option<Instant> {
    let at = deadline?;
    let now = Instant::now();
    let left = at.saturating_duration_since(now);
    let turn = (left / u32::try_from(turns).unwrap_or(u32::MAX)).max(Duration::from_secs(2));
    Some(at.min(now + turn))
}

/// Whether the process or the system is out of descriptors or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

use super::resolve::{self, Resolver};
use super::route::Route;
use super::stream::Stream;
use super::tls::Tls;
use crate::error::{Error, Kind, Phase};

pub(crate) struct Plan {
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<Tls>>,
    pub route: Arc<Route>,
    pub keep_alive: Option<Duration>,
}
pub(crate) trait Progress {
    fn begin(&self, phase: Phase) -> Option<Instant>;
    fn connected(&self, stream: &Stream);
    fn must_stop(&self) -> bool;
}
#[derive(Debug)]
pub(crate) enum Failure {
    Stop(Stop),
    Error(Error),
}
impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}
pub(crate) struct Dial {
    plan: Plan,
    _resolver: Arc<Resolver>,
}
impl Dial {
    pub(crate) fn new(plan: Plan, resolver: Arc<Resolver>) -> Self {
        Self { plan, _resolver: resolver }
    }
    pub(crate) fn has_socket(&self) -> bool {
        true
    }
    pub(crate) fn run(&mut self, p: &dyn Progress, event: &Arc<Event>) -> Result<Stream, Failure> {
        let addresses = if let Some(ip) = resolve::literal(&self.plan.host) {
            vec![SocketAddr::new(ip, self.plan.port)]
        } else {
            let deadline = p.begin(Phase::Resolve);
            let lookup =
                resolve::start(&self.plan.host, self.plan.port, event).map_err(Stop::Io)?;
            loop {
                if p.must_stop() {
                    return Err(Stop::Ended.into());
                }
                match lookup.answer() {
                    Some(Ok(a)) => {
                        event.clear();
                        break a.clone();
                    }
                    Some(Err(why)) => {
                        return Err(Failure::Error(Error::new(
                            Kind::ResolveFailed,
                            format!("{} can't be resolved: {why}", self.plan.host),
                        )));
                    }
                    None => {}
                }
                match wait(Want { fd: None, event: Some(event) }, Until::new(deadline))
                    .map_err(Stop::Io)?
                {
                    Woken::Deadline => return Err(Stop::Deadline.into()),
                    Woken::Interrupted => return Err(Stop::Interrupted.into()),
                    Woken::Event | Woken::Ready { .. } => {}
                }
            }
        };
        let deadline = p.begin(Phase::Connect);
        if p.must_stop() {
            return Err(Stop::Ended.into());
        }
        let socket = dial_all(&addresses, deadline, event)?;
        let mut stream = Stream::plain(socket);
        p.connected(&stream);
        if let Some(tls) = &self.plan.tls {
            let deadline = p.begin(Phase::Tls);
            stream.begin_tls(tls, &self.plan.host).map_err(Failure::Error)?;
            stream.handshake(deadline)?;
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_is_passed_over() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let event = Event::new().unwrap();
        let here = listener.local_addr().unwrap();
        assert!(dial_all(&[gone, here], None, &event).is_ok());
        assert!(matches!(dial_all(&[gone], None, &event), Err(Stop::Io(_))));
        assert!(matches!(dial_all(&[], None, &event), Err(Stop::Io(_))));
    }

    #[test]
    fn shares_are_never_later_than_the_deadline() {
        let at = Instant::now() + Duration::from_secs(1);
        assert_eq!(share(Some(at), 4), Some(at));
        assert_eq!(share(None, 4), None);
    }
}
