//! One connection's script, run step by step in the connection's own thread.
//!
//! The only place that writes the ledger while a connection lives, and the only one that decides
//! how it ends.

use crate::certs::certs;
use crate::latch::Latch;
use crate::ledger::{Ended, Ledger};
use crate::message::{self, Head};
use crate::script::{Answer, Step, Until};
use crate::wire::{Halt, Wire, Woke};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs the steps, then closes, and notes every byte and the end in the ledger.
pub(crate) fn run(
    tcp: TcpStream,
    index: usize,
    steps: &[Step],
    ledger: &Ledger,
    stop: &Arc<Latch>,
) {
    ledger.accepted(index);
    match Wire::new(tcp, Arc::clone(stop)) {
        Ok(wire) => Runner { wire, index, ledger, head: None, way_out: WayOut::Close }.run(steps),
        Err(e) => ledger.record(index, |record| record.broken = Some(e.to_string())),
    }
    // After the socket is gone, so that a test that sees this can count descriptors.
    ledger.ended(index, Ended::ByServer);
    ledger.record(index, |record| record.closed = true);
}

struct Runner<'a> {
    wire: Wire,
    index: usize,
    ledger: &'a Ledger,
    /// The last request head, for `body`, `answer` and `echo_head`.
    head: Option<Head>,
    way_out: WayOut,
}

/// How this side ends the connection if the peer does not.
#[derive(PartialEq)]
enum WayOut {
    Close,
    Truncate,
    Reset,
}

