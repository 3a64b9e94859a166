//! Lost connections from C and from Python: programs on the client's side of the network, in both forms.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testserver::Script;

use crate::abi::{self, Under};
use crate::support::network::in_network;

#[test]
fn in_c_a_lost_connection_is_replaced_and_a_post_on_one_fails() {
    let name = "languages::in_c_a_lost_connection_is_replaced_and_a_post_on_one_fails";
    in_network(name, |network| {
        let server = network.server(false, Script::answering("ok"));
        let program = abi::scratch("lost").join("lost");
        abi::compile(&[&source("lost.c")], &program, &["-std=c11", "-pthread"]);
        let mut command = abi::command(&program, Under::Nothing);
        command.arg(format!("server={}", server.url("/")));
        assert_eq!(run(command, || network.kill_flows()), 4);
    });
}

#[test]
fn in_python_a_lost_connection_is_replaced_and_a_post_on_one_fails() {
    let name = "languages::in_python_a_lost_connection_is_replaced_and_a_post_on_one_fails";
    in_network(name, |network| {
        let given = std::env::var_os("HANGUP_PYTHON");
        let python = PathBuf::from(given.clone().unwrap_or_else(|| "python3".into()));
        let mut look = Command::new(&python);
        look.args(["-c", "import hangup"]);
        if !look.output().is_ok_and(|output| output.status.success()) {
            assert!(given.is_none(), "{} can't import hangup", python.display());
            println!("skipped: python3 has no hangup (make test installs it)");
            return;
        }
        let server = network.server(false, Script::answering("ok"));
        let mut command = Command::new(python);
        command.arg("-B").arg(source("lost.py")).arg(server.url("/"));
        assert_eq!(run(command, || network.kill_flows()), 4);
    });
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network").join(name)
}

/// Runs a program to its end, which must be a good one. Each time that it has an idle connection, that one dies. Returns
/// how often.
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
