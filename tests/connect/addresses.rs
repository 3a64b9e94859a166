//! Connecting to a host: the race of its addresses, the local address, and the system's keep-alive probes (Q6). The
//! lookup of names is in `resolver.rs`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hangup::{CancelToken, ConnectionMode, Kind, Limits, Phase, Timeout};
use testserver::{Addresses, Manner, Options, Script, Server};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, only_socket, sockets};
use crate::support::outcome::{assert_timed_out, cancelled};
use crate::support::own_process::in_own_process;
use crate::support::{PATIENCE, fetch, get, ms, request, wait_until};

in_both_forms! {
    q6_addresses_that_refuse_are_skipped_at_once,
    q6_addresses_that_can_not_be_used_are_skipped_at_once,
    q6_a_silent_address_is_joined_by_the_next_and_the_loser_is_closed,
    q6_address_families_alternate,
    q6_all_refused_is_one_error,
    q6_all_silent_is_a_connect_timeout,
    q6_a_cancel_ends_every_attempt_in_progress,
    connections_come_from_the_configured_local_address,
    a_local_address_of_another_host_is_an_error_that_names_it,
    a_local_address_has_each_port_once_for_each_server,
    the_limits_set_the_systems_keepalive_probes,
}

/// The host name that the tests map to addresses of their choice.
pub const NAME: &str = "many.test";

/// What a busy machine may add to a duration of 250 ms or less.
pub const SOON: Duration = Duration::from_secs(2);

/// The dial of a cancelled exchange goes on for 1.5 s; this includes what a busy machine adds.
const GRACE: Duration = Duration::from_secs(3);

fn serves() -> Manner {
    Manner::Serves(Script::answering("ok"))
}

/// A client for which [`NAME`] has these addresses, in this order.
fn knowing(form: Form, addresses: &[&str]) -> Client {
    let client = form.client();
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    client.manager().set_address(NAME, &addresses).unwrap();
    client
}

/// Opens servers at these addresses, and a client for which [`NAME`] has them in this order.
fn open(form: Form, wanted: &[(&str, Manner)]) -> (Addresses, Client) {
    let ips: Vec<&str> = wanted.iter().map(|(ip, _)| *ip).collect();
    (Addresses::open(wanted).unwrap(), knowing(form, &ips))
}

/// A GET by name that must succeed. Returns the address that it came to, and how long it took.
#[track_caller]
fn reach(client: &Client, port: u16) -> (IpAddr, Duration) {
    let begun = Instant::now();
    let mut response = get(client, &format!("http://{NAME}:{port}/")).unwrap();
    let took = begun.elapsed();
    assert_eq!(response.read_all(10).unwrap(), b"ok");
    let open = client.manager().connections();
    assert_eq!(open.len(), 1);
    assert_at_rest(client.manager());
    (open[0].peer.unwrap().ip(), took)
}

/// How many sockets of this process are connecting to that port. The kernel's table is read while it changes, so a row
/// may be missed once.
fn attempts(port: u16) -> usize {
    let count = || sockets(port).iter().filter(|held| held.state == "SYN_SENT").count();
    (0..3).map(|_| count()).max().unwrap_or(0)
}

fn q6_addresses_that_refuse_are_skipped_at_once(form: Form) {
    // Each with a head start of 250 ms would be two seconds.
    let refusing = ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let more = ["127.0.0.6", "127.0.0.7"];
    let mut wanted: Vec<_> =
        refusing.into_iter().chain(more).map(|ip| (ip, Manner::Refuses)).collect();
    wanted.push(("127.0.0.9", serves()));
    let (addresses, client) = open(form, &wanted);
    let (ip, took) = reach(&client, addresses.port());
    println!("latency after eight refusals: {took:?}");
    assert_eq!(ip.to_string(), "127.0.0.9");
    assert!(took < ms(1900), "{took:?}");
}

