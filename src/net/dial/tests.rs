//! Dials that are left, resumed, stopped and ended.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use testserver::{Certificate, Script, Server, Step, certs};

use super::*;
use crate::vocabulary::Timeout;

/// Records what it observes; gives every phase the same time.
#[derive(Default)]
struct Watcher {
    limit: Option<Duration>,
    phases: Mutex<Vec<Phase>>,
    socket: Mutex<Option<Arc<crate::net::socket::Socket>>>,
    stop: AtomicBool,
}

impl DialObserver for Watcher {
    fn begin(&self, phase: Phase) -> Deadline {
        self.phases.lock().unwrap().push(phase);
        Deadline::after(Instant::now(), self.limit, Timeout::Connect)
    }

    fn connected(&self, stream: &Stream, _: Option<SocketAddr>) {
        *self.socket.lock().unwrap() = Some(Arc::clone(stream.socket()));
    }

    fn must_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Watcher {
    fn hasty() -> Self {
        Self { limit: Some(Duration::from_millis(20)), ..Self::default() }
    }

    fn phases(&self) -> Vec<Phase> {
        self.phases.lock().unwrap().clone()
    }
}

fn config(host: &str, port: u16, secure: bool) -> DialConfig {
    let mut tls = Tls::new();
    tls.set_roots(certs().ca().as_bytes()).unwrap();
    let (tls, route) = (secure.then(|| Arc::new(tls)), Route::direct());
    DialConfig {
        host: host.into(),
        zone: None,
        port,
        unix: None,
        tls,
        route,
        keep_alive: None,
        small_segments: false,
    }
}

fn event() -> Arc<Notify> {
    Arc::new(Notify::new().unwrap())
}

#[test]
fn a_dial_left_in_any_phase_is_resumed_by_another_caller() {
    let steps = vec![Step::Await("go".into()), Step::Tls(Certificate::Good), Step::Stall];
    let server = Server::start(Script::every(steps));
    let resolver = Arc::new(Resolver::new());
    let (answer, asked) = mpsc::channel::<()>();
    let asked = Mutex::new(asked);
    resolver.set_hook(Some(Arc::new(move |_| {
        let _ = asked.lock().unwrap().recv();
        Ok(vec!["127.0.0.1".parse().unwrap()].into())
    })));
    let mut dial = Dial::new(config("localhost", server.port(), true), resolver);
    let hasty = Watcher::hasty();
    let stopped = dial.run(&hasty, &event());
    assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))), "the name is not known");
    assert!(!dial.has_socket());
    answer.send(()).unwrap();
    let stopped = dial.run(&hasty, &event());
    assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))), "the server is silent");
    assert!(dial.has_socket());
    let (resolve, connect, tls) = (Phase::Resolve, Phase::Connect, Phase::Tls);
    assert_eq!(hasty.phases(), [resolve, resolve, connect, tls]);
    // Stopped by the notification in TLS, on another thread than the one that began.
    let (watcher, wake) = (Watcher::default(), event());
    watcher.stop.store(true, Ordering::SeqCst);
    let stopped =
        std::thread::scope(|scope| scope.spawn(|| dial.run(&watcher, &wake)).join().unwrap());
    assert!(matches!(stopped, Err(Stop::Ended)));
    server.release("go");
    let watcher = Watcher::default();
    let stream = dial.run(&watcher, &event()).unwrap();
    assert_eq!(watcher.phases(), [tls]);
    assert!(stream.is_tls() && server.connections() == 1);
    assert!(!dial.has_socket());
}

#[test]
fn the_event_and_the_end_of_the_socket_stop_a_handshake_at_once() {
    let server = Server::start(Script::every(vec![Step::Stall]));
    for by_event in [true, false] {
        let config = config("127.0.0.1", server.port(), true);
        let mut dial = Dial::new(config, Arc::new(Resolver::new()));
        let (watcher, wake) = (Watcher::default(), event());
        let stopped = std::thread::scope(|scope| {
            let run = scope.spawn(|| dial.run(&watcher, &wake));
            while !watcher.phases().contains(&Phase::Tls) {
                std::thread::yield_now();
            }
            // Set, but the dial need not stop: it goes on.
            wake.set();
            std::thread::sleep(Duration::from_millis(5));
            assert!(!run.is_finished());
            if by_event {
                watcher.stop.store(true, Ordering::SeqCst);
                wake.set();
            } else {
                watcher.socket.lock().unwrap().take().unwrap().end();
            }
            run.join().unwrap()
        });
        assert!(matches!(stopped, Err(Stop::Ended)));
        assert_eq!(watcher.phases(), [Phase::Connect, Phase::Tls]);
        assert_eq!(dial.has_socket(), by_event, "what was not ended can be taken up again");
    }
}

#[test]
fn a_name_whose_addresses_are_all_dead_is_forgotten() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver = Arc::new(Resolver::new());
    let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&count);
    resolver.set_hook(Some(Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(vec!["127.0.0.1".parse().unwrap()].into())
    })));
    for _ in 0..2 {
        let mut dial = Dial::new(config("a.test", gone.port(), false), Arc::clone(&resolver));
        let failure = dial.run(&Watcher::default(), &event()).unwrap_err();
        assert!(matches!(failure, Stop::Io(_)));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn from_a_local_address_only_its_family_can_be_reached() {
    let local = "::1".parse().ok();
    let route = Arc::new(Route { local, ..Route::default() });
    let config = DialConfig { route, ..config("127.0.0.1", 1, false) };
    let mut dial = Dial::new(config, Arc::new(Resolver::new()));
    let Err(Stop::Failed(error)) = dial.run(&Watcher::default(), &event()) else {
        panic!("an IPv4 address was connected to from an IPv6 one");
    };
    assert_eq!(error.kind(), Kind::ConnectFailed);
    assert!(error.message().contains("IPv6"), "{error}");
}
