//! A socket that the program connected: from what types of the system it is made, and what makes it one of the
//! library's.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::unix::{close_on_exec, is_tcp};

/// A connected stream socket that a connector returns: made from a [`TcpStream`], a [`UnixStream`] or an
/// [`OwnedFd`]. Its drop closes it.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let socket = hangup::ConnectedSocket::from(TcpStream::connect(listener.local_addr()?)?);
/// # drop(socket);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ConnectedSocket(socket2::Socket);

impl From<TcpStream> for ConnectedSocket {
    fn from(stream: TcpStream) -> Self {
        Self(stream.into())
    }
}

impl From<UnixStream> for ConnectedSocket {
    fn from(stream: UnixStream) -> Self {
        Self::from(OwnedFd::from(stream))
    }
}

impl From<OwnedFd> for ConnectedSocket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl ConnectedSocket {
    /// The socket, set as those are that the library opens; an error if it can't carry a connection.
    pub(in crate::net) fn prepare(self) -> io::Result<socket2::Socket> {
        let Self(socket) = self;
        let refused = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let kind = socket.r#type();
        let kind =
            kind.map_err(|error| refused(format!("what it returned is no socket: {error}")))?;
        if kind != socket2::Type::STREAM {
            return Err(refused("the socket that it returned is no stream socket".into()));
        }
        if socket.peer_addr().is_err_and(|error| error.kind() == io::ErrorKind::NotConnected) {
            return Err(refused("the socket that it returned is not connected".into()));
        }
        socket.set_nonblocking(true)?;
        close_on_exec(&socket)?;
        if is_tcp(&socket) {
            // Without it requests only take longer.
            let _ = socket.set_tcp_nodelay(true);
        }
        Ok(socket)
    }
}
