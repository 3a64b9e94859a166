//! Many GETs in flight at once with hyper-util's client with a pool: a peer of `inflight.c`.
//!
//!     inflight-hyper URL BODY IN-FLIGHT REQUESTS [roots=FILE]
//!
//! A task for each in flight, all on tokio's runtime of one thread; each request has ten seconds in all, by
//! `tokio::time::timeout`. The pool keeps as many idle connections as there are, by default.
//!
//! Prints requests a second and microseconds of CPU a request.

use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

type Pooled = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The clocks: the wall's, and seconds of this process's CPU in its own code and in the kernel.
#[derive(Clone, Copy)]
struct Usage {
    wall: Instant,
    user: f64,
    kernel: f64,
}

impl Usage {
    fn now() -> Self {
        // SAFETY: a structure of numbers, which the call fills.
        let cpu = unsafe {
            let mut cpu: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut cpu);
            cpu
        };
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        Self { wall: Instant::now(), user: seconds(cpu.ru_utime), kernel: seconds(cpu.ru_stime) }
    }
}

/// As closed_loop in bench.h.
struct ClosedLoop {
    warm_up: u64,
    requests: u64,
    ended: AtomicU64,
    began: OnceLock<Usage>,
    done: OnceLock<Usage>,
}

impl ClosedLoop {
    fn goes_on(&self) -> bool {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        if ended == self.warm_up {
            self.began.get_or_init(Usage::now);
        } else if ended == self.warm_up + self.requests {
            self.done.get_or_init(Usage::now);
        }
        ended < self.warm_up + self.requests
    }
}

fn stop(what: impl std::fmt::Display) -> ! {
    eprintln!("{what}");
    exit(1)
}

/// As is_expected in bench.h.
fn is_expected(expected: &str, body: &[u8]) -> bool {
    match expected.strip_prefix("size=") {
        Some(size) => size.parse() == Ok(body.len()),
        None => body == expected.as_bytes(),
    }
}

/// Plain HTTP, and TLS with the roots of this file.
fn connector(roots: Option<&str>) -> HttpsConnector<HttpConnector> {
    let mut store = RootCertStore::empty();
    if let Some(file) = roots {
        for certificate in CertificateDer::pem_file_iter(file).unwrap_or_else(|error| stop(error)) {
            let certificate = certificate.unwrap_or_else(|error| stop(error));
            store.add(certificate).unwrap_or_else(|error| stop(error));
        }
    }
    let tls = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    https.enable_http1().wrap_connector(tcp)
}

async fn get(client: &Pooled, url: &Uri, expected: &str) -> Result<(), String> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = url.clone();
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    if status != 200 || !is_expected(expected, &body) {
        return Err(format!("status {status}, {} bytes", body.len()));
    }
    Ok(())
}

async fn run(url: Uri, expected: String, in_flight: u64, requests: u64, roots: Option<&str>) {
    let client: Pooled = Client::builder(TokioExecutor::new()).build(connector(roots));
    let state = Arc::new(ClosedLoop {
        warm_up: 2 * in_flight + 1000,
        requests,
        ended: AtomicU64::new(0),
        began: OnceLock::new(),
        done: OnceLock::new(),
    });
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (client, url, expected, state) =
                (client.clone(), url.clone(), expected.clone(), state.clone());
            tokio::spawn(async move {
                while {
                    match tokio::time::timeout(
                        Duration::from_secs(10),
                        get(&client, &url, &expected),
                    )
                    .await
                    {
                        Ok(Ok(())) => state.goes_on(),
                        Ok(Err(error)) => stop(error),
                        Err(late) => stop(late),
                    }
                } {}
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap_or_else(|error| stop(error));
    }
    let (Some(began), Some(done)) = (state.began.get(), state.done.get()) else {
        stop("not enough requests")
    };
    let each = 1e6 / requests as f64;
    let (user, kernel) = (done.user - began.user, done.kernel - began.kernel);
    println!(
        "rps={:.0} user_us={:.3} cpu_us={:.3}",
        requests as f64 / (done.wall - began.wall).as_secs_f64(),
        user * each,
        (user + kernel) * each
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, expected, in_flight, requests, options @ ..] = &arguments[..] else {
        stop("usage: inflight-hyper URL BODY IN-FLIGHT REQUESTS [roots=FILE]")
    };
    let roots = options.iter().find_map(|option| option.strip_prefix("roots="));
    let (Ok(url), Ok(in_flight), Ok(requests)) =
        (url.parse::<Uri>(), in_flight.parse(), requests.parse())
    else {
        stop("a URL and two numbers, please")
    };
    // As many descriptors as this process may have.
    // SAFETY: a structure of two numbers.
    unsafe {
        let mut files = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut files);
        files.rlim_cur = files.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &files);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| stop(error));
    runtime.block_on(run(url, expected.clone(), in_flight, requests, roots));
}