fn q6_addresses_that_can_not_be_used_are_skipped_at_once(form: Form) {
    // Broadcast and multicast can't be connected to, nor can a link-local address without a link.
    let server = Server::start(Script::answering("ok"));
    let mut unusable = vec!["255.255.255.255", "ff02::1", "224.0.0.1", "fe80::1"];
    unusable.extend(["224.0.0.2", "ff02::2", "224.0.0.3", "ff02::3", "127.0.0.1"]);
    let client = knowing(form, &unusable);
    let (ip, took) = reach(&client, server.port());
    assert_eq!(ip.to_string(), "127.0.0.1");
    assert!(took < ms(1900), "{took:?}");
    // If every address fails there is one error, of the address with the most specific failure.
    let dead = Addresses::open(&[("127.0.0.1", Manner::Refuses)]).unwrap();
    for addresses in [&unusable[..8], &unusable[..]] {
        let error = fetch(&knowing(form, addresses), &dead.url(NAME, "/")).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        let refused = error.os_code() == Some(libc::ECONNREFUSED);
        assert_eq!(refused, addresses.len() == 9, "{error}");
    }
}

fn q6_a_silent_address_is_joined_by_the_next_and_the_loser_is_closed(form: Form) {
    for wanted in [
        [("127.0.0.1", Manner::Silent), ("127.0.0.2", serves())],
        [("::1", Manner::Silent), ("127.0.0.1", serves())],
        [("127.0.0.1", Manner::Silent), ("::1", serves())],
    ] {
        let (addresses, client) = open(form, &wanted);
        let (ip, took) = reach(&client, addresses.port());
        println!("latency past a silent {}: {took:?}", wanted[0].0);
        assert_eq!(ip.to_string(), wanted[1].0);
        assert!(took >= ms(250) && took < SOON, "{took:?}");
        // Only the winner's socket is open.
        assert_eq!(attempts(addresses.port()), 0);
        assert_eq!(addresses.server(wanted[1].0).connections(), 1);
        let stats = client.manager().stats();
        assert_eq!((stats.opened, stats.dials_failed), (1, 0), "{stats:?}");
    }
}

fn q6_address_families_alternate(form: Form) {
    // The other family comes second, however many of the first one there are.
    for (silent, serving) in [("127.0.0.", "::1"), ("::1", "127.0.0.1")] {
        let four: Vec<String> = (1..=4).map(|number| format!("{silent}{number}")).collect();
        let mut wanted: Vec<(&str, Manner)> = match silent {
            "::1" => vec![("::1", Manner::Silent)],
            _ => four.iter().map(|ip| (ip.as_str(), Manner::Silent)).collect(),
        };
        wanted.push((serving, serves()));
        let (addresses, client) = open(form, &wanted);
        let (ip, took) = reach(&client, addresses.port());
        assert_eq!(ip.to_string(), serving);
        assert!(took >= ms(250) && took < ms(950), "{took:?}");
    }
}

fn q6_all_refused_is_one_error(form: Form) {
    let all = [("127.0.0.1", Manner::Refuses), ("::1", Manner::Refuses)];
    let (addresses, client) = open(form, &all);
    let error = fetch(&client, &addresses.url(NAME, "/")).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
    assert_eq!(error.os_code(), Some(libc::ECONNREFUSED));
    assert!(error.message().contains(NAME) && error.retry_safe(), "{error}");
    assert_at_rest(client.manager());
    assert_eq!(client.manager().stats().dials_failed, 1);
    assert_eq!(sockets(addresses.port()), []);
}

fn q6_all_silent_is_a_connect_timeout(form: Form) {
    let all = ["127.0.0.1", "127.0.0.2", "::1"].map(|ip| (ip, Manner::Silent));
    let (addresses, client) = open(form, &all);
    // Before the second attempt starts, between two attempts, and while all are in progress.
    for limit in [100, 400, 700] {
        client.set_timeout(Timeout::Connect, Some(ms(limit))).unwrap();
        let begun = Instant::now();
        let error = fetch(&client, &addresses.url(NAME, "/")).unwrap_err();
        assert!(begun.elapsed() >= ms(limit) && begun.elapsed() < ms(limit) + SOON);
        assert_timed_out(&error, Timeout::Connect, Phase::Connect);
        assert_at_rest(client.manager());
        assert_eq!(attempts(addresses.port()), 0);
    }
}

