//! Connecting to a host: the race of its addresses, the local address, and the system's keep-alive probes (Q6). The
//! lookup of names is in `resolver.rs`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hangup::{CancelToken, ConnectionMode, Kind, Limits, Phase, Timeout};
use testserver::{Addresses, BlackHole, Manner, Options, Place, Script, Server, Step};

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
    q6_a_lone_silent_address_gets_a_second_attempt_that_counts_as_one,
    q6_the_address_that_connected_last_is_the_first_of_the_next_dial,
    q6_what_connected_last_is_forgotten_when_it_fails_or_the_network_changes,
    connections_come_from_the_configured_local_address,
    a_local_address_of_another_host_is_an_error_that_names_it,
    a_local_address_has_each_port_once_for_each_server,
    requests_that_find_no_free_port_wait_for_the_connections_of_their_origin,
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
    // The last address gets a second one.
    let ready = |_| wait_until("four attempts", || attempts(addresses.port()) == 4);
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

fn q6_a_lone_silent_address_gets_a_second_attempt_that_counts_as_one(form: Form) {
    let hole = BlackHole::new();
    let client = form.client_with(Limits { total: 1, ..Limits::default() });
    client.set_timeout(Timeout::Connect, None).unwrap();
    let token = CancelToken::new();
    let mut request = request("GET", &hole.url("/"));
    request.set_cancel(Some(token.clone()));
    let ready = |_| {
        wait_until("two attempts", || attempts(hole.port()) == 2);
        let (list, stats) = (client.manager().connections(), client.manager().stats());
        assert_eq!((list.len(), stats.opened, stats.dialling), (1, 1, 1), "{stats:?}");
    };
    cancelled("in a dial", &token, Phase::Connect, || client.send(&mut request), ready);
    wait_until("the end of the dial", || client.manager().stats().dialling == 0);
    assert_eq!((client.manager().stats().dials_failed, attempts(hole.port())), (1, 0));
    // Where one attempt shall follow the other, there is one.
    client.set_happy_eyeballs_delay(None).unwrap();
    client.set_timeout(Timeout::Connect, Some(ms(600))).unwrap();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| fetch(&client, &hole.url("/")).unwrap_err());
        let mut most = 0;
        while !work.is_finished() {
            most = most.max(attempts(hole.port()));
            std::thread::sleep(ms(5));
        }
        assert_timed_out(&work.join().unwrap(), Timeout::Connect, Phase::Connect);
        assert_eq!(most, 1);
    });
}

/// Two addresses of [`NAME`], of which the first is silent, and a client for which the second has connected last. Its
/// next address is tried only after a time that no test takes.
fn with_a_winner(form: Form) -> (BlackHole, Server, Client) {
    let wanted = [("::1", Manner::Silent), ("127.0.0.1", serves())];
    let (addresses, client) = open(form, &wanted);
    let (ip, _) = reach(&client, addresses.port());
    assert_eq!(ip.to_string(), "127.0.0.1");
    client.manager().close_all(hangup::CloseMode::Now);
    client.set_happy_eyeballs_delay(Some(PATIENCE * 10)).unwrap();
    client.set_timeout(Timeout::Connect, None).unwrap();
    let mut places = addresses.into_places().into_iter().map(|(_, place)| place);
    let (Some(Place::BlackHole(hole)), Some(Place::Server(server))) =
        (places.next(), places.next())
    else {
        panic!("a silent address and a server");
    };
    (hole, server, client)
}

fn q6_the_address_that_connected_last_is_the_first_of_the_next_dial(form: Form) {
    let (hole, server, client) = with_a_winner(form);
    let dial = || {
        let (ip, took) = reach(&client, server.port());
        client.manager().close_all(hangup::CloseMode::Now);
        (ip.to_string(), took)
    };
    for _ in 0..2 {
        let (ip, took) = dial();
        println!("latency with a dead family that is known: {took:?}");
        assert_eq!(ip, "127.0.0.1");
        // Not after the turn of the silent one.
        assert!(took < PATIENCE * 10, "{took:?}");
    }
    // Also when the other one is there again; with addresses that are given anew their order counts.
    let _other = hole.open(Script::answering("ok")).unwrap();
    assert_eq!(dial().0, "127.0.0.1");
    let both = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    client.manager().set_address(NAME, &both).unwrap();
    assert_eq!(dial().0, "::1");
}

