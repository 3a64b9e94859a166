//! What a manager does when the client's address goes, comes back or is another one, and when its link is switched off.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use hangup::{Body, CloseReason, ConnectionState, EventKind, Events, Manager};
use testserver::network::Network;
use testserver::{Script, Server};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{closes_on_exec, descriptors};
use crate::support::network::in_network;
use crate::support::own_process::in_own_process;
use crate::support::{fetch, get, ms, post, wait_until};

in_both_forms! {
    an_idle_connection_is_closed_when_its_address_goes_and_another_one_is_not,
    an_address_that_goes_before_the_process_listens_is_noticed_when_it_begins_to,
    a_connection_in_use_is_closed_after_its_exchange_when_its_address_goes,
    every_manager_is_told_but_one_that_does_not_want_it,
    a_post_right_after_a_change_goes_out_on_a_new_connection,
    a_link_that_is_switched_off_counts_as_an_address_that_is_gone,
    another_address_beside_the_first_one_clears_the_names_and_closes_nothing,
    a_change_before_the_next_dial_is_noticed_without_idle_connections,
    a_connection_whose_way_a_vpn_takes_over_is_closed_unless_its_address_was_chosen,
}

fn an_idle_connection_is_closed_when_its_address_goes_and_another_one_is_not(form: Form) {
    let name =
        name(form, "an_idle_connection_is_closed_when_its_address_goes_and_another_one_is_not");
    in_network(&name, |network| {
        let other = Network::start().unwrap();
        let (server, elsewhere) = (answering(network), answering(&other));
        let client = form.client();
        let lookups = count_lookups(client.manager(), network.far_ip());
        let url = format!("http://far.test:{}/", server.port());
        fetch(&client, &url).unwrap();
        fetch(&client, &elsewhere.url("/")).unwrap();
        listens();
        let mut events = client.manager().events(64).unwrap();
        let id = id_from(client.manager(), network.near_ip());

        let begun = Instant::now();
        network.remove_near_address().unwrap();
        wait_until("the close", || client.manager().close_reason(id).is_some());
        println!("numbers: closed after {:?}", begun.elapsed());
        assert_eq!(client.manager().close_reason(id), Some(CloseReason::NetworkChanged));
        let left = client.manager().connections();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].local.unwrap().ip(), other.near_ip());
        assert_eq!(left[0].state, ConnectionState::Idle);
        assert!(changed(&mut events).origin.is_empty());

        network.set_near_address(Ipv4Addr::new(198, 18, network.near_ip().octets()[2], 9)).unwrap();
        fetch(&client, &url).unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 2, "the name is looked up in the new network");
        fetch(&client, &elsewhere.url("/")).unwrap();
        assert_eq!(
            elsewhere.heads(0).len(),
            2,
            "the connection of the other network is used again"
        );
    });
}

fn an_address_that_goes_before_the_process_listens_is_noticed_when_it_begins_to(form: Form) {
    in_network(
        &name(form, "an_address_that_goes_before_the_process_listens_is_noticed_when_it_begins_to"),
        |network| {
            let server = answering(network);
            let client = form.client();
            fetch(&client, &server.url("/")).unwrap();
            let id = id_from(client.manager(), network.near_ip());
            let mut events = client.manager().events(64).unwrap();
            network.remove_near_address().unwrap();
            wait_until("the close", || client.manager().close_reason(id).is_some());
            assert_eq!(client.manager().close_reason(id), Some(CloseReason::NetworkChanged));
            changed(&mut events);
        },
    );
}

fn a_connection_in_use_is_closed_after_its_exchange_when_its_address_goes(form: Form) {
    let name = name(form, "a_connection_in_use_is_closed_after_its_exchange_when_its_address_goes");
    in_network(&name, |network| {
        let server = answering(network);
        let client = form.client();
        let mut response = get(&client, &server.url("/")).unwrap();
        fetch(&client, &server.url("/")).unwrap();
        listens();
        let busy = response.connection_facts().id;

        network.remove_near_address().unwrap();
        wait_until("the mark", || {
            let all = client.manager().connections();
            all.iter().all(|one| one.id == busy && one.closing)
        });
        assert_eq!(response.read_all(100).unwrap(), b"ok", "the exchange is not disturbed");
        assert_eq!(client.manager().close_reason(busy), Some(CloseReason::NetworkChanged));
    });
}

