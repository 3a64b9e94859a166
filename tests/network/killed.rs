//! The network forgets a connection in the phases in which only timeouts and the system's probes can tell: while it is made,
//! and when its request was acknowledged.

use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, CloseReason, EventKind, Kind, Limits, Phase, Timeout};
use testserver::network::Direction;
use testserver::{Certificate, Script, Step};

use crate::kept::{Kept, ok_or, report, story};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::{in_network, plain_and_tls};
use crate::support::outcome::assert_timed_out;
use crate::support::{PATIENCE, get, ms, trusting};

in_both_forms! {
    an_acknowledged_request_is_ended_by_the_probes_of_the_system,
    a_body_is_ended_by_the_probes_of_the_system,
    a_handshake_that_dies_ends_by_its_timeout,
    a_dial_that_gets_no_answer_ends_by_its_timeout,
}

/// The system's probes find a dead peer after some seconds in place of 24.
pub fn quick_probes() -> Limits {
    Limits { keep_alive: Some(Duration::from_secs(1)), ..Limits::default() }
}

/// The probes come some seconds apart, and there are several.
pub const PROBED: Duration = Duration::from_secs(40);

fn an_acknowledged_request_is_ended_by_the_probes_of_the_system(form: Form) {
    let name = "killed::an_acknowledged_request_is_ended_by_the_probes_of_the_system";
    plain_and_tls(&form.name(name), |network, tls| {
        let stalls = vec![Step::head(), Step::body(), Step::mark("asked"), Step::Stall];
        let mut kept = Kept::with(form, network, tls, ok_or([("/stall", stalls)]), quick_probes());
        let mut post = kept.request("POST", "/stall");
        post.set_body(Body::bytes(b"once"));
        thread::scope(|scope| {
            let running = scope.spawn(|| kept.client.send(&mut post));
            assert!(kept.server.wait_mark("asked", PATIENCE));
            // The acknowledgement comes with the next segment or 40 ms later.
            thread::sleep(ms(400));
            network.kill_flows();
            let begun = Instant::now();
            let error = running.join().unwrap().unwrap_err();
            report("POST that was acknowledged", form, tls, begun);
            assert!(begun.elapsed() < PROBED, "{:?}", begun.elapsed());
            assert_eq!((error.kind(), error.phase()), (Kind::PeerSilent, Phase::Head), "{error:?}");
            assert_eq!((error.os_code(), error.retry_safe()), (Some(libc::ETIMEDOUT), false));
        });
        // What was acknowledged is not called lost by the rule.
        assert_eq!(story(kept.of_first()), [EventKind::Closed(CloseReason::PeerUnreachable)]);
        assert_eq!(kept.came("/stall"), 1);
    });
}

fn a_body_is_ended_by_the_probes_of_the_system(form: Form) {
    let name = "killed::a_body_is_ended_by_the_probes_of_the_system";
    plain_and_tls(&form.name(name), |network, tls| {
        let part = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
        let stalls = vec![Step::head(), Step::send(part), Step::Stall];
        let mut kept = Kept::with(form, network, tls, ok_or([("/stall", stalls)]), quick_probes());
        let mut response = get(&kept.client, &kept.server.url("/stall")).unwrap();
        let mut piece = [0; 10];
        let mut got = 0;
        while got < 10 {
            got += response.read(&mut piece[got..]).unwrap();
        }
        thread::sleep(ms(400));
        network.kill_flows();
        let begun = Instant::now();
        let error = response.read(&mut piece).unwrap_err();
        report("a body that stopped", form, tls, begun);
        assert!(begun.elapsed() < PROBED, "{:?}", begun.elapsed());
        assert_eq!((error.kind(), error.phase()), (Kind::PeerSilent, Phase::Read), "{error:?}");
        assert_eq!(error.os_code(), Some(libc::ETIMEDOUT));
        assert_eq!(story(kept.of_first()), [EventKind::Closed(CloseReason::PeerUnreachable)]);
    });
}

fn a_handshake_that_dies_ends_by_its_timeout(form: Form) {
    in_network(&form.name("killed::a_handshake_that_dies_ends_by_its_timeout"), |network| {
        let script = Script::every(vec![
            Step::Tls(Certificate::Good),
            Step::forever(vec![Step::answer(200, "ok")]),
        ]);
        let server = network.server(false, script);
        let client = trusting(form.client());
        network.set_filter(Some(Box::new(|direction, packet| {
            let data = packet.segment().is_some_and(|segment| segment.payload > 0);
            direction == Direction::ToNear && data
        })));
        let mut request = crate::support::request("GET", &server.url("/"));
        request.set_timeout(Timeout::Tls, Some(ms(600))).unwrap();
        let error = client.send(&mut request).unwrap_err();
        assert_timed_out(&error, Timeout::Tls, Phase::Tls);
        network.set_filter(None);
        assert_eq!(client.send(&mut request).unwrap().status_code(), 200);
    });
}

fn a_dial_that_gets_no_answer_ends_by_its_timeout(form: Form) {
    let name = "killed::a_dial_that_gets_no_answer_ends_by_its_timeout";
    plain_and_tls(&form.name(name), |network, tls| {
        let server = network.server(tls, Script::answering("ok"));
        let client = trusting(form.client());
        network.set_cut(Direction::ToNear, true);
        let mut request = crate::support::request("GET", &server.url("/"));
        request.set_timeout(Timeout::Connect, Some(ms(600))).unwrap();
        let error = client.send(&mut request).unwrap_err();
        assert_timed_out(&error, Timeout::Connect, Phase::Connect);
        network.set_cut(Direction::ToNear, false);
        assert_eq!(client.send(&mut request).unwrap().status_code(), 200);
    });
}
