//! A program that is written with ureq, over the manager that the rest of the process uses.
//!
//!     cargo run --example ureq http://127.0.0.1:8080

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use hangup::{CancelToken, Client, ConnectionState};

fn run(base: &str) -> Result<(), Box<dyn Error>> {
    // The one line that changes: the agent's connections are those of the client's manager.
    let client = Client::default();
    let agent = hangup::ureq::agent(&client, ureq::Agent::config_builder().proxy(None).build());

    let mut response = agent.get(format!("{base}/fast")).call()?;
    println!("ureq: {}, {} bytes", response.status(), response.body_mut().read_to_vec()?.len());

    // The connection is one of the manager's: it is listed, and the library's own client uses it again.
    let idle =
        client.manager().connections().iter().filter(|c| c.state == ConnectionState::Idle).count();
    println!("{idle} idle connection in the manager");
    client.set_proxy(None)?;
    let response = client.get(&format!("{base}/fast"), None)?;
    println!("hangup: {}, connection used again: {}", response.status_code(), response.reused());
    drop(response);

    // What ureq alone can't do: end a call from anywhere.
    let token = CancelToken::new();
    token.after(Duration::from_millis(200));
    let stalled = hangup::ureq::with_cancel(&token, || agent.get(format!("{base}/stall")).call());
    match stalled {
        Ok(response) => println!("an unexpected response: {}", response.status()),
        Err(error) => println!("ended: {error}"),
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: ureq BASE-URL");
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
