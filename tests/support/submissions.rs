//! Many concurrent submissions, with the number of their wake-ups, and a server that never responds.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use hangup::{CancelToken, Error, Request, Response, Submission, Timeout};

use super::{request, wait_until};

/// The head of a response with a body of 100 bytes, and the first ten of them.
pub const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

/// Accepts every connection and never writes. The scripted server has a thread for each connection, which would be more
/// than the client has.
pub struct SilentServer {
    pub port: u16,
    pub held: Arc<Mutex<Vec<TcpStream>>>,
}

impl SilentServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                theirs.lock().unwrap().push(stream.unwrap());
            }
        });
        Self { port, held }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// On how many connections a complete request head has arrived.
    pub fn heads(&self) -> usize {
        let came = |stream: &&TcpStream| {
            let mut piece = [0; 1000];
            stream.set_nonblocking(true).unwrap();
            let got = stream.peek(&mut piece).unwrap_or(0);
            piece[..got].ends_with(b"\r\n\r\n")
        };
        self.held.lock().unwrap().iter().filter(came).count()
    }

    /// How many connections have been closed by the client.
    pub fn ended(&self) -> usize {
        let over = |mut stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let mut piece = [0; 1000];
            loop {
                match stream.read(&mut piece) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
                }
            }
        };
        self.held.lock().unwrap().iter().filter(|stream| over(stream)).count()
    }
}

/// A waker that records the times of its wake-ups.
#[derive(Default)]
pub struct WakeCounter(Mutex<Vec<Instant>>);

impl WakeCounter {
    pub fn times(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The time of the first wake-up.
    pub fn at(&self) -> Option<Instant> {
        self.0.lock().unwrap().first().copied()
    }
}

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push(Instant::now());
    }
}

/// A submission that was polled once, and the wake-ups since then.
pub struct PolledSubmission {
    pub submission: Submission,
    /// The outcome, if the first poll returned it.
    pub early: Option<Result<Response, Error>>,
    pub wakes: Arc<WakeCounter>,
}

impl PolledSubmission {
    pub fn new(mut submission: Submission) -> Self {
        let wakes = Arc::<WakeCounter>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let early = Pin::new(&mut submission).poll(&mut Context::from_waker(&waker));
        let early = match early {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        };
        Self { submission, early, wakes }
    }

    pub fn is_done(&self) -> bool {
        self.early.is_some() || self.wakes.times() > 0
    }

    /// The outcome. Asserts that there was one wake-up for it.
    #[track_caller]
    pub fn outcome(mut self) -> Result<Response, Error> {
        let wakes = self.wakes.times();
        assert_eq!(wakes, usize::from(self.early.is_none()));
        let mut look =
            || Pin::new(&mut self.submission).poll(&mut Context::from_waker(Waker::noop()));
        let outcome = self.early.unwrap_or_else(|| match look() {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("woken without an outcome"),
        });
        assert!(look().is_pending(), "an outcome is returned once");
        outcome
    }
}

/// Waits until all of them are done, and returns their errors.
#[track_caller]
pub fn errors(all: Vec<PolledSubmission>) -> Vec<Error> {
    wait_until("every outcome", || all.iter().all(PolledSubmission::is_done));
    all.into_iter().map(|one| one.outcome().expect_err("no response is sent")).collect()
}

pub fn without_timeouts(mut request: Request) -> Request {
    for clock in Timeout::ALL.iter().copied().filter(|clock| clock.can_be_set()) {
        request.set_timeout(clock, None).unwrap();
    }
    request
}

/// GET that buffers the whole body of at most `at_most` bytes.
pub fn buffered_get(url: &str, at_most: usize) -> Request {
    let mut request = request("GET", url);
    request.set_buffer_body(Some(at_most));
    request
}

pub fn with_token(mut request: Request, token: &CancelToken) -> Request {
    request.set_cancel(Some(token.clone()));
    request
}
