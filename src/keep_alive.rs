//! What a server says in the Keep-Alive field of how long it keeps a connection, and what the client makes of it.
//!
//! RFC 9112 section C.2.2 names the field, and RFC 2068 section 19.7.1.1 gives its form; `timeout` and `max` are those
//! of Apache httpd, which nearly all servers use. Knows nothing of connections.

use std::time::Duration;

/// What one head says. Threads: a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    /// For how many seconds the server keeps an idle connection.
    timeout: Option<u32>,
    /// How many more requests it takes on the connection.
    max: Option<u32>,
}

impl KeepAlive {
    /// Adds what a field's value says. Parameters that are not understood are ignored.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for parameter in value.split(|byte| *byte == b',') {
            let mut parts = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let (name, number) = (parts.next().unwrap_or_default(), parts.next());
            let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            if name.eq_ignore_ascii_case(b"timeout") {
                self.timeout = smaller(self.timeout, number);
            } else if name.eq_ignore_ascii_case(b"max") {
                self.max = smaller(self.max, number);
            }
        }
    }

    /// Whether the connection serves no other request.
    pub(crate) fn is_over(self) -> bool {
        self.timeout == Some(0) || self.max == Some(0)
    }

    /// How long the connection may be idle, with a margin for the way of the next request to the server: it must not
    /// arrive there when the server has just closed.
    pub(crate) fn idle_for(self) -> Option<Duration> {
        let timeout = Duration::from_secs(self.timeout?.into());
        Some(timeout - MARGIN.min(timeout / 2))
    }
}

fn smaller(known: Option<u32>, new: Option<u32>) -> Option<u32> {
    match (known, new) {
        (Some(known), Some(new)) => Some(known.min(new)),
        (known, new) => known.or(new),
    }
}

/// More than a round trip, and than the difference of two clocks in a few minutes.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> KeepAlive {
        let mut said = KeepAlive::default();
        said.add(value.as_bytes());
        said
    }

    #[test]
    fn the_idle_time_is_the_servers_less_a_margin() {
        let ms = Duration::from_millis;
        for (value, idle) in [
            ("timeout=5", Some(ms(4000))),
            ("timeout=5, max=100", Some(ms(4000))),
            ("max=3,TimeOut = 2", Some(ms(1000))),
            ("timeout=1", Some(ms(500))),
            ("timeout=60, timeout=7", Some(ms(6000))),
            ("timeout=4294967295", Some(ms(4_294_967_294_000))),
            ("timeout=0", Some(ms(0))),
            ("", None),
            ("timeout", None),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=5s", None),
            ("timeout=4294967296", None),
            ("timeouts=5", None),
            ("5", None),
            ("\u{ff}=\u{ff}", None),
        ] {
            assert_eq!(of(value).idle_for(), idle, "{value}");
        }
    }

    #[test]
    fn no_time_or_no_requests_left_is_the_end() {
        assert!(of("timeout=0").is_over() && of("timeout=5, max=0").is_over());
        assert!(!of("timeout=1, max=1").is_over() && !of("").is_over());
    }
}
