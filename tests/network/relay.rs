//! What the network of the tests does to packets, seen through bare sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testserver::network::{Direction, Network};
use testserver::{Script, Server, Step};

use crate::support::network::in_network;
use crate::support::{PATIENCE, ms, wait_until};

#[test]
fn outside_of_a_namespace_of_its_own_no_network_is_started() {
    let error = Network::start().unwrap_err();
    assert!(error.to_string().contains("namespace"), "{error}");
}

#[test]
fn a_delay_is_waited_for_in_both_directions() {
    in_network("relay::a_delay_is_waited_for_in_both_directions", |network| {
        let server = echo(network);
        network.set_delay(ms(40));
        let begun = Instant::now();
        let mut peer = connect(server.addr());
        assert!(begun.elapsed() >= ms(80), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(ask(&mut peer, b"far"), b"far");
        assert!(begun.elapsed() >= ms(80), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_rate_is_kept() {
    in_network("relay::a_rate_is_kept", |network| {
        let server = echo(network);
        let mut peer = connect(server.addr());
        network.set_rate(Some(8_000_000));
        let begun = Instant::now();
        assert_eq!(ask(&mut peer, &[7; 200_000]).len(), 200_000);
        assert!(begun.elapsed() >= ms(200), "a megabyte a second: {:?}", begun.elapsed());
    });
}

#[test]
fn some_packets_are_lost_and_tcp_repeats_them() {
    in_network("relay::some_packets_are_lost_and_tcp_repeats_them", |network| {
        let server = echo(network);
        let mut peer = connect(server.addr());
        network.set_loss(5.0);
        let text: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        assert!(ask(&mut peer, &text) == text);
        let counts = network.counts();
        assert!(counts.lost[0] > 0 && counts.lost[0] * 4 < counts.packets[0], "{counts:?}");
    });
}

#[test]
fn killed_flows_are_silent_and_new_ones_pass() {
    in_network("relay::killed_flows_are_silent_and_new_ones_pass", |network| {
        let server = echo(network);
        let (mut old, mut spared) = (connect(server.addr()), connect(server.addr()));
        let port = spared.local_addr().unwrap().port();
        assert_eq!(network.kill_flows_where(|flow| flow.near.port() != port), 1);
        old.write_all(b"into the void").unwrap();
        old.set_read_timeout(Some(ms(300))).unwrap();
        assert_eq!(old.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(ask(&mut spared, b"spared"), b"spared");
        assert_eq!(ask(&mut connect(server.addr()), b"new"), b"new");
        assert_eq!((network.kill_flows(), network.counts().dials), (2, 3));
        spared.write_all(b"again").unwrap();
        spared.set_read_timeout(Some(ms(300))).unwrap();
        assert_eq!(spared.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(network.counts().resets, [0, 0]);
    });
}

#[test]
fn large_packets_vanish_and_small_ones_pass() {
    in_network("relay::large_packets_vanish_and_small_ones_pass", |network| {
        let server = echo(network);
        let mut peer = connect(server.addr());
        network.set_largest(Some(1000));
        assert_eq!(ask(&mut peer, &[1; 900]).len(), 900);
        peer.write_all(&[2; 1400]).unwrap();
        peer.set_read_timeout(Some(ms(500))).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        network.set_largest(None);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = [0; 1400];
        peer.read_exact(&mut rest).unwrap();
    });
}

#[test]
fn one_direction_is_cut_or_held_without_the_other() {
    in_network("relay::one_direction_is_cut_or_held_without_the_other", |network| {
        let server = echo(network);
        let mut peer = connect(server.addr());
        peer.set_read_timeout(Some(ms(300))).unwrap();
        for (stop, direction) in [
            (Network::set_cut as fn(&Network, Direction, bool), Direction::ToNear),
            (Network::set_hold, Direction::ToNear),
            (Network::set_hold, Direction::ToFar),
        ] {
            let before = network.counts().payload;
            stop(network, direction, true);
            peer.write_all(b"one").unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            let came = network.counts().payload[1] > before[1];
            assert_eq!(came, direction == Direction::ToNear, "the server's echo");
            stop(network, direction, false);
            let mut back = [0; 3];
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.read_exact(&mut back).unwrap();
            assert_eq!(&back, b"one");
            peer.set_read_timeout(Some(ms(300))).unwrap();
        }
    });
}

#[test]
fn a_filter_loses_what_it_chooses() {
    in_network("relay::a_filter_loses_what_it_chooses", |network| {
        let server = echo(network);
        let mut left = 1;
        network.set_filter(Some(Box::new(move |direction, packet| {
            let first = direction == Direction::ToFar
                && packet.segment().is_some_and(|segment| segment.syn)
                && left > 0;
            left -= i32::from(first);
            first
        })));
        let begun = Instant::now();
        assert_eq!(ask(&mut connect(server.addr()), b"at last"), b"at last");
        // The kernel repeats a SYN after a second.
        assert!(begun.elapsed() >= ms(900), "{:?}", begun.elapsed());
        assert_eq!((network.counts().syns, network.counts().dials), (2, 1));
    });
}

#[test]
fn the_clients_address_and_its_link_can_go_and_come() {
    in_network("relay::the_clients_address_and_its_link_can_go_and_come", |network| {
        let server = echo(network);
        let there = || TcpStream::connect_timeout(&server.addr(), PATIENCE);
        drop(there().unwrap());
        network.remove_near_address().unwrap();
        assert_eq!(there().unwrap_err().kind(), ErrorKind::NetworkUnreachable);
        network.set_near_address(network.near_ip()).unwrap();
        drop(there().unwrap());
        network.set_near_up(false).unwrap();
        assert_eq!(there().unwrap_err().kind(), ErrorKind::NetworkUnreachable);
        network.set_near_up(true).unwrap();
        drop(there().unwrap());
        let other = std::net::Ipv4Addr::new(198, 18, network.near_ip().octets()[2], 9);
        network.set_near_address(other).unwrap();
        assert_eq!(there().unwrap().local_addr().unwrap().ip(), other);
    });
}

#[test]
fn two_networks_in_one_process_are_apart() {
    in_network("relay::two_networks_in_one_process_are_apart", |first| {
        let second = Network::start().unwrap();
        let servers = (echo(first), echo(&second));
        first.set_cut(Direction::ToFar, true);
        assert_eq!(ask(&mut connect(servers.1.addr()), b"second"), b"second");
        assert_ne!(first.near_device(), second.near_device());
        let cut = TcpStream::connect_timeout(&servers.0.addr(), ms(300));
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::TimedOut);
        let lost = || first.counts().lost[0];
        wait_until("the lost SYN", || lost() > 0);
    });
}

fn echo(network: &Network) -> Server {
    network.server(false, Script::every(vec![Step::Echo]))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let peer = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    peer.set_nodelay(true).unwrap();
    peer
}

/// Sends the bytes, and returns as many that came back.
fn ask(peer: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = peer.try_clone().unwrap();
    let mut back = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).unwrap());
        peer.read_exact(&mut back).unwrap();
    });
    back
}
