//! What an error, the list of connections and the trace tell of a peer that is silent: which part of the request its host has.

use std::sync::{Arc, Mutex};
use std::thread;

use hangup::{Acknowledged, Body, Error, Kind, Limits, Phase, TcpFacts, Timeout, Trace, TraceType};
use testserver::network::Direction;
use testserver::{Script, Step};

use crate::kept::{Kept, ok_or, slowly};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{PATIENCE, ms, request, trusting, wait_until};

in_both_forms! {
    of_a_request_that_is_lost_no_byte_was_acknowledged,
    of_an_upload_that_is_cut_off_a_part_was_acknowledged,
    a_request_whose_answer_is_lost_was_not_acknowledged_either,
    a_slow_server_behind_a_slow_path_has_acknowledged_the_request,
    a_connection_that_the_system_gave_up_says_what_was_acknowledged_before,
    what_was_written_to_a_lost_stream_is_not_acknowledged,
    the_trace_has_the_numbers_of_each_step,
}

#[track_caller]
fn facts(error: &Error, kind: Kind, acknowledged: Acknowledged) -> TcpFacts {
    assert_eq!((error.kind(), error.acknowledged()), (kind, Some(acknowledged)), "{error:?}");
    let facts = error.tcp_facts().unwrap();
    assert!(error.message().ends_with(&format!(" ({facts:#})")), "{error}");
    facts
}

fn of_a_request_that_is_lost_no_byte_was_acknowledged(form: Form) {
    let name = "told::of_a_request_that_is_lost_no_byte_was_acknowledged";
    plain_and_tls(&form.name(name), |network, tls| {
        network.set_delay(ms(20));
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        kept.client.set_detect_lost_connections(false);
        network.kill_flows();
        let mut late = kept.request("GET", "/");
        late.set_timeout(Timeout::Head, Some(ms(1500))).unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| kept.client.send(&mut late));
            wait_until("the list shows that it is sent again", || {
                let row = kept.client.manager().connections().into_iter().next();
                let facts = row.and_then(|row| row.tcp_facts);
                facts.is_some_and(|facts| {
                    facts.retransmissions_in_row > 0 && facts.unacked_bytes > 40
                })
            });
            let error = running.join().unwrap().unwrap_err();
            assert_eq!((error.timeout(), error.phase()), (Timeout::Head, Phase::Head));
            let facts = facts(&error, Kind::TimedOut, Acknowledged::Nothing);
            assert!(facts.retransmissions >= 1 && facts.retransmissions_in_row >= 1, "{facts:?}");
            assert!(facts.rtt >= Some(ms(35)) && facts.silence >= ms(1400), "{facts:?}");
            assert!(facts.unacked_bytes >= error.bytes_sent(), "{facts:?}");
            let says = "; no byte of the request was acknowledged within 1";
            assert!(error.message().contains(says), "{error}");
        });
    });
}

fn of_an_upload_that_is_cut_off_a_part_was_acknowledged(form: Form) {
    let name = "told::of_an_upload_that_is_cut_off_a_part_was_acknowledged";
    plain_and_tls(&form.name(name), |network, tls| {
        let takes = vec![Step::head(), Step::mark("head"), Step::body()];
        let kept = Kept::new(form, network, tls, ok_or([("/upload", takes)]));
        kept.client.set_detect_lost_connections(false);
        let mut upload = kept.request("PUT", "/upload");
        upload.set_body(Body::reader(std::io::repeat(b'x'), None));
        upload.set_timeout(Timeout::Write, Some(ms(1500))).unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| kept.client.send(&mut upload));
            assert!(kept.server.wait_mark("head", PATIENCE));
            let row = || kept.client.manager().connections().remove(0);
            wait_until("much was sent", || row().bytes_out > 1_000_000);
            network.set_cut(Direction::ToFar, true);
            let error = running.join().unwrap().unwrap_err();
            assert_eq!((error.timeout(), error.phase()), (Timeout::Write, Phase::Write));
            let facts = facts(&error, Kind::TimedOut, Acknowledged::Part);
            assert!(
                facts.unacked_bytes > 0 && facts.unacked_bytes < error.bytes_sent(),
                "{facts:?}"
            );
            assert!(facts.retransmissions_in_row >= 1, "{facts:?}");
            let says = format!(
                "; {} bytes of the request have not been acknowledged for 1",
                facts.unacked_bytes
            );
            assert!(error.message().contains(&says), "{error}");
        });
        network.set_cut(Direction::ToFar, false);
    });
}

fn a_request_whose_answer_is_lost_was_not_acknowledged_either(form: Form) {
    let name = "told::a_request_whose_answer_is_lost_was_not_acknowledged_either";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        kept.client.set_detect_lost_connections(false);
        network.set_cut(Direction::ToNear, true);
        let mut late = kept.request("GET", "/came");
        late.set_timeout(Timeout::Total, Some(ms(900))).unwrap();
        let error = kept.client.send(&mut late).unwrap_err();
        network.set_cut(Direction::ToNear, false);
        facts(&error, Kind::TimedOut, Acknowledged::Nothing);
        assert_eq!(kept.came("/came"), 1, "so what is not acknowledged may have been received");
    });
}