fn every_manager_is_told_but_one_that_does_not_want_it(form: Form) {
    in_network(&name(form, "every_manager_is_told_but_one_that_does_not_want_it"), |network| {
        let server = answering(network);
        let clients: Vec<Client> = (0..3).map(|_| form.client()).collect();
        let managers: Vec<_> = clients.iter().map(|client| Arc::clone(client.manager())).collect();
        managers[2].set_network_watch(false);
        assert_eq!(managers.iter().filter(|one| one.network_watch()).count(), 2);
        clients
            .iter()
            .for_each(|client| assert_eq!(fetch(client, &server.url("/")).unwrap(), b"ok"));
        listens();
        let ids: Vec<_> = managers.iter().map(|one| id_from(one, network.near_ip())).collect();

        network.remove_near_address().unwrap();
        for (manager, id) in managers.iter().zip(ids).take(2) {
            wait_until("the close", || manager.close_reason(id).is_some());
            assert_eq!(manager.close_reason(id), Some(CloseReason::NetworkChanged));
        }
        assert_eq!(managers[2].stats().idle, 1);
    });
}

fn a_post_right_after_a_change_goes_out_on_a_new_connection(form: Form) {
    in_network(
        &name(form, "a_post_right_after_a_change_goes_out_on_a_new_connection"),
        |network| {
            let server = answering(network);
            let client = form.client();
            let [a, b, c, _] = network.near_ip().octets();
            for last in [5, 6, 7] {
                fetch(&client, &server.url("/")).unwrap();
                listens();
                network.set_near_address(Ipv4Addr::new(a, b, c, last)).unwrap();
                let mut request = post(&server.url("/"), Body::bytes(b"once"));
                let response = client.send(&mut request).unwrap();
                assert!(!response.reused());
                assert_eq!(response.attempts(), 1);
            }
        },
    );
}

fn a_link_that_is_switched_off_counts_as_an_address_that_is_gone(form: Form) {
    let name = name(form, "a_link_that_is_switched_off_counts_as_an_address_that_is_gone");
    in_network(&name, |network| {
        let server = answering(network);
        let client = form.client();
        // Twice: the address that comes back is known.
        for _ in 0..2 {
            fetch(&client, &server.url("/")).unwrap();
            listens();
            let id = id_from(client.manager(), network.near_ip());
            network.set_near_up(false).unwrap();
            wait_until("the close", || client.manager().close_reason(id).is_some());
            assert_eq!(client.manager().close_reason(id), Some(CloseReason::NetworkChanged));
            network.set_near_up(true).unwrap();
        }
    });
}

fn another_address_beside_the_first_one_clears_the_names_and_closes_nothing(form: Form) {
    let name =
        name(form, "another_address_beside_the_first_one_clears_the_names_and_closes_nothing");
    in_network(&name, |network| {
        let server = answering(network);
        let client = form.client();
        let lookups = count_lookups(client.manager(), network.far_ip());
        fetch(&client, &format!("http://far.test:{}/", server.port())).unwrap();
        listens();
        let mut events = client.manager().events(64).unwrap();

        let second = Network::start().unwrap();
        changed(&mut events);
        assert_eq!(client.manager().stats().idle, 1);
        client.manager().close_all(hangup::CloseMode::Now);
        fetch(&client, &format!("http://far.test:{}/", server.port())).unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        drop(second);
    });
}

fn a_change_before_the_next_dial_is_noticed_without_idle_connections(form: Form) {
    let name = name(form, "a_change_before_the_next_dial_is_noticed_without_idle_connections");
    in_network(&name, |network| {
        let server = answering(network);
        let client = form.client();
        let lookups = count_lookups(client.manager(), network.far_ip());
        let url = format!("http://far.test:{}/", server.port());
        fetch(&client, &url).unwrap();
        listens();
        client.manager().close_all(hangup::CloseMode::Now);
        // The sweep that was planned finds nothing idle, and plans no other one.
        thread::sleep(ms(1200));

        network.set_near_address(Ipv4Addr::new(198, 18, network.near_ip().octets()[2], 9)).unwrap();
        fetch(&client, &url).unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
    });
}

