//! Connections that die without a word, in a network that the tests control: two network namespaces and a relay that
//! loses, delays and withholds packets (`tests/server/src/network`).
//!
//! Where the system permits neither namespaces nor TUN devices, each test says so and passes.

#[path = "../support/mod.rs"]
mod support;

mod relay;

use std::time::Instant;

use hangup::{Kind, Timeout};
use testserver::Script;
use testserver::network::Direction;

use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{fetch, ms, request, trusting};

in_both_forms! {
    while_the_whole_path_is_down_a_request_ends_by_its_timeout_and_the_next_one_succeeds,
}

fn while_the_whole_path_is_down_a_request_ends_by_its_timeout_and_the_next_one_succeeds(
    form: Form,
) {
    let name = form.name(
        "while_the_whole_path_is_down_a_request_ends_by_its_timeout_and_the_next_one_succeeds",
    );
    plain_and_tls(&name, |network, tls| {
        let server = network.server(tls, Script::answering("ok"));
        let client = trusting(form.client());
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        network.set_cut(Direction::ToFar, true);
        let mut late = request("GET", &server.url("/"));
        late.set_timeout(Timeout::Total, Some(ms(700))).unwrap();
        let begun = Instant::now();
        let error = client.send(&mut late).unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
        assert!(begun.elapsed() >= ms(700));
        network.set_cut(Direction::ToFar, false);
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        assert_eq!(server.heads(0).len(), 1, "nothing came on the first connection");
    });
}
