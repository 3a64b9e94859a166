//! The network forgets idle connections, and the system's probes tell: they are closed before a request meets them.

use std::time::Instant;

use hangup::{Body, CloseReason, ConnectionMode, EventKind};

use crate::kept::{Kept, SOON, ok_or, report, story};
use crate::killed::quick_probes;
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{ms, wait_until};

in_both_forms! {
    idle_connections_whose_probes_are_unanswered_are_closed_without_any_call,
    idle_connections_whose_probes_are_answered_stay,
}

/// How many connections are idle.
const MANY: usize = 8;

impl Kept {
    /// Makes the idle connections that are missing.
    fn fill(&self) {
        for _ in 1..MANY {
            let mut request = self.request("GET", "/");
            request.set_connection_mode(ConnectionMode::Fresh);
            assert_eq!(self.client.send(&mut request).unwrap().read_all(10).unwrap(), b"ok");
        }
        assert_eq!(self.client.manager().stats().idle, MANY as u64);
    }
}

fn idle_connections_whose_probes_are_unanswered_are_closed_without_any_call(form: Form) {
    let name = "idle::idle_connections_whose_probes_are_unanswered_are_closed_without_any_call";
    plain_and_tls(&form.name(name), |network, tls| {
        let mut kept = Kept::with(form, network, tls, ok_or([]), quick_probes());
        kept.fill();
        network.kill_flows();
        let begun = Instant::now();
        wait_until("the last close", || kept.client.manager().stats().idle == 0);
        report("idle connections that died", form, tls, begun);
        // Mostly the sweep sees an unanswered probe. The system gives up two probes later.
        let reasons =
            [CloseReason::PeerSilent, CloseReason::PeerUnreachable].map(EventKind::Closed);
        let seen = story(kept.of_first());
        assert!(seen.len() == 1 && reasons.contains(&seen[0]), "{seen:?}");
        assert_eq!(kept.client.manager().stats().swept, MANY as u64);
        // No request meets a dead connection, not even one that can't be sent again.
        for _ in 0..MANY {
            let mut post = kept.request("POST", "/once");
            post.set_body(Body::bytes(b"once"));
            let begun = Instant::now();
            let mut response = kept.client.send(&mut post).unwrap();
            assert_eq!(response.attempts(), 1);
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
        assert_eq!(kept.came("/once"), MANY);
    });
}

fn idle_connections_whose_probes_are_answered_stay(form: Form) {
    let name = "idle::idle_connections_whose_probes_are_answered_stay";
    plain_and_tls(&form.name(name), |network, tls| {
        let mut kept = Kept::with(form, network, tls, ok_or([]), quick_probes());
        kept.fill();
        // Several probes each, whose answers are on their way for most of the time.
        network.set_delay(ms(300));
        std::thread::sleep(std::time::Duration::from_secs(6));
        assert_eq!(kept.client.manager().stats().idle, MANY as u64);
        kept.assert_none_lost();
        for _ in 0..MANY {
            assert!(kept.client.send(&mut kept.request("GET", "/")).unwrap().reused());
        }
    });
}
