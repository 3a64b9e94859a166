//! See the open connections, and close one of them under the request that uses it.
//!
//!     cargo run --example close_and_list http://127.0.0.1:8080

use std::process::ExitCode;
use std::time::Duration;

use hangup::{Client, CloseMode, Error, Kind, Manager};

/// Prints one line per open connection.
fn show(manager: &Manager, when: &str) {
    let list = manager.connections();
    println!("{when}: {} open", list.len());
    for info in list {
        println!(
            "  connection {} to {}: {:?}, {} requests, {} bytes in",
            info.id, info.origin, info.state, info.requests, info.bytes_in
        );
    }
}

fn run(base: &str) -> Result<(), Error> {
    let client = Client::new(Manager::shared());
    let manager = client.manager();
    let limit = Some(Duration::from_secs(5));

    // One response that stays open, because its body never ends; another that is read, so that its connection is idle.
    let mut open = client.get(&format!("{base}/stall-body"), limit)?;
    client.get(&format!("{base}/fast"), limit)?.read_all(usize::MAX)?;
    show(manager, "before");

    // How::Graceful would let the exchange end first; now means now.
    manager.close_connection(open.connection_id(), CloseMode::Now)?;
    match open.read_all(usize::MAX) {
        Err(error) if error.kind() == Kind::Closed => {
            println!("reading on connection {}: {error}", open.connection_id());
        }
        Err(error) => return Err(error),
        Ok(_) => return Err(Error::new(Kind::InvalidState, "the body ended after all")),
    }
    println!("closed {} idle", manager.close_idle(Duration::ZERO));
    show(manager, "after");
    Ok(())
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: close_and_list BASE-URL");
        return ExitCode::from(2);
    };
    match run(&base) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
