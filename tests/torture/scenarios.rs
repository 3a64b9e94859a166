//! The scenarios: one typical exchange each.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use hangup::{Body, CancelToken, CloseMode, ConnectionMode, Error, Request, Timeout};

use crate::helper::Helper;
use crate::places::Places;
use crate::support::counted_reader::{CountedReader, Usage};
use crate::support::form::{Client, Form};

/// The outcome for the caller: the body or the error.
pub type Outcome = Result<Vec<u8>, Error>;

/// One exchange and what is done before it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Done before anything fails.
    pub prepare: fn(&Stage) -> Result<(), Error>,
    pub act: fn(&Stage) -> Outcome,
    /// The body of an outcome without an error.
    pub body: fn() -> Vec<u8>,
    /// Whether it ends with a cancel of its own.
    pub cancels: bool,
    /// Whether the manager still serves requests afterwards.
    pub goes_on: bool,
}

/// A client for one run, and what belongs to it.
pub struct Stage {
    pub client: Client,
    pub token: CancelToken,
    pub places: &'static Places,
    pub helper: &'static Helper,
    /// The use of the request body's reader, if there is one.
    pub source: RefCell<Option<Arc<Usage>>>,
}

impl Stage {
    pub fn new(form: Form, places: &'static Places, helper: &'static Helper) -> Self {
        let client = form.client();
        client.set_tls_roots(places.ca().as_bytes()).expect("the test CA");
        let token = CancelToken::new();
        Self { client, token, places, helper, source: RefCell::default() }
    }

    fn request(&self, method: &str, url: &str) -> Result<Request, Error> {
        let mut request = Request::new(method, url)?;
        request.set_timeout(Timeout::Total, Some(LIMIT))?;
        request.set_cancel(Some(self.token.clone()));
        Ok(request)
    }

    fn get(&self, url: &str) -> Outcome {
        self.client.send(&mut self.request("GET", url)?)?.read_all(MOST)
    }

    /// A request body that counts how often it is dropped.
    fn source(&self) -> CountedReader {
        let (source, account) = CountedReader::pieces(PIECES, PIECE, |_| {});
        self.source.replace(Some(account));
        source
    }
}

const PLAIN: Scenario =
    Scenario { prepare: |_| Ok(()), act: new_connection, body: ok, cancels: false, goes_on: true };

/// Every scenario, by name. The names are those of the tests in `main.rs`.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("new_connection", PLAIN),
    ("reused_connection", Scenario { prepare: kept, act: plain, ..PLAIN }),
    ("retried", Scenario { prepare: last, act: plain, ..PLAIN }),
    ("tls", Scenario { act: |stage| stage.get(&stage.places.secure("/")), ..PLAIN }),
    ("tls_stream", Scenario { act: tls_stream, body: large, ..PLAIN }),
    ("unix_socket", Scenario { act: unix_socket, ..PLAIN }),
    ("upload", Scenario { act: upload, body: uploaded, ..PLAIN }),
    ("upload_file", Scenario { act: upload_file, body: uploaded, ..PLAIN }),
    ("expect_continue", Scenario { act: expect_continue, ..PLAIN }),
    ("proxy", Scenario { prepare: proxied, act: plain, ..PLAIN }),
    (
        "connect",
        Scenario { prepare: proxied, act: |stage| stage.get(&stage.places.secure("/")), ..PLAIN },
    ),
    ("socks", Scenario { prepare: socks, act: new_connection, ..PLAIN }),
    ("redirect", Scenario { act: |stage| stage.get(&stage.places.plain("/moved")), ..PLAIN }),
    ("whole", Scenario { act: whole, body: large, ..PLAIN }),
    ("stream", Scenario { act: stream, body: || vec![b'x'; 20 * 0x2000], ..PLAIN }),
    ("upgrade", Scenario { act: upgrade, body: uploaded, ..PLAIN }),
    ("upgrade_in_tls", Scenario { act: upgrade_in_tls, body: uploaded, ..PLAIN }),
    ("tunnel", Scenario { act: tunnel, body: uploaded, ..PLAIN }),
    ("polite_close", Scenario { act: polite_close, body: Vec::new, ..PLAIN }),
    ("cancel", Scenario { act: cancel, cancels: true, ..PLAIN }),
    ("drain", Scenario { act: drain, goes_on: false, ..PLAIN }),
];

fn new_connection(stage: &Stage) -> Outcome {
    stage.get(&stage.places.named("/"))
}

fn plain(stage: &Stage) -> Outcome {
    stage.get(&stage.places.plain("/"))
}

fn kept(stage: &Stage) -> Result<(), Error> {
    plain(stage).map(drop)
}

/// The idle connection is one that its server closes at once.
fn last(stage: &Stage) -> Result<(), Error> {
    stage.get(&stage.places.plain("/last")).map(drop)
}

fn proxied(stage: &Stage) -> Result<(), Error> {
    stage.client.set_proxy(Some(stage.places.proxy()))
}

