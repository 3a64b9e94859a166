//! One download, from its first request to the complete file.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::digests::Digests;
use super::options::DownloadOptions;
use super::partial::{Partial, State};
use super::validator::{ContentRange, Validator};
use crate::error::Error;
use crate::request::Request;
use crate::response::{Downloaded, Response};
use crate::runtime::{WorkerPool, run_on_worker};
use crate::vocabulary::{CloseMode, Kind, Phase, Timeout};

/// A download that is to be done. Threads: a value.
pub(crate) struct Download {
    request: Request,
    path: PathBuf,
    options: DownloadOptions,
    /// A later call can continue it.
    is_resumable: bool,
}

/// What sends one request.
type Sender = dyn Fn(&mut Request) -> Result<Response, Error>;

/// How one request of a download ended, other than by an error that ends the download.
enum Outcome {
    Complete(Box<Response>, bool),
    /// What is there does not fit what the server has.
    Misfit(Error),
    /// The connection broke, or the server sent less than all.
    Broken(Error),
}

/// What was received and how often it broke off.
struct Counts {
    received: u64,
    resumes: u32,
    misfits: u32,
    /// What was there when the first byte came.
    resumed_at: Option<u64>,
}

impl Download {
    /// # Errors
    /// [`Kind::InvalidArgument`] for a request with a Range; [`Kind::InvalidState`] for a body from a reader.
    pub(crate) fn new(
        mut request: Request,
        path: &Path,
        options: &DownloadOptions,
    ) -> Result<Self, Error> {
        if request.headers.contains("range") || request.headers.contains("if-range") {
            let what = "a download asks for ranges itself; take the header Range away";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        // It may have to be sent again.
        request.try_clone()?;
        let decodes = request.decode == Some(true);
        request.set_decode(decodes);
        request.set_buffer_body(None);
        if !decodes && !request.headers.contains("accept-encoding") {
            request.add_header("Accept-Encoding", "identity")?;
        }
        let is_resumable = !decodes && request.method() == "GET";
        Ok(Self { request, path: path.to_owned(), options: options.clone(), is_resumable })
    }

    /// Does it; `send` sends one request.
    #[inline(never)]
    pub(crate) fn run(self, send: &Sender) -> Result<Response, Error> {
        let key = key_of(&self.request);
        let DownloadOptions { resume, resumes, sync, .. } = self.options;
        let resume = resume && self.is_resumable;
        let mut partial = on_disk(|| Partial::open(&self.path, &key, resume, sync))?;
        let mut counts = Counts { received: 0, resumes: 0, misfits: 0, resumed_at: None };
        loop {
            let error = match self.attempt(send, &mut partial, &mut counts) {
                Ok(Outcome::Complete(mut response, verified)) => {
                    on_disk(|| partial.finish())?;
                    response.set_download(Downloaded {
                        path: self.path,
                        bytes: partial.length(),
                        received: counts.received,
                        resumed_at: counts.resumed_at.unwrap_or(0),
                        resumes: counts.resumes,
                        verified,
                    });
                    return Ok(*response);
                }
                Ok(Outcome::Misfit(error)) => {
                    counts.misfits += 1;
                    on_disk(|| partial.begin(None))?;
                    if counts.misfits > MAX_MISFITS {
                        on_disk(|| partial.discard());
                        return Err(error);
                    }
                    continue;
                }
                Ok(Outcome::Broken(error)) => error,
                Err(error) => {
                    self.leave(&mut partial, &error);
                    return Err(error);
                }
            };
            if counts.resumes >= resumes {
                self.leave(&mut partial, &error);
                return Err(error);
            }
            counts.resumes += 1;
        }
    }

    /// The call fails: keeps what a later one can use.
    fn leave(&self, partial: &mut Partial, error: &Error) {
        let is_useless = matches!(error.kind(), Kind::DigestMismatch | Kind::TooLarge);
        on_disk(|| {
            if is_useless || !self.is_resumable || partial.state().is_none() {
                partial.discard();
            } else {
                // The first failure is the one to report.
                let _ = partial.keep();
            }
        });
    }

    /// Sends the request once, for all or for the rest.
    fn attempt(
        &self,
        send: &Sender,
        partial: &mut Partial,
        counts: &mut Counts,
    ) -> Result<Outcome, Error> {
        let mut request = self.request.try_clone()?;
        let rest_of = partial.state().filter(|_| self.is_resumable).cloned();
        if let Some(state) = &rest_of {
            request.add_header("Range", format!("bytes={}-", partial.length()))?;
            request.add_header("If-Range", state.validator.as_str())?;
        }
        match send(&mut request) {
            Ok(response) => self.receive(response, rest_of, partial, counts),
            Err(error) if is_broken(&error) => Ok(Outcome::Broken(error)),
            Err(error) => Err(error),
        }
    }

    /// Looks at the head, and receives the body if it is the right one.
    fn receive(
        &self,
        mut response: Response,
        rest_of: Option<State>,
        partial: &mut Partial,
        counts: &mut Counts,
    ) -> Result<Outcome, Error> {
        let range = ContentRange::of(response.head());
        match (response.status_code(), rest_of) {
            (206, Some(state)) => {
                let fits = range.is_some_and(|range| {
                    range.first == Some(partial.length())
                        && (range.total.is_none()
                            || state.total.is_none()
                            || range.total == state.total)
                });
                if !fits || state.validator.contradicts(response.head()) {
                    return Ok(misfit(
                        response,
                        "the range that the server sent is not the one that was asked for",
                    ));
                }
                counts.resumed_at.get_or_insert(partial.length());
                let total = range.and_then(|range| range.total).or(state.total);
                let mut whole = Digests::announced(response.head(), "repr-digest");
                if !whole.is_empty() {
                    on_disk(|| partial.digest(&mut whole))?;
                }
                let part = Digests::announced(response.head(), "content-digest");
                self.copy(response, partial, counts, total, [whole, part])
            }
            (416, Some(state)) => {
                // Another version may end where this one broke off.
                let length = Some(partial.length());
                let is_whole = range.and_then(|range| range.total) == length
                    && (state.total.is_none() || state.total == length)
                    && !state.validator.contradicts(response.head());
                let mut whole = Digests::announced(response.head(), "repr-digest");
                if !is_whole {
                    return Ok(misfit(
                        response,
                        "the server has no bytes behind those that are here, which are not all",
                    ));
                }
                counts.resumed_at.get_or_insert(partial.length());
                response.close(CloseMode::Graceful);
                on_disk(|| partial.digest(&mut whole))?;
                let verified = !whole.is_empty();
                whole.check().map_err(|name| mismatch(name, &response))?;
                Ok(Outcome::Complete(Box::new(response), verified))
            }
            (200..=205 | 207..=299, _) => {
                let decoded = self.request.decode == Some(true);
                let total = response.head().content_length().filter(|_| !decoded);
                let validator = Validator::of(response.head()).filter(|_| self.is_resumable);
                let state = validator.map(|validator| State { validator, total });
                counts.resumed_at = Some(0);
                on_disk(|| partial.begin(state))?;
                let digests = if decoded {
                    // They are those of the coded bytes.
                    Digests::none()
                } else {
                    let of = |field| Digests::announced(response.head(), field);
                    of("repr-digest").and(of("content-digest"))
                };
                self.copy(response, partial, counts, total, [digests, Digests::none()])
            }
            (status, _) => {
                let reason = String::from_utf8_lossy(response.head().reason()).into_owned();
                let what =
                    format!("the server answered {status} {reason}; there is nothing to download");
                let error = Error::new(Kind::UnexpectedStatus, what.replace(" ;", ";"));
                let error = about(error, &response);
                response.close(CloseMode::Graceful);
                Err(error)
            }
        }
    }

    /// Copies the body to the file, and checks what is announced of the whole and of this part.
    fn copy(
        &self,
        mut response: Response,
        partial: &mut Partial,
        counts: &mut Counts,
        total: Option<u64>,
        mut digests: [Digests; 2],
    ) -> Result<Outcome, Error> {
        let most = self.options.max_bytes.unwrap_or(u64::MAX);
        let too_large = |response: &mut Response| {
            let what = format!("the file is larger than the {most} bytes of max_bytes");
            let error = about(Error::new(Kind::TooLarge, what), response);
            response.close(CloseMode::Now);
            error
        };
        if total.is_some_and(|total| total > most) {
            return Err(too_large(&mut response));
        }
        let mut piece = vec![0; PIECE];
        loop {
            let got = match response.read(&mut piece) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if is_broken(&error) => return Ok(Outcome::Broken(error)),
                Err(error) => return Err(error),
            };
            counts.received += got as u64;
            let length = partial.length() + got as u64;
            if length > most {
                return Err(too_large(&mut response));
            }
            // A range may be framed as longer than it says.
            if total.is_some_and(|total| length > total) {
                return Ok(misfit(
                    response,
                    "the server sent more bytes than the range that it announced",
                ));
            }
            on_disk(|| {
                let bytes = &piece[..got];
                digests.iter_mut().for_each(|digests| digests.update(bytes));
                partial.append(bytes)
            })
            .map_err(|error| about(error, &response))?;
        }
        if let Some(total) = total.filter(|total| *total != partial.length()) {
            let what = format!("truncated: the server sent {} of {total} bytes", partial.length());
            return Ok(Outcome::Broken(about(Error::new(Kind::PeerClosed, what), &response)));
        }
        let verified = digests.iter().any(|digests| !digests.is_empty());
        for digests in digests {
            digests.check().map_err(|name| mismatch(name, &response))?;
        }
        Ok(Outcome::Complete(Box::new(response), verified))
    }
}

