//! GET a page twice: two requests, one connection.
//!
//!     cargo run --example get http://127.0.0.1:8080

use std::process::ExitCode;
use std::time::Duration;

use hangup::{Client, Error, Manager};

/// GETs `url`, within five seconds in all, and prints the response and its connection.
fn get(client: &Client, url: &str) -> Result<(), Error> {
    let mut response = client.get(url, Some(Duration::from_secs(5)))?;
    let body = response.read_all(1024 * 1024)?;
    println!(
        "status {}, {} bytes over connection {} ({})",
        response.status_code(),
        body.len(),
        response.connection_id(),
        if response.reused() { "used again" } else { "new" }
    );
    Ok(())
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: get BASE-URL");
        return ExitCode::from(2);
    };
    let url = format!("{base}/fast");
    let client = Client::new(Manager::shared());
    match get(&client, &url).and_then(|()| get(&client, &url)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{url}: {error}");
            ExitCode::FAILURE
        }
    }
}
