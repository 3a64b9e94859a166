//! A server that holds each response until the test releases it, and requests that enter the queue one after the other.
//! Tests of the queue's order depend on no time that way.

use std::collections::BTreeMap;
use std::thread::{Scope, ScopedJoinHandle};

use hangup::{Error, Request};
use testserver::{Script, Server, Step};

use super::form::{AnyClient, AnyResponse};
use super::{PATIENCE, request, wait_until};

/// A script for every connection: a request for one of these paths marks the path, and its response (the path) is sent
/// after "go <path>". Any other request is answered at once.
pub fn holding(paths: &[&str]) -> Script {
    Script::every(vec![Step::forever(vec![held(paths)])])
}

/// The step of [`holding`].
pub fn held(paths: &[&str]) -> Step {
    let steps = |path: &str| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        vec![
            Step::head(),
            Step::mark(path),
            Step::wait_for(&format!("go {path}")),
            Step::Send(answer),
        ]
    };
    let mut all: BTreeMap<String, Vec<Step>> =
        paths.iter().map(|path| ((*path).to_owned(), steps(path))).collect();
    all.insert("*".to_owned(), vec![Step::answer(200, "ok")]);
    Step::ByPath(all)
}

/// Lets a server of [`holding`] send the response for a path.
pub fn release_response(server: &Server, path: &str) {
    server.release(&format!("go {path}"));
}

/// A request on a thread of its own, which returns the body of the response.
pub type Running<'scope> = ScopedJoinHandle<'scope, Result<Vec<u8>, Error>>;

/// Runs a request on a thread of its own.
pub fn start<'scope, C: AnyClient + Sync>(
    scope: &'scope Scope<'scope, '_>,
    client: &'scope C,
    mut request: Request,
) -> Running<'scope> {
    scope.spawn(move || client.send(&mut request)?.read_all(10_000))
}

/// GETs a path that the server holds, and returns when the server has it.
#[track_caller]
pub fn occupy<'scope, C: AnyClient + Sync>(
    scope: &'scope Scope<'scope, '_>,
    client: &'scope C,
    server: &Server,
    path: &str,
) -> Running<'scope> {
    let before = server.marks(path);
    let running = start(scope, client, request("GET", &server.url(path)));
    assert!(server.wait_marks(path, before + 1, PATIENCE), "{path} did not arrive");
    running
}

/// Sends a request on a thread of its own, and returns when it waits in the queue.
#[track_caller]
pub fn enqueue<'scope, C: AnyClient + Sync>(
    scope: &'scope Scope<'scope, '_>,
    client: &'scope C,
    request: Request,
) -> Running<'scope> {
    let waited = client.plain().manager().stats().waited;
    let running = start(scope, client, request);
    wait_until("its place in the queue", || client.plain().manager().stats().waited > waited);
    running
}

/// The targets of the requests that the server got, in their order.
pub fn targets(server: &Server) -> Vec<String> {
    let target = |head: String| head.split(' ').nth(1).unwrap_or("").to_owned();
    server.accepted_order().into_iter().map(|(_, head)| target(head)).collect()
}