fn q6_what_connected_last_is_forgotten_when_it_fails_or_the_network_changes(form: Form) {
    let forget: [fn(&hangup::Manager); 2] = [
        |manager| manager.clear_addresses(),
        |manager| {
            manager.network_changed();
        },
    ];
    for forget in forget {
        let (hole, server, client) = with_a_winner(form);
        let _other = hole.open(Script::answering("ok")).unwrap();
        forget(client.manager());
        assert_eq!(reach(&client, server.port()).0.to_string(), "::1");
    }
    let (hole, server, client) = with_a_winner(form);
    let port = server.port();
    let _other = hole.open(Script::answering("ok")).unwrap();
    drop(server);
    // It refuses; the other one is next, and is known from then on.
    assert_eq!(reach(&client, port).0.to_string(), "::1");
    client.manager().close_all(hangup::CloseMode::Now);
    let options = Options { ip: "127.0.0.1".parse().ok(), port, ..Options::default() };
    let _again = Server::start_with(options, Script::answering("ok")).unwrap();
    assert_eq!(reach(&client, port).0.to_string(), "::1");
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
            // One server gets at most one connection from each port. The next request waits for one of them.
            client.set_timeout(Timeout::Pool, Some(ms(200))).unwrap();
            let error = std::iter::from_fn(|| match open(&servers[0]) {
                Ok(response) => {
                    all.push(response);
                    Some(None)
                }
                Err(error) => Some(Some(error)),
            });
            let error = error.take(20).flatten().next().unwrap();
            assert_timed_out(&error, Timeout::Pool, Phase::Pool);
            assert!(error.message().contains("no free local port"), "{error}");
            // Without one there is nothing to wait for.
            drop(all);
            client.manager().close_all(hangup::CloseMode::Now);
            let address = servers[0].addr();
            let connect = || std::net::TcpStream::connect(address);
            let mut others = Vec::new();
            let error = loop {
                match connect() {
                    Ok(other) => others.push(other),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
            let error = open(&servers[0]).unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
            assert_eq!(error.os_code(), Some(libc::EADDRNOTAVAIL), "{error:?}");
            assert!(error.message().contains("127.0.0.1: all of its ports are in use"), "{error}");
        },
    );
}

fn requests_that_find_no_free_port_wait_for_the_connections_of_their_origin(form: Form) {
    let name =
        "addresses::requests_that_find_no_free_port_wait_for_the_connections_of_their_origin";
    in_own_process(&form.name(name), || {
        // The server takes one of eleven.
        if !enter_a_network_of_ports(40000, 40010) {
            println!("no network of one's own: this user may not make one");
            return;
        }
        let steps = vec![Step::head(), Step::wait_for("go"), Step::send(TWO_BYTES)];
        let server = Server::start(Script::every(vec![Step::forever(steps)]));
        let client = form.client();
        std::thread::scope(|scope| {
            let work: Vec<_> =
                (0..24).map(|_| scope.spawn(|| fetch(&client, &server.url("/")))).collect();
            let settled = || {
                let stats = client.manager().stats();
                stats.dialling == 0 && stats.in_use + stats.queued == 24
            };
            wait_until("each request has a connection or waits for one", settled);
            let stats = client.manager().stats();
            println!("numbers: {} connections, {} wait", stats.in_use, stats.queued);
            assert!(stats.in_use <= 10 && stats.queued >= 14, "{stats:?}");
            server.release("go");
            for one in work {
                assert_eq!(one.join().unwrap().unwrap(), b"ok");
            }
        });
        assert!(server.connections() <= 10);
        assert_at_rest(client.manager());
    });
}

const TWO_BYTES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

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