/// Whether another request may bring the rest: the connection failed, and no clock of the whole call ran out.
fn is_broken(error: &Error) -> bool {
    match error.kind() {
        Kind::PeerClosed
        | Kind::PeerReset
        | Kind::PeerSilent
        | Kind::ConnectFailed
        | Kind::ResolveFailed => true,
        Kind::TimedOut => !matches!(error.timeout(), Timeout::Total | Timeout::Token),
        _ => false,
    }
}

fn misfit(mut response: Response, what: &str) -> Outcome {
    let error = about(Error::new(Kind::Protocol, what), &response);
    response.close(CloseMode::Now);
    Outcome::Misfit(error)
}

fn mismatch(name: &str, response: &Response) -> Error {
    let what =
        format!("the bytes that came do not have the {name} digest that the server announced");
    about(Error::new(Kind::DigestMismatch, what), response)
}

/// An error of a response that is being received.
fn about(error: Error, response: &Response) -> Error {
    response.describe(error).in_phase(Phase::Read)
}

/// What identifies a request in a file that others may read, without its secrets.
fn key_of(request: &Request) -> String {
    let text = format!("{} {}", request.method(), request.url());
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Work that waits for a disk: on a fiber, a worker does it.
fn on_disk<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    run_on_worker(&DISKS, work)
}

static DISKS: WorkerPool = WorkerPool::for_blocking("hangup-download");
/// How much is read and written at once.
const PIECE: usize = 256 * 1024;
/// How often a file is begun anew because the server's ranges don't fit.
const MAX_MISFITS: u32 = 1;
