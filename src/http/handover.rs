//! What a request asks its connection to become, and whether a response makes it that: a switch to another protocol
//! (RFC 9110 section 7.8) or a tunnel (section 9.3.6).

use std::sync::Arc;

use http::StatusCode;
use http::header::UPGRADE;

use crate::error::Error;
use crate::headers::{self, Headers};
use crate::net::Stop;
use crate::response_head::RawHead;
use crate::vocabulary::Kind;

/// Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// Nothing: the connection stays one of HTTP.
    None,
    /// One of these protocols, in lower case.
    Upgrade(Box<[String]>),
    /// CONNECT: a tunnel to this host and port, which the peer makes.
    Tunnel(Arc<str>),
}

impl Handover {
    /// What a request with these fields asks for. `tunnel_to`: the target of CONNECT.
    pub(crate) fn of(headers: &Headers, tunnel_to: Option<&Arc<str>>) -> Self {
        if let Some(target) = tunnel_to {
            return Self::Tunnel(Arc::clone(target));
        }
        if !headers.contains(headers::UPGRADE) {
            return Self::None;
        }
        Self::Upgrade(headers.values(headers::UPGRADE).flat_map(protocols).collect())
    }

    /// The target of CONNECT, if that is the method.
    pub(super) fn tunnel_target(&self) -> Option<&str> {
        match self {
            Self::Tunnel(target) => Some(target),
            Self::None | Self::Upgrade(_) => None,
        }
    }

    /// Whether a response hands the connection over. `request_is_whole`: all of the request was sent.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for a switch that was not asked for.
    pub(super) fn is_accepted_by(
        &self,
        head: &RawHead,
        request_is_whole: bool,
    ) -> Result<bool, Stop> {
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
        if !switches {
            return Ok(self.tunnel_target().is_some() && (200..300).contains(&head.status));
        }
        self.check_switch(head, request_is_whole).map(|()| true)
    }

    /// The server must name a protocol that the client asked for (RFC 9110 section 7.8).
    #[cold]
    fn check_switch(&self, head: &RawHead, request_is_whole: bool) -> Result<(), Stop> {
        let refused = |why: String| {
            let what = format!("the server switched protocols (101 Switching Protocols): {why}");
            Err(Error::new(Kind::Protocol, what).into())
        };
        let Self::Upgrade(asked) = self else {
            return refused("the request did not ask for that with an Upgrade header".into());
        };
        if !request_is_whole {
            return refused("before the whole request was sent".into());
        }
        let fields = head.fields().iter().filter(|(name, _)| *name == UPGRADE);
        let named: Vec<String> = fields.flat_map(|(_, value)| protocols(value)).collect();
        if named.is_empty() {
            return refused("its Upgrade header does not say to which one".into());
        }
        match named.iter().find(|named| !asked.contains(named)) {
            Some(other) => refused(format!("to {other:?}, but the request asked for {asked:?}")),
            None => Ok(()),
        }
    }
}

/// The protocols that an Upgrade field lists, in lower case.
fn protocols(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
}