fn a_connection_whose_way_a_vpn_takes_over_is_closed_unless_its_address_was_chosen(form: Form) {
    let name = name(
        form,
        "a_connection_whose_way_a_vpn_takes_over_is_closed_unless_its_address_was_chosen",
    );
    in_network(&name, |network| {
        let server = answering(network);
        let client = form.client();
        let bound = client.sibling();
        bound.set_local_address(Some(network.near_ip().into()));
        fetch(&client, &server.url("/")).unwrap();
        let free = id_from(client.manager(), network.near_ip());
        fetch(&bound, &server.url("/")).unwrap();
        listens();
        let vpn = Network::start().unwrap();
        let (far, own) = (network.far_ip().to_string(), vpn.near_ip().to_string());
        let route = ["route", "add", &far, "dev", vpn.near_device(), "src", &own];
        match Command::new("ip").args(route).status() {
            Ok(status) => assert!(status.success(), "{route:?}"),
            Err(error) => return println!("skipped: no ip(8) to set a route: {error}"),
        }
        // That route is no default one, and is noticed with the next that is.
        let default = ["route", "add", "default", "dev", vpn.near_device()];
        assert!(Command::new("ip").args(default).status().unwrap().success());
        wait_until("the close", || client.manager().close_reason(free).is_some());
        assert_eq!(client.manager().close_reason(free), Some(CloseReason::NetworkChanged));
        assert_eq!(
            client.manager().stats().idle,
            1,
            "the other one has the address that was asked for"
        );
    });
}

#[test]
fn messages_that_were_lost_hide_no_change() {
    in_network("changes::messages_that_were_lost_hide_no_change", |network| {
        let other = Network::start().unwrap();
        let server = answering(network);
        let client = crate::support::client();
        fetch(&client, &server.url("/")).unwrap();
        let listener = listens();
        let id = id_from(client.manager(), network.near_ip());
        let [a, b, c, _] = other.near_ip().octets();
        // More messages at once than the system keeps for a reader.
        wait_until("lost messages", || {
            for last in [3, 4].repeat(500) {
                other.set_near_address(Ipv4Addr::new(a, b, c, last)).unwrap();
            }
            dropped(listener) > 0
        });
        assert_eq!(client.manager().stats().idle, 1, "its own address was always there");
        network.remove_near_address().unwrap();
        wait_until("the close", || client.manager().close_reason(id).is_some());
        assert_eq!(client.manager().close_reason(id), Some(CloseReason::NetworkChanged));
        assert_eq!(listens(), listener);
    });
}

#[test]
fn a_process_listens_with_one_descriptor_while_a_manager_wants_it() {
    let name = "changes::a_process_listens_with_one_descriptor_while_a_manager_wants_it";
    in_own_process(name, || {
        let server = Server::start(Script::answering("ok"));
        let first = crate::support::client();
        first.manager().set_network_watch(false);
        fetch(&first, &server.url("/")).unwrap();
        thread::sleep(ms(700));
        assert!(listeners().is_empty(), "the switch is off");

        first.manager().set_network_watch(true);
        let second = crate::support::client();
        fetch(&second, &server.url("/")).unwrap();
        let listener = listens();
        assert!(closes_on_exec(listener));
        fetch(&first, &server.url("/")).unwrap();
        first.manager().set_network_watch(false);
        assert_eq!(listeners(), [listener], "the second manager still listens");
        drop(second);
        wait_until("the end of the last manager that listens", || listeners().is_empty());

        let third = crate::support::client();
        fetch(&third, &server.url("/")).unwrap();
        listens();
        third.manager().close_idle(ms(0));
        wait_until("the end of the last idle connection", || listeners().is_empty());

        first.manager().set_network_watch(true);
        listens();
        first.manager().set_network_watch(false);
        assert!(listeners().is_empty());
    });
}

