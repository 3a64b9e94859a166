//! `hangup-testserver`: the library for tests that are not written in Rust.
//!
//! Every mode ends when its standard input is closed, so that a test that dies takes its servers
//! along.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use testserver::{DemoServer, Options, Server, control, corpus};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["control"] => control::run(io::stdin().lock(), io::stdout().lock()).map_err(message_of),
        ["corpus", dir] => serve_corpus(dir, ""),
        ["corpus", dir, "--only", prefix] => serve_corpus(dir, prefix),
        ["demo", options @ ..] => serve_demo(options),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("hangup-testserver: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve_corpus(dir: &str, prefix: &str) -> Result<(), String> {
    let cases = corpus::load(Path::new(dir))?;
    let mut servers = Vec::new();
    let mut lines = Vec::new();
    for case in cases.into_iter().filter(|case| case.name.starts_with(prefix)) {
        let options = Options { life: LIFE, ..Options::default() };
        let server = Server::start_with(options, case.script.clone()).map_err(message_of)?;
        lines.extend(corpus::line(&case, &server.url(&case.request.path)));
        lines.push(b'\n');
        servers.push(server);
    }
    if servers.is_empty() {
        return Err(format!("no case in {dir} begins with {prefix:?}"));
    }
    print(&lines)?;
    wait_for_stdin();
    Ok(())
}

fn serve_demo(options: &[&str]) -> Result<(), String> {
    let (mut http, mut https) = (0, 0);
    for pair in options.chunks(2) {
        match pair {
            ["--http", port] => http = port.parse().map_err(|_| USAGE)?,
            ["--https", port] => https = port.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    let demo = DemoServer::start_on(http, https).map_err(message_of)?;
    let (plain, secure) = (demo.http_url(""), demo.https_url(""));
    print(&format!("{plain}\n{secure}\n{}\n", demo.ca_path().display()).into_bytes())?;
    wait_for_stdin();
    Ok(())
}

fn print(text: &[u8]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(message_of)
}

/// Returns when stdin is closed or the life of the servers is over.
fn wait_for_stdin() {
    let (closed, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut sink = [0; 256];
        while matches!(io::stdin().read(&mut sink), Ok(got) if got > 0) {}
        let _ = closed.send(());
    });
    let _ = wait.recv_timeout(LIFE);
}

fn message_of(error: io::Error) -> String {
    error.to_string()
}

const LIFE: Duration = Duration::from_secs(600);

const USAGE: &str = "usage:
  hangup-testserver control                           commands on stdin, answers on stdout
  hangup-testserver corpus DIR [--only PREFIX]        one line per case, then serves
  hangup-testserver demo [--http PORT] [--https PORT] the demo server";
