//! Two ways to end a request that gets no response: a timeout that expires, and a token that another thread fires.
//!
//!     cargo run --example timeout_and_cancel http://127.0.0.1:8080

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use hangup::{CancelToken, Client, Error, Kind, Manager, Request, Timeout};

/// Sends a request that has to fail with `expected`, and says how it did.
fn send_and_tell(client: &Client, request: &mut Request, expected: Kind) -> Result<(), Error> {
    let error = match client.send(request) {
        Ok(response) => {
            let what = format!("it was answered after all: {}", response.status_code());
            return Err(Error::new(Kind::InvalidState, what));
        }
        Err(error) if error.kind() == expected => error,
        Err(other) => return Err(other),
    };
    // The kind, the phase, the timeout or the reason, and whether it is safe to send the request again.
    print!("{} in phase {}", error.kind(), error.phase());
    if error.kind() == Kind::TimedOut {
        print!(", timeout {}", error.timeout());
    }
    if let Some(reason) = error.reason() {
        print!(", reason: {reason}");
    }
    println!("; safe to send again: {}", if error.retry_safe() { "yes" } else { "no" });
    Ok(())
}

fn run(url: &str) -> Result<(), Error> {
    let client = Client::new(Manager::shared());
    let mut request = Request::new("GET", url)?;

    // 200 ms for the head of the response, from the moment the request was sent.
    request.set_timeout(Timeout::Head, Some(Duration::from_millis(200)))?;
    send_and_tell(&client, &mut request, Kind::TimedOut)?;

    // No such limit now, but a token. A clone is one more share of it.
    let token = CancelToken::new();
    request.set_timeout(Timeout::Head, None)?;
    request.set_cancel(Some(token.clone()));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            token.fire(Some("the user left"));
        });
        send_and_tell(&client, &mut request, Kind::Cancelled)
    })
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: timeout_and_cancel BASE-URL");
        return ExitCode::from(2);
    };
    match run(&format!("{base}/stall")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
