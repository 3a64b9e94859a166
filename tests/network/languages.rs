//! Lost connections and a changed network from C and from Python: programs on the client's side of the network, in both
//! forms.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use testserver::network::Network;
use testserver::{Script, Server};

use crate::abi::{self, Under};
use crate::support::network::in_network;

#[test]
fn in_c_a_lost_connection_is_replaced_and_a_post_on_one_fails() {
    let name = "languages::in_c_a_lost_connection_is_replaced_and_a_post_on_one_fails";
    in_network(name, |network| {
        let server = network.server(false, Script::answering("ok"));
        assert_eq!(run(c("lost", &server), || network.kill_flows()), 4);
    });
}

#[test]
fn in_python_a_lost_connection_is_replaced_and_a_post_on_one_fails() {
    let name = "languages::in_python_a_lost_connection_is_replaced_and_a_post_on_one_fails";
    in_network(name, |network| {
        let server = network.server(false, Script::answering("ok"));
        let Some(command) = python("lost.py", &server) else { return };
        assert_eq!(run(command, || network.kill_flows()), 4);
    });
}

#[test]
fn in_c_a_change_of_the_network_closes_connections_unless_that_is_switched_off() {
    let name =
        "languages::in_c_a_change_of_the_network_closes_connections_unless_that_is_switched_off";
    in_network(name, |network| {
        let server = network.server(false, Script::answering("ok"));
        assert_eq!(run(c("changed", &server), || change(network)), 3);
    });
}

#[test]
fn in_python_a_change_of_the_network_closes_connections_unless_that_is_switched_off() {
    let name = "languages::in_python_a_change_of_the_network_closes_connections_unless_that_is_switched_off";
    in_network(name, |network| {
        let server = network.server(false, Script::answering("ok"));
        let Some(command) = python("changed.py", &server) else { return };
        assert_eq!(run(command, || change(network)), 3);
    });
}

/// Gives the client another address in place of the one it has. Returns that one connection is lost by it.
fn change(network: &Network) -> usize {
    static CHANGES: AtomicU8 = AtomicU8::new(0);
    let [a, b, c, _] = network.near_ip().octets();
    let last = 10 + CHANGES.fetch_add(1, Ordering::Relaxed);
    network.set_near_address(Ipv4Addr::new(a, b, c, last)).unwrap();
    1
}

/// A program in C, compiled, with the server's URL.
fn c(name: &str, server: &Server) -> Command {
    let program = abi::scratch(name).join(name);
    abi::compile(&[&source(&format!("{name}.c"))], &program, &["-std=c11", "-pthread"]);
    let mut command = abi::command(&program, Under::Nothing);
    command.arg(format!("server={}", server.url("/")));
    command
}

/// A program in Python, with the server's URL; `None` if Python has no hangup.
fn python(name: &str, server: &Server) -> Option<Command> {
    let given = std::env::var_os("HANGUP_PYTHON");
    let python = PathBuf::from(given.clone().unwrap_or_else(|| "python3".into()));
    let mut look = Command::new(&python);
    look.args(["-c", "import hangup"]);
    if !look.output().is_ok_and(|output| output.status.success()) {
        assert!(given.is_none(), "{} can't import hangup", python.display());
        println!("skipped: python3 has no hangup (make test installs it)");
        return None;
    }
    let mut command = Command::new(python);
    command.arg("-B").arg(source(name)).arg(server.url("/"));
    Some(command)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network").join(name)
}

/// Runs a program to its end, which must be a good one. Each time that it has an idle connection, that one dies, or
/// whatever `die` does happens. Returns how often.
fn run(mut command: Command, die: impl Fn() -> usize) -> usize {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut go = child.stdin.take().unwrap();
    let mut times = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        assert_eq!(line.unwrap(), "idle");
        assert!(die() > 0, "no connection died");
        times += 1;
        go.write_all(b"\n").unwrap();
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    times
}