fn a_slow_server_behind_a_slow_path_has_acknowledged_the_request(form: Form) {
    let name = "told::a_slow_server_behind_a_slow_path_has_acknowledged_the_request";
    plain_and_tls(&form.name(name), |network, tls| {
        network.set_delay(ms(50));
        let kept = Kept::new(form, network, tls, ok_or([("/slow", slowly(60_000))]));
        let mut slow = kept.request("GET", "/slow");
        slow.set_timeout(Timeout::Head, Some(ms(900))).unwrap();
        let error = kept.client.send(&mut slow).unwrap_err();
        let facts = facts(&error, Kind::TimedOut, Acknowledged::All);
        assert!(facts.rtt >= Some(ms(90)) && facts.unacked_bytes == 0, "{facts:?}");
        assert!(
            error
                .message()
                .contains("; the request was acknowledged, and there is no answer yet (")
        );
    });
}

fn a_connection_that_the_system_gave_up_says_what_was_acknowledged_before(form: Form) {
    let name = "told::a_connection_that_the_system_gave_up_says_what_was_acknowledged_before";
    plain_and_tls(&form.name(name), |network, tls| {
        let quick = Limits { keep_alive: Some(ms(1000)), ..Limits::default() };
        let stalls = vec![Step::head(), Step::mark("asked"), Step::Stall];
        let kept = Kept::with(form, network, tls, ok_or([("/stall", stalls)]), quick);
        let mut post = kept.request("POST", "/stall");
        thread::scope(|scope| {
            let running = scope.spawn(|| kept.client.send(&mut post));
            assert!(kept.server.wait_mark("asked", PATIENCE));
            let row = || kept.client.manager().connections().remove(0);
            wait_until("it is acknowledged", || row().tcp_facts.unwrap().unacked_bytes == 0);
            network.kill_flows();
            wait_until("the list shows a probe without an answer", || {
                row().tcp_facts.unwrap().unanswered_probes > 0
            });
            let error = running.join().unwrap().unwrap_err();
            assert_eq!(error.os_code(), Some(libc::ETIMEDOUT));
            let facts = facts(&error, Kind::PeerSilent, Acknowledged::All);
            assert!(facts.silence >= ms(2000), "{facts:?}");
        });
    });
}

fn what_was_written_to_a_lost_stream_is_not_acknowledged(form: Form) {
    let name = "told::what_was_written_to_a_lost_stream_is_not_acknowledged";
    plain_and_tls(&form.name(name), |network, tls| {
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n";
        let script = Script::every(vec![Step::head(), Step::send(switch), Step::Stall]);
        let server = network.server(tls, script);
        let client = trusting(form.client());
        let mut request = request("GET", &server.url("/"));
        request.add_header("Upgrade", "lines").unwrap();
        let stream = client.send(&mut request).unwrap().take_stream().unwrap();
        network.kill_flows();
        stream.write_all(b"hello").unwrap();
        stream.set_timeout(Timeout::Read, Some(ms(900))).unwrap();
        let error = stream.read(8).unwrap_err();
        assert_eq!((error.timeout(), error.phase()), (Timeout::Read, Phase::Read));
        let facts = facts(&error, Kind::TimedOut, Acknowledged::Part);
        assert!(facts.unacked_bytes >= 5 && facts.unacked_bytes < 100, "{facts:?}");
        let says =
            format!("; {} bytes of what was written are unacknowledged (", facts.unacked_bytes);
        assert!(error.message().contains(&says), "{error}");
    });
}

fn the_trace_has_the_numbers_of_each_step(form: Form) {
    let name = "told::the_trace_has_the_numbers_of_each_step";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&lines);
        kept.client.set_trace(Some(Trace::new(move |line| {
            if line.kind == TraceType::Info {
                record.lock().unwrap().push(String::from_utf8_lossy(line.data).into_owned());
            }
        })));
        network.kill_flows();
        let mut post = kept.request("POST", "/");
        post.set_body(Body::bytes(b"once"));
        let error = kept.client.send(&mut post).unwrap_err();
        facts(&error, Kind::PeerSilent, Acknowledged::Nothing);
        let lines = lines.lock().unwrap();
        for step in ["suspected: ", "probed: ", "lost: "] {
            let line = lines.iter().find(|line| line.starts_with(step));
            let line = line.unwrap_or_else(|| panic!("no {step} in {lines:#?}"));
            assert!(
                line.contains("in a row, ") && line.contains(" bytes unacknowledged"),
                "{line}"
            );
        }
    });
}