fn socks(stage: &Stage) -> Result<(), Error> {
    stage.client.set_proxy(Some(stage.places.socks()))
}

fn unix_socket(stage: &Stage) -> Outcome {
    stage.get(&format!("http+unix://{}/", stage.places.socket().replace('/', "%2F")))
}

fn upload(stage: &Stage) -> Outcome {
    let mut request = stage.request("POST", &stage.places.echo())?;
    request.set_body(stage.source().chunked());
    stage.client.send(&mut request)?.read_all(MOST)
}

fn upload_file(stage: &Stage) -> Outcome {
    let file = std::env::temp_dir().join(format!("hangup-torture-{}", std::process::id()));
    if !file.exists() {
        // Written in the first run, in which nothing fails.
        std::fs::File::create(&file).and_then(|mut file| file.write_all(&uploaded())).unwrap();
    }
    let mut request = stage.request("POST", &stage.places.echo())?;
    request.set_body(Body::file(&file)?);
    stage.client.send(&mut request)?.read_all(MOST)
}

fn expect_continue(stage: &Stage) -> Outcome {
    let mut request = stage.request("POST", &stage.places.plain("/expect"))?;
    request.add_header("Expect", "100-continue")?;
    request.set_body(stage.source().of_length((PIECES * PIECE) as u64));
    stage.client.send(&mut request)?.read_all(MOST)
}

/// The body comes with the response.
fn whole(stage: &Stage) -> Outcome {
    let mut request = stage.request("GET", &stage.places.plain("/large"))?;
    request.set_buffer_body(Some(MOST));
    stage.client.send(&mut request)?.read_all(MOST)
}

fn stream(stage: &Stage) -> Outcome {
    pieces(stage, &stage.places.plain("/chunked"))
}

fn tls_stream(stage: &Stage) -> Outcome {
    pieces(stage, &stage.places.secure("/large"))
}

fn pieces(stage: &Stage, url: &str) -> Outcome {
    let mut response = stage.client.send(&mut stage.request("GET", url)?)?;
    let (mut body, mut piece) = (Vec::new(), [0; 5000]);
    loop {
        match response.read(&mut piece)? {
            0 => return Ok(body),
            got => body.extend_from_slice(&piece[..got]),
        }
    }
}

fn upgrade(stage: &Stage) -> Outcome {
    switched(stage, &stage.places.plain("/switch"))
}

fn upgrade_in_tls(stage: &Stage) -> Outcome {
    switched(stage, &stage.places.secure("/switch"))
}

fn switched(stage: &Stage, url: &str) -> Outcome {
    let mut request = stage.request("GET", url)?;
    request.add_header("Upgrade", "lines")?;
    echoed(stage, request)
}

fn tunnel(stage: &Stage) -> Outcome {
    let mut request = Request::connect(&stage.places.plain("/tunnel"), "example.org:443")?;
    request.set_timeout(Timeout::Total, Some(LIMIT))?;
    request.set_cancel(Some(stage.token.clone()));
    echoed(stage, request)
}

/// Sends to a stream what comes back from it.
fn echoed(stage: &Stage, mut request: Request) -> Outcome {
    request.set_timeout(Timeout::Read, Some(LIMIT))?;
    request.set_timeout(Timeout::Write, Some(LIMIT))?;
    let stream = stage.client.send(&mut request)?.take_stream()?;
    let mut back = Vec::new();
    for piece in uploaded().chunks(PIECE) {
        stream.write_all(piece)?;
        back.extend(stream.read_exactly(piece.len())?);
    }
    stream.close();
    Ok(back)
}

fn polite_close(stage: &Stage) -> Outcome {
    let mut request = stage.request("GET", &stage.places.plain("/chunked"))?;
    request.set_connection_mode(ConnectionMode::Fresh);
    stage.client.send(&mut request)?.close(CloseMode::Graceful);
    Ok(Vec::new())
}

fn cancel(stage: &Stage) -> Outcome {
    let token = stage.token.clone();
    stage.helper.run(move || {
        std::thread::sleep(Duration::from_millis(3));
        token.fire(None);
    });
    stage.get(&stage.places.plain("/stall"))
}

/// The response is read while the manager drains.
fn drain(stage: &Stage) -> Outcome {
    let mut response = stage.client.send(&mut stage.request("GET", &stage.places.plain("/"))?)?;
    let body = response.read_all(MOST)?;
    stage.client.manager().drain(Some(LIMIT))?;
    Ok(body)
}

fn ok() -> Vec<u8> {
    b"ok".to_vec()
}

fn large() -> Vec<u8> {
    vec![b'x'; 300_000]
}

fn uploaded() -> Vec<u8> {
    vec![b'u'; PIECES * PIECE]
}

/// Far more than an exchange takes: an exchange that ends by this timeout hangs.
const LIMIT: Duration = Duration::from_secs(10);
const MOST: usize = 1 << 20;
const PIECES: usize = 6;
const PIECE: usize = 20_000;
