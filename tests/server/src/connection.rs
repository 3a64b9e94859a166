//! One connection's script, run step by step in the connection's own thread.
//!
//! Records the received bytes in the ledger. Returns to `attend` how the connection ends.

use crate::attend::{WayOut, attend};
use crate::certs::certs;
use crate::latch::Latch;
use crate::ledger::{Ended, Ledger};
use crate::message::{self, Head};
use crate::script::{Answer, Step, Until};
use crate::wire::{Halt, Wire, Woke};
use socket2::Socket;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs the steps and notes every byte in the ledger.
pub(crate) fn run(
    socket: Socket,
    index: usize,
    steps: &[Step],
    ledger: &Ledger,
    stop: &Arc<Latch>,
) {
    attend(socket, index, ledger, stop, |wire| {
        let mut runner = Runner { wire, index, ledger, head: None, way_out: WayOut::Close };
        match runner.all(steps) {
            Ok(()) | Err(Halt::Done) => Ok(runner.way_out),
            Err(other) => Err(other),
        }
    });
}

struct Runner<'a> {
    wire: &'a mut Wire,
    index: usize,
    ledger: &'a Ledger,
    /// The last request head, for `body`, `answer` and `echo_head`.
    head: Option<Head>,
    way_out: WayOut,
}

impl Runner<'_> {
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
            Step::Urgent(text) => self.wire.send_urgent(text.as_bytes()),
            Step::Tickets(count) => self.wire.send_tickets(*count),
            Step::Cork(on) => self.wire.cork(*on),
            Step::SleepMs(millis) => self.sleep(*millis),
            Step::Stall => self.wire.idle(None, None).map(drop),
            Step::Echo => self.echo(),
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
            Step::ByPath(paths) => self.by_path(paths),
        }
    }

    fn receive(&mut self, until: &Until) -> Result<(), Halt> {
        match until {
            Until::Head => self.request_head(),
            Until::Body => self.request_body(),
            Until::Eof => self.everything(),
            Until::HalfClose => {
                self.wire.end_at_close_notify();
                self.everything()
            }
            Until::Bytes(count) => {
                let mut all = Vec::new();
                let read =
                    message::read_exactly(self.wire, *count, &mut |piece| keep(&mut all, piece));
                self.note(&all);
                read
            }
        }
    }

    fn request_head(&mut self) -> Result<(), Halt> {
        self.ledger.record(self.index, |record| record.awaits_head = true);
        let read = message::read_head_bytes(self.wire);
        self.ledger.record(self.index, |record| record.awaits_head = false);
        let (head, bytes) = read.inspect_err(|_| {
            // The received part, for a test of a truncated request.
            let part = self.wire.inbox().to_vec();
            self.note(&part);
        })?;
        self.note(&bytes);
        self.ledger.head(self.index, &head.0);
        self.head = Some(head);
        Ok(())
    }

    fn request_body(&mut self) -> Result<(), Halt> {
        let Some(head) = self.head.take() else {
            return Err(Halt::Broken("recv body without a head before".to_owned()));
        };
        let mut body = Vec::new();
        let read = message::read_body(self.wire, &head, |piece| {
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
                self.ledger.note_end(self.index, Ended::Fin);
                return Ok(());
            }
        }
    }

    /// Sends back what comes until the peer's end of stream.
    fn echo(&mut self) -> Result<(), Halt> {
        loop {
            // What came together with the head goes back first.
            let all = self.wire.inbox().len();
            let bytes = self.wire.take(all);
            self.note(&bytes);
            self.wire.send(&bytes)?;
            if self.wire.fill()? == 0 {
                self.ledger.note_end(self.index, Ended::Fin);
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

    /// Looks at the next head and leaves it to the chosen steps to read it.
    fn by_path(&mut self, paths: &BTreeMap<String, Vec<Step>>) -> Result<(), Halt> {
        let head = message::peek_head(self.wire)?;
        let target = head.target();
        let path = target.split('?').next().unwrap_or_default();
        let chosen = [target, path, "*"].into_iter().find_map(|name| paths.get(name));
        match chosen {
            Some(steps) => self.all(steps),
            None => self.answer(&Answer { status: 404, ..Answer::default() }),
        }
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
