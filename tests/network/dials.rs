//! Connections that are made while packets are lost.

use std::time::Instant;

use hangup::CloseMode;
use testserver::Script;
use testserver::network::Direction;

use crate::numbers::times_of_dials;
use crate::support::form::{Form, in_both_forms};
use crate::support::network::in_network;
use crate::support::{fetch, ms};

in_both_forms! {
    a_lost_syn_costs_300_ms,
    a_far_peer_is_dialled_once_when_it_is_known,
    under_loss_nineteen_of_twenty_dials_wait_for_no_second,
}

fn under_loss_nineteen_of_twenty_dials_wait_for_no_second(form: Form) {
    let name = "dials::under_loss_nineteen_of_twenty_dials_wait_for_no_second";
    in_network(&form.name(name), |network| {
        let times = times_of_dials(form, network, 600);
        let (half, most) = (times[times.len() / 2], times[times.len() * 95 / 100]);
        println!("numbers: dials at 100 ms and 5 % loss, {form:?}: p50 {half:?}, p95 {most:?}");
        assert!(half >= ms(100) && most < ms(800), "{half:?}, {most:?}");
        // The connections are counted once each, whatever was dialled for them.
        let counts = network.counts();
        assert!(counts.dials < 600 * 13 / 10, "{counts:?}");
    });
}

fn a_lost_syn_costs_300_ms(form: Form) {
    in_network(&form.name("dials::a_lost_syn_costs_300_ms"), |network| {
        let server = network.server(false, Script::answering("ok"));
        let client = form.client();
        let mut left = 1;
        network.set_filter(Some(Box::new(move |direction, packet| {
            let is_syn = packet.segment().is_some_and(|segment| segment.syn);
            let lost = direction == Direction::ToFar && is_syn && left > 0;
            left -= i32::from(lost);
            lost
        })));
        let begun = Instant::now();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        println!("latency with a lost SYN, {form:?}: {} ms", begun.elapsed().as_millis());
        assert!(begun.elapsed() >= ms(300));
        let (counts, stats) = (network.counts(), client.manager().stats());
        if begun.elapsed() < ms(900) {
            // The system has not sent the first one again.
            assert_eq!((counts.syns, server.connections()), (2, 1));
        }
        assert_eq!((stats.opened, stats.dials_failed), (1, 0), "one attempt: {stats:?}");
    });
}

fn a_far_peer_is_dialled_once_when_it_is_known(form: Form) {
    in_network(&form.name("dials::a_far_peer_is_dialled_once_when_it_is_known"), |network| {
        let server = network.server(false, Script::answering("ok"));
        let client = form.client();
        network.set_delay(ms(200));
        let dial = |syns| {
            let (before, begun) = (network.counts().syns, Instant::now());
            assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
            client.manager().close_all(CloseMode::Now);
            let sent = network.counts().syns - before;
            // After a second the system sends one again: a busy machine may be that late.
            assert!(
                sent == syns || begun.elapsed() >= ms(900),
                "{sent} after {:?}",
                begun.elapsed()
            );
        };
        // Nothing is known of it.
        dial(2);
        for _ in 0..3 {
            dial(1);
        }
        client.manager().network_changed();
        dial(2);
    });
}