impl Runner<'_> {
    fn run(mut self, steps: &[Step]) {
        match self.all(steps) {
            Ok(()) | Err(Halt::Done | Halt::Stopped) => {}
            Err(Halt::PeerFin) => self.ledger.ended(self.index, Ended::Fin),
            Err(Halt::PeerRst) => self.ledger.ended(self.index, Ended::Rst),
            Err(Halt::Broken(why)) => {
                self.ledger.record(self.index, |record| record.broken = Some(why));
                // Most often the peer refused the certificate and is about to close; let it be the
                // first.
                match self.wire.peer_end(GRACE) {
                    Some(Halt::PeerFin) => self.ledger.ended(self.index, Ended::Fin),
                    Some(Halt::PeerRst) => self.ledger.ended(self.index, Ended::Rst),
                    _ => {}
                }
            }
        }
        match self.way_out {
            WayOut::Reset => self.wire.reset(),
            WayOut::Truncate => self.wire.close(),
            WayOut::Close => {
                // A peer that is gone needs no goodbye.
                let _ = self.wire.close_notify();
                self.wire.close();
            }
        }
    }

    fn all(&mut self, steps: &[Step]) -> Result<(), Halt> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> Result<(), Halt> {
        match step {
            Step::Recv(until) => self.receive(until),
            Step::Send(text) => self.wire.send(text.as_bytes()),
            Step::SendHex(bytes) => self.wire.send(bytes),
            Step::Fill { bytes, byte } => self.fill(*bytes, *byte),
            Step::Drip { bytes, every_ms, chunk } => self.drip(*bytes, *every_ms, *chunk),
            Step::SleepMs(millis) => self.sleep(*millis),
            Step::Stall => self.wire.idle(None, None).map(drop),
            Step::Rst => self.leave(WayOut::Reset),
            Step::Fin => {
                self.wire.fin();
                Ok(())
            }
            Step::Close => self.leave(WayOut::Close),
            Step::Tls(which) => {
                let config = certs().config(*which).map_err(Halt::Broken)?;
                self.wire.handshake(config)
            }
            Step::CloseNotify => self.wire.close_notify(),
            Step::Truncate => self.leave(WayOut::Truncate),
            Step::Await(name) => self.barrier(name),
            Step::Mark(name) => {
                self.ledger.mark(name);
                Ok(())
            }
            Step::Repeat { times, steps } => self.repeat(*times, steps),
            Step::EchoHead(keep) => self.echo_head(*keep),
            Step::Answer(answer) => self.answer(answer),
        }
    }

    fn receive(&mut self, until: &Until) -> Result<(), Halt> {
        match until {
            Until::Head => self.request_head(),
            Until::Body => self.request_body(),
            Until::Eof => self.everything(),
            Until::Bytes(count) => {
                let mut all = Vec::new();
                let read = message::read_exactly(&mut self.wire, *count, &mut |piece| {
                    keep(&mut all, piece)
                });
                self.note(&all);
                read
            }
        }
    }

    fn request_head(&mut self) -> Result<(), Halt> {
        let head = message::read_head(&mut self.wire).inspect_err(|_| {
            // What came of it, for a test that looks at a request cut short.
            let part = self.wire.inbox().to_vec();
            self.note(&part);
        })?;
        self.note(head.0.as_bytes());
        self.ledger.record(self.index, |record| record.heads.push(head.0.clone()));
        self.head = Some(head);
        Ok(())
    }

    fn request_body(&mut self) -> Result<(), Halt> {
        let Some(head) = self.head.take() else {
            return Err(Halt::Broken("recv body without a head before".to_owned()));
        };
        let mut body = Vec::new();
        let read = message::read_body(&mut self.wire, &head, |piece| {
            keep(&mut body, piece);
            self.ledger.record(self.index, |record| keep(&mut record.received, piece));
        });
        self.head = Some(head);
        read?;
        self.ledger.record(self.index, |record| record.bodies.push(body));
        Ok(())
    }

    /// Reads to the peer's end of stream and notes it; the script goes on.
    fn everything(&mut self) -> Result<(), Halt> {
        loop {
            let got = self.wire.fill()?;
            let all = self.wire.inbox().len();
            let bytes = self.wire.take(all);
            self.note(&bytes);
            if got == 0 {
                self.ledger.ended(self.index, Ended::Fin);
                return Ok(());
            }
        }
    }

    fn fill(&mut self, mut bytes: u64, byte: char) -> Result<(), Halt> {
        let mut buffer = [0; 4];
        let block = byte.encode_utf8(&mut buffer).as_bytes().repeat(BLOCK);
        while bytes > 0 {
            let part = bytes.min(block.len() as u64);
            self.wire.send(&block[..part as usize])?;
            bytes -= part;
        }
        Ok(())
    }

    fn drip(&mut self, mut bytes: u64, every_ms: u64, chunk: u64) -> Result<(), Halt> {
        while bytes > 0 {
            let part = bytes.min(chunk.max(1));
            self.fill(part, 'x')?;
            bytes -= part;
            if bytes > 0 {
                self.sleep(every_ms)?;
            }
        }
        Ok(())
    }

    fn sleep(&mut self, millis: u64) -> Result<(), Halt> {
        let until = Instant::now() + Duration::from_millis(millis);
        while self.wire.idle(Some(until), None)? != Woke::Time {}
        Ok(())
    }

    fn barrier(&mut self, name: &str) -> Result<(), Halt> {
        let latch = self.ledger.latch(name).map_err(|e| Halt::Broken(e.to_string()))?;
        while self.wire.idle(None, Some(&latch))? != Woke::Latch {}
        Ok(())
    }

    fn repeat(&mut self, times: u64, steps: &[Step]) -> Result<(), Halt> {
        let mut done = 0;
        while times == 0 || done < times {
            self.all(steps)?;
            done += 1;
            // A loop that neither reads nor writes must end with the server, too.
            if done.is_multiple_of(1024) || steps.is_empty() {
                self.wire.idle(Some(Instant::now()), None)?;
            }
        }
        Ok(())
    }

    fn echo_head(&mut self, keep: bool) -> Result<(), Halt> {
        self.request_head()?;
        let body = self.head.as_ref().map(|head| head.0.clone()).unwrap_or_default();
        self.request_body()?;
        let mut headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        if !keep {
            headers.push(("Connection".to_owned(), "close".to_owned()));
        }
        self.respond(&Answer { status: 200, headers, body })?;
        if keep { Ok(()) } else { self.leave(WayOut::Close) }
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Halt> {
        self.request_head()?;
        self.request_body()?;
        self.respond(answer)
    }

    fn respond(&mut self, answer: &Answer) -> Result<(), Halt> {
        let method = self.head.as_ref().map_or("GET", Head::method);
        let bytes = message::response(answer, method);
        self.wire.send(&bytes)
    }

    fn leave(&mut self, how: WayOut) -> Result<(), Halt> {
        self.way_out = how;
        Err(Halt::Done)
    }

    fn note(&self, bytes: &[u8]) {
        self.ledger.record(self.index, |record| keep(&mut record.received, bytes));
    }
}

/// Appends up to the bound of what a server remembers.
fn keep(to: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT.saturating_sub(to.len());
    to.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Uploads larger than this are read, but only their beginning is remembered.
const KEPT: usize = 16 * 1024 * 1024;

/// Bytes of filling in one write.
const BLOCK: usize = 64 * 1024;

/// How long a broken connection waits for the peer to close it.
const GRACE: Duration = Duration::from_secs(1);