fn q6_a_cancel_ends_every_attempt_in_progress(form: Form) {
    let all = ["127.0.0.1", "127.0.0.2", "::1"].map(|ip| (ip, Manner::Silent));
    let (addresses, client) = open(form, &all);
    client.set_timeout(Timeout::Connect, None).unwrap();
    let token = CancelToken::new();
    let mut request = request("GET", &addresses.url(NAME, "/"));
    request.set_cancel(Some(token.clone()));
    let ready = |_| wait_until("three attempts", || attempts(addresses.port()) == 3);
    cancelled("in a race", &token, Phase::Connect, || client.send(&mut request), ready);
    let fired = Instant::now();
    wait_until("the end of the dial", || client.manager().stats().dialling == 0);
    assert!(fired.elapsed() < GRACE, "{:?}", fired.elapsed());
    assert_at_rest(client.manager());
    assert_eq!(attempts(addresses.port()), 0);
    // After a close no dial goes on.
    let work = || fetch(&client, &addresses.url(NAME, "/")).unwrap_err();
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        wait_until("two attempts", || attempts(addresses.port()) >= 2);
        client.manager().close_all(hangup::CloseMode::Now);
        assert_eq!(work.join().unwrap().kind(), Kind::Closed);
    });
    assert_at_rest(client.manager());
    assert_eq!(attempts(addresses.port()), 0);
}

#[test]
fn q6_the_race_serves_tls_and_proxies_as_well() {
    let tls = Script::every(vec![
        testserver::Step::Tls(testserver::Certificate::Good),
        testserver::Step::forever(vec![testserver::Step::answer(200, "ok")]),
    ]);
    let wanted = [("::1", Manner::Refuses), ("127.0.0.1", Manner::Serves(tls))];
    let addresses = Addresses::open(&wanted).unwrap();
    let client = crate::support::tls_client();
    let ips = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    client.manager().set_address("localhost", &ips).unwrap();
    let url = format!("https://localhost:{}/", addresses.port());
    assert_eq!(fetch(&client, &url).unwrap(), b"ok");
    let proxy = testserver::Proxy::start();
    let origin = Server::start(Script::answering("ok"));
    let ips = ["127.0.0.77", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    client.manager().set_address("proxy.test", &ips).unwrap();
    client.set_proxy(Some(&format!("proxy.test:{}", proxy.port()))).unwrap();
    assert_eq!(fetch(&client, &origin.url("/")).unwrap(), b"ok");
    assert_eq!(proxy.connections(), 1);
}

fn connections_come_from_the_configured_local_address(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let local: IpAddr = "127.0.0.2".parse().unwrap();
    client.set_local_address(Some(local));
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    assert_eq!(client.manager().connections()[0].local.map(|at| at.ip()), Some(local));
    assert_eq!(only_socket(server.port()).local.ip(), local);
    // From a local address only its own family can be reached.
    let v6 = Options { ipv6: true, ..Options::default() };
    let v6 = Server::start_with(v6, Script::answering("ok")).unwrap();
    let error = fetch(&client, &v6.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectFailed);
    assert!(error.message().contains("127.0.0.2") && error.message().contains("IPv4"), "{error}");
    let both = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    client.manager().set_address(NAME, &both).unwrap();
    let url = format!("http://{NAME}:{}/", server.port());
    assert_eq!(fetch(&client, &url).unwrap(), b"ok");
}

fn a_local_address_of_another_host_is_an_error_that_names_it(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    // RFC 5737: for documentation only.
    client.set_local_address("198.51.100.7".parse().ok());
    for url in [server.url("/"), server.url("/").replace("http:", "https:")] {
        let error = fetch(&client, &url).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        assert!(error.message().contains("198.51.100.7"), "{error}");
        assert!(error.message().contains("no address of this machine"), "{error}");
        assert_eq!(error.os_code(), Some(libc::EADDRNOTAVAIL));
    }
    assert_at_rest(client.manager());
    assert_eq!(server.connections(), 0);
}

/// Moves this thread and the threads that it starts into a network namespace with a loopback interface and these ports.
/// Returns `false` if the user is not permitted to.
fn enter_a_network_of_ports(first: u16, last: u16) -> bool {
    // SAFETY: no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return false;
    }
    // SAFETY: netdevice(7): a request that names the interface and its flags, for the call only.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
        request.ifr_ifru.ifru_flags = libc::IFF_UP as _;
        assert_eq!(libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request), 0);
        libc::close(socket);
    }
    let range = format!("{first} {last}");
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
    true
}

