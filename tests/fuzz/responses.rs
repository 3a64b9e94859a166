//! Malformed responses in complete exchanges: in both forms, plain and over TLS, cut into random pieces, with clients
//! that reuse their connections. The same bytes must have the same outcome in each of these four variants, and no client
//! may get bytes of another exchange.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hangup::{Body, Error, Kind, Request, Timeout};
use testserver::{Script, Step, corpus};

use crate::mutate::{mutate, pick};
use crate::origin::{Answer, Origin};
use crate::support::Random;
use crate::support::form::{Client, Form};
use crate::support::outcome::assert_consistent;

/// The four variants, with a client and a server each.
pub struct Responses {
    ways: Vec<Way>,
    generator: Generator,
}

/// Makes malformed responses, each with a marker of its own.
pub struct Generator {
    seeds: Vec<Vec<u8>>,
}

struct Way {
    name: String,
    client: Client,
    origin: Origin,
}

/// One exchange: the request and the server's bytes.
struct Case {
    method: &'static str,
    body: usize,
    expects: bool,
    bytes: Vec<u8>,
    close: bool,
}

/// The outcome for the caller.
#[derive(Debug, PartialEq)]
struct End {
    status: Option<u16>,
    headers: Vec<(String, Vec<u8>)>,
    /// The complete body, or the kind of the error. The message is not compared, because it names the fault that is seen first.
    body: Result<Vec<u8>, Kind>,
}

impl Responses {
    pub fn new() -> Self {
        let ways = [Form::Blocking, Form::Submitted].into_iter().flat_map(|form| {
            [false, true].map(|secure| Way {
                name: format!("{form:?}{}", if secure { " over TLS" } else { "" }),
                client: form.tls_client(),
                origin: Origin::start(secure),
            })
        });
        Self { ways: ways.collect(), generator: Generator::new() }
    }

    /// Runs case `number`.
    pub fn run(&mut self, number: u64) -> Result<(), String> {
        let mut random = Random::new(number);
        let case = self.case(number, &mut random);
        let ends: Vec<End> = self
            .ways
            .iter()
            .map(|way| way.run(number, &case, &mut random))
            .collect::<Result<_, _>>()?;
        for (way, end) in self.ways.iter().zip(&ends) {
            if *end != ends[0] {
                let first = &self.ways[0].name;
                return Err(format!(
                    "{first}: {:?}\n{}: {end:?}\n{}",
                    ends[0],
                    way.name,
                    shown(&case)
                ));
            }
        }
        let crossed = ends[0].others_than(number);
        if crossed.is_empty() { Ok(()) } else { Err(format!("{crossed:?} in {}", shown(&case))) }
    }

    /// Asserts that all connections can be drained.
    pub fn finish(&self) -> Result<(), String> {
        for way in &self.ways {
            let manager = way.client.manager();
            manager.drain(Some(Duration::from_secs(10))).map_err(|error| format!("{error:?}"))?;
            let stats = manager.stats();
            if stats.opened != stats.closed {
                return Err(format!("{}: {stats:?}", way.name));
            }
        }
        Ok(())
    }

    fn case(&self, number: u64, random: &mut Random) -> Case {
        let bytes = self.generator.bytes(number, random);
        let method = ["GET", "GET", "GET", "HEAD", "POST", "PUT"][pick(random, 6)];
        let has_body = matches!(method, "POST" | "PUT");
        Case {
            method,
            body: if has_body { 1 + pick(random, 3000) } else { 0 },
            expects: has_body && random.below(4) == 0,
            bytes,
            close: random.below(3) == 0,
        }
    }
}

impl Generator {
    pub fn new() -> Self {
        Self { seeds: seeds() }
    }

    /// The response of exchange `number`.
    pub fn bytes(&self, number: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.marked(number, random);
        if random.below(8) == 0 {
            bytes.extend(self.marked(number, random));
        }
        if random.below(10) != 0 {
            mutate(random, &mut bytes, TOKENS);
        }
        bytes
    }

    /// One of the seeds, with the marker in its places.
    fn marked(&self, number: u64, random: &mut Random) -> Vec<u8> {
        let parts = split(&self.seeds[pick(random, self.seeds.len())], PLACE.as_bytes());
        parts.join(marker(number).as_bytes())
    }
}

impl Way {
    fn run(&self, number: u64, case: &Case, random: &mut Random) -> Result<End, String> {
        self.origin
            .expect(number, Answer { pieces: pieces(&case.bytes, random), close: case.close });
        let end = self.exchange(number, case);
        self.origin.is_over(number);
        self.origin.forget(number);
        let complaints = self.origin.complaints();
        let name = &self.name;
        if !complaints.is_empty() {
            return Err(format!("{name}: {complaints:?}\n{}", shown(case)));
        }
        match &end.body {
            Err(Kind::TimedOut | Kind::Panic | Kind::Cancelled | Kind::Closed) => {
                Err(format!("{name}: {end:?}\n{}", shown(case)))
            }
            _ => Ok(end),
        }
    }

    fn exchange(&self, number: u64, case: &Case) -> End {
        let mut end = End { status: None, headers: Vec::new(), body: Ok(Vec::new()) };
        end.body = self.body(number, case, &mut end.status, &mut end.headers).map_err(|error| {
            assert_consistent(&error);
            error.kind()
        });
        end
    }

