//! How the bodies of an exchange are transferred: their progress, their maximum rates, and the wait for 100 Continue.
//!
//! Few requests set any of it, so it is one shared value that is absent for all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// How far the bodies of a request and of its response are: a handle that any thread can ask while the exchange runs.
///
/// Create: [`new`](Self::new). Use: give a clone to [`Request::set_progress`](crate::Request::set_progress), then ask. Only
/// bytes of bodies count, without heads and framing; of a compressed body those that are received, before they are
/// decoded. A retry and a redirect begin again with 0. If it is given to several requests, the last one that began counts.
/// Threads: any thread at any time.
///
/// ```
/// let progress = hangup::Progress::new();
/// let mut request = hangup::Request::new("PUT", "https://example.org/large")?;
/// request.set_body("seven".into());
/// request.set_progress(Some(progress.clone()));
/// assert_eq!((progress.bytes_sent(), progress.bytes_to_send()), (0, None));
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    sent: AtomicU64,
    /// -1 if it is not known.
    to_send: AtomicI64,
    received: AtomicU64,
    to_receive: AtomicI64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sent: AtomicU64::new(0),
            to_send: AtomicI64::new(-1),
            received: AtomicU64::new(0),
            to_receive: AtomicI64::new(-1),
        }
    }
}

impl Progress {
    /// One that counts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of the request's body were sent, that is handed to the system or to TLS.
    pub fn bytes_sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// How long the request's body is; `None` while that is not known, and for a body of unknown length.
    pub fn bytes_to_send(&self) -> Option<u64> {
        u64::try_from(self.0.to_send.load(Ordering::Relaxed)).ok()
    }

    /// How many bytes of the response's body were read.
    pub fn bytes_received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// How long the response's body is; `None` before the head, and for a body of unknown length.
    pub fn bytes_to_receive(&self) -> Option<u64> {
        u64::try_from(self.0.to_receive.load(Ordering::Relaxed)).ok()
    }

    /// An exchange begins; its request has a body of that length.
    pub(crate) fn begin(&self, to_send: Option<u64>) {
        self.0.sent.store(0, Ordering::Relaxed);
        self.0.received.store(0, Ordering::Relaxed);
        self.0.to_receive.store(-1, Ordering::Relaxed);
        self.0.to_send.store(total(to_send), Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The head is here; the response has a body of that length.
    pub(crate) fn expect(&self, to_receive: Option<u64>) {
        self.0.to_receive.store(total(to_receive), Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn total(length: Option<u64>) -> i64 {
    length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1)
}

/// What a client or a request sets; the outer `None` is not set. Threads: a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransferSettings {
    /// Bytes of the request's body per second; `None` is no maximum.
    pub(crate) max_upload: Option<Option<u64>>,
    /// Bytes of the response's body per second; `None` is no maximum.
    pub(crate) max_download: Option<Option<u64>>,
    /// How long to wait for 100 Continue; `None`: Expect is not sent.
    pub(crate) expect_continue: Option<Option<Duration>>,
    pub(crate) progress: Option<Progress>,
}

/// What counts for one call. Threads: immutable.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) max_upload: Option<u64>,
    pub(crate) max_download: Option<u64>,
    pub(crate) expect_continue: Option<Duration>,
    pub(crate) progress: Option<Progress>,
}

impl Transfer {
    /// The settings of a request over those of its client; `None` if neither sets any.
    #[inline]
    pub(crate) fn of(
        client: Option<&TransferSettings>,
        request: Option<&TransferSettings>,
    ) -> Option<Arc<Self>> {
        match (client, request) {
            (None, None) => None,
            _ => Some(Self::merged(client, request)),
        }
    }

    #[cold]
    #[inline(never)]
    fn merged(client: Option<&TransferSettings>, request: Option<&TransferSettings>) -> Arc<Self> {
        let none = TransferSettings::default();
        let (client, request) = (client.unwrap_or(&none), request.unwrap_or(&none));
        Arc::new(Self {
            max_upload: request.max_upload.or(client.max_upload).flatten(),
            max_download: request.max_download.or(client.max_download).flatten(),
            expect_continue: request.expect_continue.or(client.expect_continue).flatten(),
            progress: request.progress.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_overrides_each_setting_of_its_client() {
        let second = Duration::from_secs(1);
        let client = TransferSettings {
            max_upload: Some(Some(1)),
            max_download: Some(Some(2)),
            expect_continue: Some(Some(second)),
            progress: None,
        };
        let request = TransferSettings {
            max_upload: Some(None),
            max_download: Some(Some(3)),
            ..TransferSettings::default()
        };
        let both = Transfer::of(Some(&client), Some(&request)).unwrap();
        assert_eq!((both.max_upload, both.max_download), (None, Some(3)));
        assert_eq!(both.expect_continue, Some(second));
        assert!(Transfer::of(None, None).is_none());
    }
}
