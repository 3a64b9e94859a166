//! One request after the other with ureq: a peer of `upload.c` and `short.c`.
//!
//!     serial-ureq memory|reader|file|chunked URL BYTES REQUESTS [ROOTS.pem]
//!     serial-ureq short URL BYTES REQUESTS [ROOTS.pem]
//!
//! The first ones upload a body of so many bytes on a kept connection; *reader* and *chunked* copy from memory. *short* sends
//! GETs, each on a connection of its own that is closed afterwards; its answer has so many bytes. TLS is rustls with ring;
//! each connection but the first is resumed if the server allows that.
//!
//! Prints what upload.c prints.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use ureq::SendBody;
use ureq::config::Config;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Seconds of this process's CPU in its own code and in the kernel.
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

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, url, size, requests, ..] = arguments.as_slice() else {
        return Err("serial-ureq memory|reader|file|chunked|short URL BYTES REQUESTS [ROOTS.pem]".into());
    };
    let (size, requests): (usize, u32) = (size.parse()?, requests.parse()?);
    let mut tls = TlsConfig::builder();
    if let Some(path) = arguments.get(4) {
        let pem = std::fs::read(path)?;
        let mut roots = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(root) = item? {
                roots.push(root);
            }
        }
        tls = tls.root_certs(RootCerts::Specific(Arc::new(roots)));
    }
    let is_short = how == "short";
    let mut config = Config::builder().proxy(None).tls_config(tls.build());
    if is_short {
        config = config.max_idle_connections(0);
    }
    let agent = ureq::Agent::new_with_config(config.build());
    let bytes = vec![b'x'; if is_short { 0 } else { size }];
    let path = std::env::temp_dir().join(format!("serial-ureq-{}", std::process::id()));
    if how == "file" {
        File::create(&path)?.write_all(&bytes)?;
    }
    let answer = if is_short { size } else { 3 };
    let send = || -> Result<(), Box<dyn Error>> {
        let mut source = &bytes[..];
        let post = || agent.post(url).header("content-type", "application/octet-stream");
        let mut response = match how.as_str() {
            "short" => agent.get(url).header("connection", "close").call()?,
            "memory" => post().send(&bytes[..])?,
            "reader" => {
                post().header("content-length", size).send(SendBody::from_reader(&mut source))?
            }
            "file" => post().send(File::open(&path)?)?,
            "chunked" => post().send(SendBody::from_reader(&mut source))?,
            other => return Err(format!("an unknown mode: {other}").into()),
        };
        let body = response.body_mut().read_to_vec()?;
        if response.status() != 200 || body.len() != answer {
            return Err(format!("status {}, {} bytes", response.status(), body.len()).into());
        }
        Ok(())
    };
    send()?;
    let (wall, (user, kernel)) = (Instant::now(), cpu());
    for _ in 0..requests {
        send()?;
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
    Ok(())
}