    fn body(
        &self,
        number: u64,
        case: &Case,
        status: &mut Option<u16>,
        headers: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<Vec<u8>, Error> {
        let mut request = Request::new(case.method, &self.origin.url(number))?;
        request.set_timeout(Timeout::Total, Some(Duration::from_secs(20)))?;
        request.set_redirects(Some(0));
        if case.body > 0 {
            request.set_body(Body::bytes(&vec![b'u'; case.body]));
        }
        if case.expects {
            request.add_header("Expect", "100-continue")?;
        }
        let mut response = self.client.send(&mut request)?;
        *status = Some(response.status_code());
        headers.extend(response.head().headers().map(|(name, value)| (name.into(), value.into())));
        let (mut body, mut piece) = (Vec::new(), [0; 3000]);
        loop {
            match response.read(&mut piece)? {
                0 => return Ok(body),
                got => body.extend_from_slice(&piece[..got]),
            }
        }
    }
}

impl End {
    /// The markers in it of the exchanges before this one.
    fn others_than(&self, number: u64) -> Vec<String> {
        let mut all: Vec<u8> = Vec::new();
        for (name, value) in &self.headers {
            all.extend(name.bytes().chain(*b": ").chain(value.iter().copied()).chain(*b"\n"));
        }
        all.extend(self.body.iter().flatten());
        let text = String::from_utf8_lossy(&all);
        let before = (number.saturating_sub(50)..number).map(marker);
        before.filter(|other| text.contains(other)).collect()
    }
}

/// The marker that only the responses of one exchange contain. No mutation turns one marker into another.
fn marker(number: u64) -> String {
    format!("~{:012x}~", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16)
}

/// Cuts the bytes into random pieces, as a network may.
fn pieces(bytes: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    match random.below(4) {
        0 => vec![bytes.to_vec()],
        1 if bytes.len() < 400 => bytes.iter().map(|byte| vec![*byte]).collect(),
        2 => bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        _ => {
            let at = pick(random, bytes.len() + 1);
            vec![bytes[..at].to_vec(), bytes[at..].to_vec()]
        }
    }
}

/// The responses of the corpus and some more, each with places for the marker.
fn seeds() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let cases = corpus::load(&dir).expect("the corpus");
    let mut seeds: Vec<Vec<u8>> = cases.iter().map(|case| sent(&case.script)).collect();
    seeds.retain(|bytes| !bytes.is_empty() && bytes.len() < 20_000);
    for seed in &mut seeds {
        let at = seed.iter().position(|byte| *byte == b'\n').map_or(seed.len(), |end| end + 1);
        seed.splice(at..at, format!("X-Id: {PLACE}\r\n").bytes());
    }
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(&b"zipped ".repeat(40)).expect("memory");
    let zip = zip.finish().expect("memory");
    let coded = format!(
        "HTTP/1.1 200 OK\r\nX-Id: {PLACE}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zip.len()
    );
    seeds.push([coded.as_bytes(), &zip].concat());
    seeds.extend(OWN.map(|seed| seed.as_bytes().to_vec()));
    seeds
}

/// The bytes that the first connection of a script sends.
fn sent(script: &Script) -> Vec<u8> {
    fn of(steps: &[Step], into: &mut Vec<u8>) {
        for step in steps {
            match step {
                Step::Send(text) => into.extend_from_slice(text.as_bytes()),
                Step::SendHex(bytes) => into.extend_from_slice(bytes),
                Step::Fill { bytes, byte } if *bytes < 20_000 => {
                    into.extend(std::iter::repeat_n(*byte as u8, *bytes as usize));
                }
                Step::Repeat { steps, .. } => of(steps, into),
                _ => {}
            }
        }
    }
    let mut bytes = Vec::new();
    of(script.connections.first().map_or(&[], Vec::as_slice), &mut bytes);
    bytes
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(by.len()).position(|window| window == by) {
        parts.push(&rest[..at]);
        rest = &rest[at + by.len()..];
    }
    parts.push(rest);
    parts
}

fn shown(case: &Case) -> String {
    let Case { method, body, expects, bytes, close } = case;
    let then = if *close { ", then closes" } else { "" };
    let text = bytes.escape_ascii();
    format!("{method}, a body of {body} bytes, Expect {expects}; the server sends \"{text}\"{then}")
}

const PLACE: &str = "~id~";

const OWN: [&str; 6] = [
    "HTTP/1.1 200 OK\r\nX-Id: ~id~\r\nContent-Length: 14\r\n\r\n~id~",
    "HTTP/1.1 200 OK\r\nX-Id: ~id~\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n~id~\r\n3;a=b\r\nabc\r\n0\r\nX-After: ~id~\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Id: ~id~\r\n\r\nHTTP/1.1 200 OK\r\nX-Id: ~id~\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nX-Id: ~id~\r\n\r\n",
    "HTTP/1.0 200 OK\r\nX-Id: ~id~\r\nConnection: keep-alive\r\nContent-Length: 14\r\n\r\n~id~",
    "HTTP/1.1 417 Expectation Failed\r\nX-Id: ~id~\r\nContent-Length: 0\r\n\r\n",
];

const TOKENS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
    "0\r\n\r\n",
    "1\r\nx\r\n",
    "+2\r\nab\r\n",
    "ffffffffffffffff\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.0 200 OK\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length : 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: gzip, deflate\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Location: /\r\n",
    " folded\r\n",
    ": no name\r\n",
    "no colon\r\n",
];