fn a_local_address_has_each_port_once_for_each_server(form: Form) {
    in_own_process(
        &form.name("addresses::a_local_address_has_each_port_once_for_each_server"),
        || {
            // Twenty ports, of which the servers take three.
            if !enter_a_network_of_ports(40000, 40019) {
                println!("no network of one's own: this user may not make one");
                return;
            }
            let servers = [(); 3].map(|()| Server::start(Script::answering("ok")));
            let client = form.client();
            let local = "127.0.0.1".parse().unwrap();
            client.set_local_address(Some(local));
            let open = |server: &Server| get(&client, &server.url("/"));
            let mut all = Vec::new();
            for _ in 0..12 {
                all.extend(servers.iter().map(|server| open(server).unwrap()));
            }
            let connections = client.manager().connections();
            assert_eq!(connections.len(), 36);
            assert!(connections.iter().all(|one| one.local.is_some_and(|at| at.ip() == local)));
            // One server gets at most one connection from each port.
            let error = std::iter::from_fn(|| match open(&servers[0]) {
                Ok(response) => {
                    all.push(response);
                    Some(None)
                }
                Err(error) => Some(Some(error)),
            });
            let error = error.take(20).flatten().next().unwrap();
            assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
            assert_eq!(error.os_code(), Some(libc::EADDRNOTAVAIL), "{error:?}");
            assert!(error.message().contains("127.0.0.1: all of its ports are in use"), "{error}");
        },
    );
}

/// The timer that runs for a socket, by its kind (2 is keep-alive) and when it is due, as
/// /proc/net/tcp has it (proc(5)).
fn timer(local: SocketAddr, peer: SocketAddr) -> Option<(u32, Duration)> {
    let shown = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()))
        }
        SocketAddr::V6(_) => None,
    };
    // Both ends: a local port may serve several connections.
    let ends = format!("{} {}", shown(local)?, shown(peer)?);
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let row = table.lines().find(|row| row.contains(&ends))?;
    let (kind, when) = row.split_ascii_whitespace().nth(5)?.split_once(':')?;
    let ticks = u64::from_str_radix(when, 16).ok()?;
    Some((u32::from_str_radix(kind, 16).ok()?, Duration::from_millis(ticks * 10)))
}

fn the_limits_set_the_systems_keepalive_probes(form: Form) {
    let server = Server::start(Script::answering("ok"));
    for keep_alive in [Some(15), Some(600), None] {
        let client = form.client();
        let keep_alive = keep_alive.map(Duration::from_secs);
        client.manager().set_limits(Limits { keep_alive, ..Limits::default() }).unwrap();
        let mut request = request("GET", &server.url("/"));
        request.set_connection_mode(ConnectionMode::Keep);
        assert_eq!(client.send(&mut request).unwrap().read_all(10).unwrap(), b"ok");
        let open = client.manager().connections();
        let (local, peer) = (open[0].local.unwrap(), open[0].peer.unwrap());
        // Until the sent bytes are acknowledged another timer runs.
        let mut seen = None;
        wait_until("no retransmission timer", || {
            seen = timer(local, peer);
            seen.is_some_and(|(kind, _)| matches!(kind, 0 | 2))
        });
        let (kind, due) = seen.unwrap();
        match keep_alive {
            None => assert_eq!(kind, 0, "{seen:?}"),
            Some(after) => {
                assert_eq!(kind, 2, "{seen:?}");
                // The timer runs since the connect.
                assert!(due <= after + ms(1000), "{seen:?}");
                assert!(due + PATIENCE >= after, "{seen:?}");
            }
        }
    }
}
