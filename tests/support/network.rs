//! Tests that need a network of their own, which loses packets when it is told. Such a test runs itself again in a child
//! process in a network namespace; where the system permits none, it says so and passes.
//!
//! With `HANGUP_TEST_NETWORK=must` in the environment it fails there.

use std::io::{Error, ErrorKind};
use std::thread;
use std::time::Instant;

use testserver::network::{Network, isolate};

use super::own_process::{again, assert_passed, is_own_process_of};

/// Runs `body` in a network of its own. `name` is the full name of the calling test.
#[track_caller]
pub fn in_network(name: &str, body: impl FnOnce(&Network)) {
    if is_own_process_of(name) {
        if let Some(network) = start() {
            body(&network);
        }
    } else {
        isolated(name);
    }
}

/// Runs `body` twice at the same time, each in a network of its own: without TLS and with it.
#[track_caller]
pub fn plain_and_tls(name: &str, body: impl Fn(&Network, bool) + Sync) {
    if !is_own_process_of(name) {
        return isolated(name);
    }
    let Some(plain) = start() else { return };
    let secure = start().expect("a second network");
    thread::scope(|scope| {
        let body = &body;
        let first = thread::Builder::new().name("without TLS".into());
        let second = thread::Builder::new().name("with TLS".into());
        first.spawn_scoped(scope, move || body(&plain, false)).unwrap();
        second.spawn_scoped(scope, move || body(&secure, true)).unwrap();
    });
}

#[track_caller]
fn isolated(name: &str) {
    let begun = Instant::now();
    let mut command = again(name, &[]);
    isolate(&mut command);
    match command.spawn() {
        Ok(child) => assert_passed(name, begun, child),
        Err(error) => skip("a network namespace", &error),
    }
}

#[track_caller]
fn start() -> Option<Network> {
    Network::start().map_err(|error| skip("a TUN device", &error)).ok()
}

#[track_caller]
fn skip(what: &str, error: &Error) {
    // ENOSPC: the system's limit of namespaces (namespaces(7)).
    let denied = matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::Unsupported
            | ErrorKind::StorageFull
    ) || [Some(libc::ENOSYS), Some(libc::ENODEV), Some(libc::EINVAL)]
        .contains(&error.raw_os_error());
    let must = std::env::var("HANGUP_TEST_NETWORK").is_ok_and(|value| value == "must");
    assert!(denied && !must, "{what}: {error}");
    println!("skipped: the system permits no {}: {error}", what.trim_start_matches("a "));
}
