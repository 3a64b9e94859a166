//! The system's resolver, getaddrinfo(3), with its error code: std's keeps the message only.

use std::net::SocketAddr;
use std::sync::Arc;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

/// Why getaddrinfo(3) gave no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResolverCode {
    /// One of the system's `EAI_` numbers.
    pub(crate) number: i32,
    /// The name may be found if the resolver is asked again.
    pub(crate) may_recover: bool,
}

/// The addresses of a host in the system's order. Blocks this thread for as long as the resolver wants.
pub(super) fn look_up(host: &str) -> Result<Arc<[SocketAddr]>, (String, Option<ResolverCode>)> {
    // One entry an address, instead of one for each type of socket.
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(|error| {
        let may_recover = matches!(
            error.kind(),
            LookupErrorKind::Again
                | LookupErrorKind::Fail
                | LookupErrorKind::Memory
                | LookupErrorKind::System
        );
        let code = ResolverCode { number: error.error_num(), may_recover };
        (std::io::Error::from(error).to_string(), Some(code))
    })?;
    // With their zones (RFC 4007): without it a link-local address can't be connected to.
    Ok(found.flatten().map(|address| address.sockaddr).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_has_a_code() {
        let (message, code) = look_up("no-such-host.invalid").unwrap_err();
        let code = code.unwrap();
        assert_ne!(code.number, 0, "{message}");
    }

    #[test]
    fn an_address_is_returned_once() {
        assert_eq!(*look_up("127.0.0.1").unwrap(), [SocketAddr::from(([127, 0, 0, 1], 0))]);
    }
}
