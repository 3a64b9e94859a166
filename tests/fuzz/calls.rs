//! `abi.c`: random calls of the C ABI from several threads.

use std::fs;
use std::path::{Path, PathBuf};

use testserver::{DemoServer, Script, Server, Step};

use crate::abi::{self, Under};

/// Builds the program and runs it: some thousand calls from each thread, or repeatedly for that many seconds.
pub fn run(from: u64, seconds: Option<u64>) {
    let program = built();
    let Some(seconds) = seconds else { return run_once(&program, from, None) };
    for slice in 0..seconds.div_ceil(SLICE) {
        run_once(&program, from + slice, Some(SLICE));
    }
}

fn built() -> PathBuf {
    let source = abi::root().join("tests/fuzz/abi.c");
    let checks = format!("-I{}", abi::root().join("tests/c").display());
    let program = abi::scratch("calls").join("abi");
    abi::compile(&[&source], &program, &["-g", "-O1", "-std=c11", &checks]);
    program
}

fn run_once(program: &Path, from: u64, seconds: Option<u64>) {
    let server = |steps: Vec<Step>| Server::start(Script::every(steps));
    let large = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    let fill = Step::Fill { bytes: 100_000, byte: 'x' };
    let half = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\nearly";
    let switch = Step::send(switch);
    let servers = [
        ("hello", server(vec![Step::forever(vec![Step::answer(200, "hello")])])),
        ("large", server(vec![Step::forever(vec![Step::head(), large, fill])])),
        ("half", server(vec![Step::head(), half, Step::Stall])),
        ("silent", server(vec![Step::Stall])),
        ("switch", server(vec![Step::head(), switch, Step::Echo])),
    ];
    let demo = DemoServer::start();
    let mut command = abi::command(program, Under::Nothing);
    command.args(servers.iter().map(|(name, server)| format!("{name}={}", server.url("/"))));
    command.arg(format!("echo={}", demo.http_url("/echo"))).arg(format!("from={from}"));
    if let Some(seconds) = seconds {
        command.arg(format!("seconds={seconds}"));
    }
    let output = abi::succeed(&mut command);
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// The functions of the header that the program does not call.
pub fn forgotten() -> Vec<String> {
    let text = fs::read_to_string(abi::root().join("tests/fuzz/abi.c")).expect("abi.c");
    let called = |name: &String| {
        [",", ")", "("].iter().any(|after| text.contains(&format!("{name}{after}")))
    };
    abi::header_functions().into_iter().filter(|name| !called(name)).collect()
}

/// How long one run of the program takes, in seconds.
const SLICE: u64 = 30;
