//! A client that keeps one idle connection to a server on the far side, and what becomes of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hangup::{CloseReason, Event, EventKind, Events, Limits, Request};
use testserver::network::Network;
use testserver::{Script, Server, Step};

use crate::support::form::{Client, Form};
use crate::support::{fetch, trusting};

/// The client, the server, and the connection that is idle at first.
pub struct Kept {
    pub server: Server,
    pub client: Client,
    /// The id of the connection.
    pub first: u64,
    events: Events,
}

impl Kept {
    pub fn new(form: Form, network: &Network, tls: bool, script: Script) -> Self {
        Self::with(form, network, tls, script, Limits::default())
    }

    pub fn with(form: Form, network: &Network, tls: bool, script: Script, limits: Limits) -> Self {
        let server = network.server(tls, script);
        let client = trusting(form.client_with(limits));
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        let first = client.manager().connections()[0].id;
        let events = client.manager().events(10_000).unwrap();
        Self { server, client, first, events }
    }

    /// A request to the server without a body.
    pub fn request(&self, method: &str, path: &str) -> Request {
        crate::support::request(method, &self.server.url(path))
    }

    /// What happened to the first connection since the last call, without the phases.
    pub fn of_first(&mut self) -> Vec<EventKind> {
        let first = self.first;
        self.events()
            .into_iter()
            .filter(|row| row.connection == first)
            .map(|row| row.kind)
            .collect()
    }

    /// What happened since the last call, without the phases.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.next(Some(Duration::ZERO)).unwrap())
            .filter(|row| !matches!(row.kind, EventKind::Phase(..)))
            .collect()
    }

    /// Why the first connection was closed.
    pub fn reason(&self) -> Option<CloseReason> {
        self.client.manager().close_reason(self.first)
    }

    /// No connection was called lost since the last call.
    #[track_caller]
    pub fn assert_none_lost(&mut self) {
        let events = self.events();
        let lost = |kind: &EventKind| matches!(kind, EventKind::Lost | EventKind::Closed(_));
        assert!(!events.iter().any(|row| lost(&row.kind)), "{events:?}");
    }

    /// How many requests for a path came to the server, on all connections.
    pub fn came(&self, path: &str) -> usize {
        let is_it = |head: &str| head.split(' ').nth(1) == Some(path);
        self.server.accepted_order().iter().filter(|(_, head)| is_it(head)).count()
    }
}

/// Answers `ok` to each request, or with the steps of its path.
pub fn ok_or<const N: usize>(paths: [(&str, Vec<Step>); N]) -> Script {
    let mut all = std::collections::BTreeMap::from(paths.map(|(path, steps)| (path.into(), steps)));
    all.insert("*".to_owned(), vec![Step::answer(200, "ok")]);
    Script::every(vec![Step::forever(vec![Step::ByPath(all)])])
}

/// Reads a request with its body and answers after a time.
pub fn slowly(millis: u64) -> Vec<Step> {
    vec![Step::head(), Step::body(), Step::mark("asked"), Step::sleep(millis), Step::send(SLOW)]
}

/// Those events of a connection that tell of its death, in their order.
pub fn story(events: Vec<EventKind>) -> Vec<EventKind> {
    let told = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::Suspected
                | EventKind::Probed
                | EventKind::Lost
                | EventKind::Recovered
                | EventKind::Closed(_)
        )
    };
    events.into_iter().filter(told).collect()
}

/// Prints a time, which the tests only bound widely.
pub fn report(what: &str, form: Form, tls: bool, begun: Instant) {
    let with = if tls { "with TLS" } else { "plain" };
    println!("latency {what}, {form:?}, {with}: {} ms", begun.elapsed().as_millis());
}

/// Those that are in a list more than once.
pub fn repeated<T: Ord + Clone>(all: &[T]) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    all.iter().filter(|one| !seen.insert(*one)).cloned().collect()
}

const SLOW: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";

/// The rule waits for a second at least; a busy machine takes its time.
pub const SOON: Duration = Duration::from_secs(6);
