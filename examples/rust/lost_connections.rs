//! What is known of a request that gets no answer, and of a connection that may have died: the facts of an error, and the
//! events `Suspected`, `Probed`, `Lost` and `Recovered`.
//!
//!     cargo run --example lost_connections http://127.0.0.1:8080
//!
//! The server of this example is alive and gives no answer. docs/lost-connections.md says what a dead connection looks like.

use std::process::ExitCode;
use std::time::Duration;

use hangup::{Client, Error, EventKind, Events, Kind, Manager, Timeout};

/// Says what became of a request that failed after a silent wait.
fn tell_error(error: &Error) {
    let safe = if error.retry_safe() { "yes" } else { "no" };
    println!("{}, safe to send again: {safe}", error.kind());
    // `None`: TCP was not asked.
    if let (Some(acknowledged), Some(tcp)) = (error.acknowledged(), error.tcp_facts()) {
        println!("acknowledged: {acknowledged}; {tcp}");
    }
}

/// Says which connections were suspected, and how it ended.
fn tell_events(events: &mut Events) -> Result<(), Error> {
    while let Some(event) = events.next(Some(Duration::ZERO))? {
        match event.kind {
            // The request is not acknowledged; a second connection is dialled; that one was made, so that this one is
            // dead; or the peer was there after all.
            EventKind::Suspected | EventKind::Probed | EventKind::Lost | EventKind::Recovered => {
                println!("connection {}: {}", event.connection, event.kind);
            }
            EventKind::Closed(reason) => {
                println!("connection {}: closed, {reason}", event.connection);
            }
            _ => {}
        }
    }
    Ok(())
}

fn run(base: &str) -> Result<(), Error> {
    let client = Client::new(Manager::shared());
    client.set_timeout(Timeout::Head, Some(Duration::from_millis(300)))?;
    let mut events = client.manager().events(1024)?;

    let mut response = client.get(&format!("{base}/fast"), None)?;
    println!("{} on connection {}", response.status_code(), response.connection_id());
    response.read_all(1 << 20)?;

    // This request is acknowledged and gets no answer.
    match client.get(&format!("{base}/stall"), None) {
        Ok(_) => return Err(Error::new(Kind::InvalidState, "it was answered after all")),
        Err(error) => tell_error(&error),
    }
    tell_events(&mut events)
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: lost_connections BASE-URL");
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
