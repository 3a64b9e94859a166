//! One request after the other with hyper-util's client: a peer of `upload.c` and `short.c`.
//!
//!     serial-hyper memory|reader|file|chunked URL BYTES REQUESTS [ROOTS.pem]
//!     serial-hyper short URL BYTES REQUESTS [ROOTS.pem]
//!
//! The first ones upload a body of so many bytes on a kept connection; *reader* and *chunked* are a stream that copies pieces of
//! 64 KiB from memory, in memory that is used again, and *file* is one that reads as many from a file. *short* sends GETs, each on a connection of its own that
//! is closed afterwards; its answer has so many bytes. TLS is hyper-rustls with ring; each connection but the first is
//! resumed if the server allows that.
//!
//! Prints what upload.c prints.

use std::fs::File;
use std::io::{Read, Write};
use std::pin::Pin;
use std::process::exit;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};

const PIECE: usize = 64 * 1024;

/// Pieces from memory or from a file, of a known length or not.
struct Pieces {
    from: Bytes,
    file: Option<File>,
    /// Memory of earlier pieces is used again.
    buffer: BytesMut,
    left: usize,
    is_known: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let size = self.left.min(PIECE);
        if size == 0 {
            return Poll::Ready(None);
        }
        let Self { from, file, buffer, left, .. } = &mut *self;
        buffer.reserve(size);
        match file {
            None => buffer.extend_from_slice(&from[from.len() - *left..][..size]),
            Some(file) => {
                buffer.resize(size, 0);
                if let Err(error) = file.read_exact(buffer) {
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        let piece = buffer.split();
        self.left -= size;
        Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_known { SizeHint::with_exact(self.left as u64) } else { SizeHint::default() }
    }
}

/// Seconds of this process's CPU in its own code and in the kernel.
fn cpu() -> (f64, f64) {
    // SAFETY: a structure of numbers, which the call fills.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut used);
        used
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(used.ru_utime), seconds(used.ru_stime))
}

fn stop(what: impl std::fmt::Display) -> ! {
    eprintln!("{what}");
    exit(1)
}

fn tls(roots: Option<&String>) -> rustls::ClientConfig {
    let mut store = rustls::RootCertStore::empty();
    if let Some(path) = roots {
        for certificate in CertificateDer::pem_file_iter(path).unwrap_or_else(|error| stop(error)) {
            let certificate = certificate.unwrap_or_else(|error| stop(error));
            store.add(certificate).unwrap_or_else(|error| stop(error));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| stop(error))
        .with_root_certificates(store)
        .with_no_client_auth()
}

fn body(how: &str, bytes: &Bytes, path: &std::path::Path) -> BoxBody<Bytes, std::io::Error> {
    let buffer = BytesMut::with_capacity(8 * PIECE);
    let known =
        Pieces { from: bytes.clone(), file: None, buffer, left: bytes.len(), is_known: true };
    match how {
        "short" => Full::default().map_err(|never| match never {}).boxed(),
        "memory" => Full::new(bytes.clone()).map_err(|never| match never {}).boxed(),
        "reader" => known.boxed(),
        "file" => {
            let file = File::open(path).unwrap_or_else(|error| stop(error));
            Pieces { file: Some(file), ..known }.boxed()
        }
        "chunked" => Pieces { is_known: false, ..known }.boxed(),
        other => stop(format!("an unknown mode: {other}")),
    }
}

async fn run(how: &str, url: Uri, size: usize, requests: u32, roots: Option<&String>) {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(roots))
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let mut builder = Client::builder(TokioExecutor::new());
    let is_short = how == "short";
    if is_short {
        builder.pool_max_idle_per_host(0);
    }
    let client: Client<_, BoxBody<Bytes, std::io::Error>> = builder.build(connector);
    let bytes = Bytes::from(vec![b'x'; if is_short { 0 } else { size }]);
    let path = std::env::temp_dir().join(format!("serial-hyper-{}", std::process::id()));
    if how == "file" {
        let written = File::create(&path).and_then(|mut file| file.write_all(&bytes));
        written.unwrap_or_else(|error| stop(error));
    }
    let answer = if is_short { size } else { 3 };
    let send = async || {
        let mut request = Request::new(body(how, &bytes, &path));
        *request.uri_mut() = url.clone();
        if is_short {
            let close = hyper::header::HeaderValue::from_static("close");
            request.headers_mut().insert(hyper::header::CONNECTION, close);
        } else {
            *request.method_mut() = hyper::Method::POST;
        }
        let response = client.request(request).await.unwrap_or_else(|error| stop(error));
        let status = response.status();
        let body = response.into_body().collect().await.unwrap_or_else(|error| stop(error));
        let got = body.to_bytes().len();
        if status != 200 || got != answer {
            stop(format!("status {status}, {got} bytes"));
        }
    };
    send().await;
    let (wall, (user, kernel)) = (Instant::now(), cpu());
    for _ in 0..requests {
        send().await;
    }
    let (wall, (user_now, kernel_now)) = (wall.elapsed().as_secs_f64(), cpu());
    let (user, used) = (user_now - user, user_now - user + kernel_now - kernel);
    let (mb, requests) = (size as f64 * f64::from(requests) / 1e6, f64::from(requests));
    println!(
        "mb_s={:.0} user_ms_mb={:.4} cpu_ms_mb={:.4} rps={:.0} cpu_us={:.3}",
        mb / wall,
        user * 1e3 / mb,
        used * 1e3 / mb,
        requests / wall,
        used * 1e6 / requests
    );
    let _ = std::fs::remove_file(path);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, url, size, requests, ..] = &arguments[..] else {
        stop("serial-hyper memory|reader|file|chunked|short URL BYTES REQUESTS [ROOTS.pem]")
    };
    let (Ok(url), Ok(size), Ok(requests)) = (url.parse(), size.parse(), requests.parse()) else {
        stop("a URL and two numbers, please")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| stop(error));
    runtime.block_on(run(how, url, size, requests, arguments.get(4)));
}
