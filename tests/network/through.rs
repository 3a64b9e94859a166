//! Connections that die between the client and a proxy, and streams that die.

use std::time::Instant;

use hangup::{Body, CloseReason, Kind};
use testserver::network::Network;
use testserver::{Proxy, ProxyOptions, Script, Server, Socks, SocksOptions, Step};

use crate::kept::{SOON, ok_or, report};
use crate::killed::{PROBED, quick_probes};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{fetch, get, ms, request, trusting};

in_both_forms! {
    a_connection_to_a_proxy_that_died_is_replaced,
    a_stream_that_died_is_ended_by_the_probes_of_the_system,
}

/// A proxy for HTTP and one for SOCKS on the far side.
fn proxies(network: &Network) -> (Proxy, Socks) {
    let ip = Some(network.far_ip().into());
    let http = ProxyOptions { ip, ..ProxyOptions::default() };
    let socks = SocksOptions { ip, ..SocksOptions::default() };
    network.far(|| (Proxy::start_with(http).unwrap(), Socks::start_with(socks).unwrap()))
}

/// Forwarded or in a tunnel; SOCKS has tunnels only.
fn a_connection_to_a_proxy_that_died_is_replaced(form: Form) {
    let name = "through::a_connection_to_a_proxy_that_died_is_replaced";
    plain_and_tls(&form.name(name), |network, tls| {
        let (http, socks) = proxies(network);
        for proxy in [http.url(), socks.url("socks5"), socks.url("socks5h")] {
            let server: Server = network.server(tls, Script::answering("ok"));
            let client = trusting(form.client());
            client.set_proxy(Some(&proxy)).unwrap();
            assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
            assert!(network.kill_flows() > 0);
            let begun = Instant::now();
            let mut response = get(&client, &server.url("/again")).unwrap();
            report(&format!("GET through a dead connection to {proxy}"), form, tls, begun);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_eq!((response.attempts(), response.read_all(10).unwrap()), (2, b"ok".to_vec()));
            network.kill_flows();
            let mut post = request("POST", &server.url("/pay"));
            post.set_body(Body::bytes(b"once"));
            let error = client.send(&mut post).unwrap_err();
            assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, false), "{error:?}");
        }
    });
}

fn a_stream_that_died_is_ended_by_the_probes_of_the_system(form: Form) {
    let name = "through::a_stream_that_died_is_ended_by_the_probes_of_the_system";
    plain_and_tls(&form.name(name), |network, tls| {
        let steps = vec![Step::head(), Step::send(SWITCH), Step::send("hello"), Step::Stall];
        let server = network.server(tls, ok_or([("/lines", steps)]));
        let client = trusting(form.client_with(quick_probes()));
        let mut upgrade = request("GET", &server.url("/lines"));
        upgrade.add_header("Upgrade", "lines").unwrap();
        let mut response = client.send(&mut upgrade).unwrap();
        let stream = response.take_stream().unwrap();
        assert_eq!(stream.read_exactly(5).unwrap(), b"hello");
        std::thread::sleep(ms(400));
        network.kill_flows();
        let begun = Instant::now();
        let error = stream.read(100).unwrap_err();
        report("a read of a stream that died", form, tls, begun);
        assert!(begun.elapsed() < PROBED, "{:?}", begun.elapsed());
        assert_eq!((error.kind(), error.os_code()), (Kind::PeerSilent, Some(libc::ETIMEDOUT)));
        drop(stream);
        let reason = client.manager().close_reason(response.connection_id());
        assert_eq!(reason, Some(CloseReason::PeerUnreachable));
    });
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n";
