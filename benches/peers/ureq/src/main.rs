//! Small GETs with ureq, one at a time, on one kept connection.
//!
//!     small-get-ureq own|managed URL REQUESTS [WARM-UP]
//!
//! own      ureq's own pool and transport
//! managed  the same agent over the library's manager
//!
//! Prints what small_get.c prints.

use std::time::{Duration, Instant};

use ureq::config::Config;

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
    let [mode, url, requests, ..] = arguments.as_slice() else {
        return Err("small-get-ureq own|managed URL REQUESTS [WARM-UP]".into());
    };
    let requests: u32 = requests.parse()?;
    let warm_up: u32 = arguments.get(3).map_or(Ok(100), |text| text.parse())?;
    let config = Config::builder().proxy(None).timeout_global(Some(Duration::from_secs(60))).build();
    let client = hangup::Client::default();
    let agent = match mode.as_str() {
        "own" => ureq::Agent::new_with_config(config),
        "managed" => hangup::ureq::agent(&client, config),
        other => return Err(format!("an unknown mode: {other}").into()),
    };
    let get = || -> Result<(), ureq::Error> {
        let body = agent.get(url).call()?.body_mut().read_to_vec()?;
        assert_eq!(body.len(), 3);
        Ok(())
    };
    for _ in 0..warm_up {
        get()?;
    }
    let (wall, (user, kernel)) = (Instant::now(), cpu());
    for _ in 0..requests {
        get()?;
    }
    let (took, (user_now, kernel_now)) = (wall.elapsed().as_secs_f64(), cpu());
    let each = |seconds: f64| seconds / f64::from(requests) * 1e6;
    let (user, kernel) = (each(user_now - user), each(kernel_now - kernel));
    let rate = f64::from(requests) / took;
    println!("rps={rate:.0} user_us={user:.3} cpu_us={:.3}", user + kernel);
    Ok(())
}
