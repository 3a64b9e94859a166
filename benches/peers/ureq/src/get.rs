//! GETs of any kind, one at a time, with ureq over its own pool: a peer of `benches/get.c`.
//!
//!     get-ureq URL REQUESTS [WARM-UP] [roots=FILE] [decode=1] [origins=N]
//!
//! Without timeouts, as it is by default: with one, it starts a thread for each request. It undoes gzip and br, and asks for them whether `decode` is there or not. Prints what get.c prints.

use std::io::Read;
use std::time::Instant;

use ureq::config::Config;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, requests, options @ ..] = arguments.as_slice() else {
        return Err("get-ureq URL REQUESTS [WARM-UP] [roots=FILE] [decode=1] [origins=N]".into());
    };
    let requests: u32 = requests.parse()?;
    let (mut warm_up, mut origins) = (1, 1);
    let mut config = Config::builder().proxy(None);
    for option in options {
        match option.split_once('=') {
            None => warm_up = option.parse()?,
            Some(("origins", count)) => origins = count.parse::<usize>()?,
            Some(("decode", _)) => {}
            Some(("roots", file)) => {
                let pem = std::fs::read(file)?;
                let certificates: Vec<_> = parse_pem(&pem)
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                let roots = RootCerts::new_with_certs(&certificates);
                config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
            }
            Some(_) => return Err(format!("an unknown option: {option}").into()),
        }
    }
    let config = config.max_idle_connections(origins + 5).build();
    let agent = ureq::Agent::new_with_config(config);
    let urls: Vec<String> = (1..=origins)
        .map(|i| url.replacen("://127.0.0.1", &format!("://127.0.{}.{}", i / 256, i % 256), 1))
        .collect();
    let mut room = vec![0; 256 * 1024];
    let mut turn = 0;
    let mut get = || -> Result<u64, Box<dyn std::error::Error>> {
        let mut response = agent.get(&urls[turn]).call()?;
        turn = (turn + 1) % origins;
        let mut body = response.body_mut().as_reader();
        let mut size = 0;
        loop {
            match body.read(&mut room)? {
                0 => return Ok(size),
                got => size += got as u64,
            }
        }
    };
    let mut size = 0;
    for _ in 0..warm_up {
        size = get()?;
    }
    let (wall, (user, kernel)) = (Instant::now(), cpu());
    for _ in 0..requests {
        let got = get()?;
        assert!(got == size || warm_up == 0, "a body of {got} bytes instead of {size}");
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
