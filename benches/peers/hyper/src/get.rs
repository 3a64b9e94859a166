//! GETs of any kind, one at a time, with hyper-util's client with a pool: a peer of `benches/get.c`.
//!
//!     get-hyper URL REQUESTS [WARM-UP] [roots=FILE] [origins=N]
//!
//! On tokio's runtime of one thread, with rustls and ring as hangup has them. It follows no redirects and undoes no content
//! coding. Prints what get.c prints.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

type Pooled = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// User and kernel CPU of this process, in seconds.
fn cpu() -> (f64, f64) {
    // SAFETY: zeroes are a value of this structure, which the call fills.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut used);
        used
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(used.ru_utime), seconds(used.ru_stime))
}

async fn get(client: &Pooled, url: &Uri) -> Result<u64, Box<dyn Error>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = url.clone();
    let mut response = client.request(request).await?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()).into());
    }
    let mut size = 0;
    while let Some(frame) = response.body_mut().frame().await {
        size += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(size)
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [url, requests, options @ ..] = arguments else {
        return Err("get-hyper URL REQUESTS [WARM-UP] [roots=FILE] [origins=N]".into());
    };
    let requests: u32 = requests.parse()?;
    let (mut warm_up, mut origins) = (1, 1);
    let mut roots = RootCertStore::empty();
    for option in options {
        match option.split_once('=') {
            None => warm_up = option.parse()?,
            Some(("origins", count)) => origins = count.parse::<usize>()?,
            Some(("roots", file)) => {
                for certificate in CertificateDer::pem_file_iter(file)? {
                    roots.add(certificate?)?;
                }
            }
            Some(_) => return Err(format!("an unknown option: {option}").into()),
        }
    }
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let client: Pooled = Client::builder(TokioExecutor::new()).build(connector);
    let urls = (1..=origins)
        .map(|i| {
            url.replacen("://127.0.0.1", &format!("://127.0.{}.{}", i / 256, i % 256), 1).parse()
        })
        .collect::<Result<Vec<Uri>, _>>()?;
    let mut turn = urls.iter().cycle();
    let mut next = || turn.next().ok_or("no URL");
    let mut size = 0;
    for _ in 0..warm_up {
        size = get(&client, next()?).await?;
    }
    let (wall, (user, kernel)) = (Instant::now(), cpu());
    for _ in 0..requests {
        let got = get(&client, next()?).await?;
        if got != size && warm_up > 0 {
            return Err(format!("a body of {got} bytes instead of {size}").into());
        }
    }
    let (took, (user_now, kernel_now)) = (wall.elapsed().as_secs_f64(), cpu());
    let (user, kernel) = (user_now - user, kernel_now - kernel);
    let (each, gb) = (1e6 / f64::from(requests), size as f64 * f64::from(requests) / 1e9);
    println!(
        "rps={:.0} user_us={:.3} cpu_us={:.3}",
        f64::from(requests) / took,
        user * each,
        (user + kernel) * each
    );
    println!(
        "mb_s={:.0} user_s_gb={:.4} sys_s_gb={:.4} cpu_s_gb={:.4}",
        gb * 1e3 / took,
        user / gb,
        kernel / gb,
        (user + kernel) / gb
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // As many descriptors as this process may have.
    // SAFETY: a structure of two numbers.
    unsafe {
        let mut files = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut files);
        files.rlim_cur = files.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &files);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}
