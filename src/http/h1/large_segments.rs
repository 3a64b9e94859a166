//! Large segments that get lost on the way while small ones pass: an MTU black hole (RFC 2923 section 2.1). Routers that
//! say nothing when a packet is too large for the next link make them, and the peer seems to be silent.
//!
//! They are looked for on new connections: not one segment of full size was ever acknowledged. A second connection, whose
//! segments are small in both directions, shows that there is a way, and what is dialled there next has small ones, too.

use std::net::IpAddr;
use std::time::Instant;

use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::manager::{EventKind, Lease};
use crate::net::paths::{Source, small_segment};
use crate::net::silence::are_large_segments_lost;
use crate::net::tcp_info::TcpInfo;
use crate::vocabulary::Kind;

/// What is known of the segments of a new connection. Threads: one at a time.
pub(super) struct LargeSegments {
    peer: IpAddr,
    /// How many segments had been sent again when the second connection was dialled, and when the network worked.
    at_dial: u32,
    resent: Option<u32>,
}

impl LargeSegments {
    /// `None` for a connection that is not new, and for one on which the size of segments can't be chosen.
    pub(super) fn of(lease: &Lease, exchange: &Exchange) -> Option<Self> {
        let route = &exchange.config.key.route;
        let peer = lease.facts()?.peer?.ip();
        let is_own = route.connector.is_none() && lease.is_new();
        is_own.then_some(Self { peer, at_dial: 0, resent: None })
    }

    /// Whether it looks as if they got lost.
    pub(super) fn are_suspected(&self, info: &TcpInfo) -> bool {
        are_large_segments_lost(info, small_segment(self.peer))
    }

    /// A second connection is dialled.
    pub(super) fn dial_begins(&mut self, info: &TcpInfo) {
        (self.at_dial, self.resent) = (info.total_retransmits, None);
    }

    /// There is a second connection; `at_once`: its first packet was answered. Whether a segment was sent again since then,
    /// and is not acknowledged in time. Before, the network may have been away, or the listener without room.
    pub(super) fn are_lost(&mut self, info: &TcpInfo, at_once: bool) -> bool {
        let resent = if at_once { self.at_dial } else { info.total_retransmits };
        let resent = *self.resent.get_or_insert(resent);
        info.total_retransmits != resent
    }

    /// Connections that are made from now on have small ones. Returns why this one fails.
    pub(super) fn give_up(&self, exchange: &Exchange, info: &TcpInfo, began: Instant) -> Error {
        let config = &exchange.config;
        let (now, source) = (Instant::now(), Source::of(&config.key.route));
        let pool = config.manager.pool();
        pool.resolver().with_paths(|paths| paths.use_small_segments(self.peer, source, now));
        let what = "a second connection with small segments was made, and large ones are still not acknowledged";
        exchange.trace_silence(EventKind::Lost, what, info);
        // Those that are idle have large segments.
        pool.lost(exchange.connection, &config.key, began);
        let what = format!(
            "large packets seem to vanish on the path to {} (an MTU black hole): segments of {} bytes are not acknowledged \
             on a new connection, while one with small ones was made; the next connections there have segments of at \
             most {} bytes",
            self.peer,
            info.send_mss,
            small_segment(self.peer),
        );
        Error::new(Kind::PeerSilent, what).after_losing_large_segments()
    }
}

/// What a message says of a silent peer to which the segments were small already.
pub(super) fn although_small(lease: &Lease, exchange: &Exchange, info: &TcpInfo) -> &'static str {
    let (source, now) = (Source::of(&exchange.config.key.route), Instant::now());
    let resolver = exchange.config.manager.pool().resolver();
    let peer = lease.facts().and_then(|facts| facts.peer).map(|peer| peer.ip());
    let was_remembered = peer.is_some_and(|peer| {
        info.send_mss <= small_segment(peer)
            && resolver.with_paths(|paths| paths.needs_small_segments(peer, &source, now))
    });
    match was_remembered {
        true => {
            "; its segments were small already, as large packets seemed to vanish on the path (an MTU black hole)"
        }
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resent(total_retransmits: u32) -> TcpInfo {
        TcpInfo { total_retransmits, ..TcpInfo::default() }
    }

    #[test]
    fn what_was_sent_again_during_a_dial_counts_only_if_that_was_answered_at_once() {
        for (at_once, decides) in [(true, true), (false, false)] {
            let peer = [10, 0, 0, 1].into();
            let mut large = LargeSegments { peer, at_dial: 0, resent: None };
            large.dial_begins(&resent(2));
            assert_eq!(large.are_lost(&resent(3), at_once), decides);
            assert_eq!(large.are_lost(&resent(3), at_once), decides);
            assert!(
                large.are_lost(&resent(4), at_once),
                "sent again since the connection is there"
            );
        }
        let mut large = LargeSegments { peer: [10, 0, 0, 1].into(), at_dial: 0, resent: None };
        large.dial_begins(&resent(2));
        assert!(!large.are_lost(&resent(2), true), "the network may have been away before");
    }
}