#[test]
fn the_child_of_a_fork_listens_with_a_descriptor_of_its_own() {
    let name = "changes::the_child_of_a_fork_listens_with_a_descriptor_of_its_own";
    in_network(name, |network| {
        let server = answering(network);
        let client = crate::support::client();
        fetch(&client, &server.url("/")).unwrap();
        let listener = listens();
        let parents = target(listener);
        let id = id_from(client.manager(), network.near_ip());

        // SAFETY: no pointers. The child uses what this test is about, and its own memory.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no pointers. A child that hangs is ended.
            unsafe { libc::alarm(30) };
            fetch(&client, &server.url("/")).unwrap();
            // What it has from its parent is closed when its own is made.
            let is_other = || listeners().iter().map(|fd| target(*fd)).all(|own| own != parents);
            wait_until("a listener of the child", || !listeners().is_empty() && is_other());
            let id = id_from(client.manager(), network.near_ip());
            network.remove_near_address().unwrap();
            wait_until("the close in the child", || client.manager().close_reason(id).is_some());
            // SAFETY: no pointers; nothing of the parent's is dropped.
            unsafe { libc::_exit(if is_other() { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: a valid pointer to where the status goes.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "the child panicked, or used its parent's descriptor");
        wait_until("the close in the parent", || client.manager().close_reason(id).is_some());
        assert_eq!(target(listener), parents);
    });
}

#[test]
fn where_a_sandbox_forbids_netlink_all_else_works() {
    in_own_process("changes::where_a_sandbox_forbids_netlink_all_else_works", || {
        let server = Server::start(Script::answering("ok"));
        let client = crate::support::client();
        if !forbid_netlink() {
            println!("skipped: the system permits no filter of system calls");
            return;
        }
        fetch(&client, &server.url("/")).unwrap();
        thread::sleep(ms(1200));
        assert!(listeners().is_empty());
        fetch(&client, &server.url("/")).unwrap();
        assert_eq!(client.manager().stats().reused, 1);
        assert!(client.manager().network_watch(), "the setting is what was set");
        assert_eq!(client.manager().network_changed(), 1);
    });
}

#[test]
fn an_event_tells_that_the_program_said_so() {
    let manager = Arc::new(Manager::new(hangup::Limits::default()));
    let mut events = manager.events(4).unwrap();
    manager.network_changed();
    assert_eq!(changed(&mut events).connection, 0);
}

fn name(form: Form, test: &str) -> String {
    form.name(&format!("changes::{test}"))
}

fn answering(network: &Network) -> Server {
    network.server(false, Script::answering("ok"))
}

/// Has names looked up by a function that counts.
fn count_lookups(manager: &Manager, address: Ipv4Addr) -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    manager.set_resolver(Some(Arc::new(move |_: &str| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(vec![IpAddr::from(address)])
    })));
    count
}

/// The connection from that address.
fn id_from(manager: &Manager, local: Ipv4Addr) -> u64 {
    let from = |one: &hangup::ConnectionInfo| one.local.is_some_and(|here| here.ip() == local);
    manager.connections().into_iter().find(from).expect("a connection").id
}

/// Waits for the event.
fn changed(events: &mut Events) -> hangup::Event {
    loop {
        let event = events.next(Some(crate::support::PATIENCE)).unwrap().expect("the event");
        if event.kind == EventKind::NetworkChanged {
            return event;
        }
    }
}

/// Waits until this process listens; returns the descriptor.
fn listens() -> RawFd {
    wait_until("one listener", || listeners().len() == 1);
    let listener = listeners()[0];
    // The addresses of this time are read after the socket was opened.
    thread::sleep(ms(300));
    listener
}

/// The descriptors of this process that are sockets of rtnetlink with groups.
fn listeners() -> Vec<RawFd> {
    let listening = sockets();
    let mut all = descriptors();
    all.retain(|fd| listening.iter().any(|(socket, _)| *socket == target(*fd)));
    all
}

/// How many messages the system has dropped because the socket's buffer was full.
fn dropped(listener: RawFd) -> u64 {
    let is_it = |(socket, _): &(String, u64)| *socket == target(listener);
    sockets().into_iter().find(is_it).map_or(0, |(_, drops)| drops)
}

/// The sockets of rtnetlink with groups, and their drops (/proc/net/netlink: "sk Eth Pid Groups Rmem Wmem Dump Locks Drops
/// Inode").
fn sockets() -> Vec<(String, u64)> {
    let table = std::fs::read_to_string("/proc/net/netlink").unwrap();
    let listening = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<_> = row.split_ascii_whitespace().collect();
        let [_, "0", _, groups, _, _, _, _, drops, inode] = fields[..] else { return None };
        let socket = (format!("socket:[{inode}]"), drops.parse().unwrap());
        (groups != "00000000").then_some(socket)
    });
    listening.collect()
}

fn target(fd: RawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// Makes socket(2) for netlink fail with EPERM in this process (seccomp(2)).
fn forbid_netlink() -> bool {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let is = |value: i64, then, or| {
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, or, value as u32)
    };
    let end = |what| step(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    // `struct seccomp_data`: the number of the call, and from 16 on its arguments.
    let first_argument = if cfg!(target_endian = "little") { 16 } else { 20 };
    let mut program = [
        load(0),
        is(libc::SYS_socket, 0, 3),
        load(first_argument),
        is(libc::AF_NETLINK.into(), 0, 1),
        end(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    let described = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers, and a program that the kernel copies.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const described,
            ) == 0
    }
}
