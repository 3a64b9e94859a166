//! The settings of a client as one value, which a call sees unchanged from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cookies::Jar;
use super::proxies::Proxies;
use super::retry_policy::Retrying;
use crate::auth::{Auth, Sessions};
use crate::headers::{ACCEPT, Headers, USER_AGENT};
use crate::http::decode::CODINGS;
use crate::net::proxy;
use crate::net::tls::Tls;
use crate::timeouts::Timeouts;
use crate::trace::Trace;
use crate::transfer::TransferSettings;
use crate::vocabulary::ConnectionMode;

/// Threads: immutable.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) id: ConfigId,
    pub(super) timeouts: Timeouts,
    pub(super) headers: Headers,
    /// Names of headers that the library does not add either.
    pub(super) removed: Vec<Box<str>>,
    pub(super) mode: ConnectionMode,
    pub(super) max_head: usize,
    pub(super) retries: bool,
    pub(super) detects_loss: bool,
    pub(super) redirects: u32,
    /// Headers that a redirect to another origin drops, besides those that it always drops.
    pub(super) sensitive: Vec<Box<str>>,
    /// Sent to the origin of each request.
    pub(super) auth: Option<Auth>,
    /// The nonces of the servers that were asked with digest authentication.
    pub(super) digest_sessions: Arc<Sessions>,
    /// `None`: what was not served is not sent again.
    pub(super) retrying: Option<Arc<Retrying>>,
    /// `None`: cookies are not kept.
    pub(super) jar: Option<Arc<Jar>>,
    pub(super) secure_cookies_on_localhost: bool,
    pub(super) decode: bool,
    pub(super) max_codings: u32,
    pub(super) max_body: usize,
    pub(super) tls: Arc<Tls>,
    pub(super) proxies: Proxies,
    pub(super) trace: Option<Trace>,
    /// Maximum rates, and the wait for 100 Continue.
    pub(super) transfer: Option<Box<TransferSettings>>,
}

impl Default for Config {
    fn default() -> Self {
        let mut headers = Headers::default();
        headers.add(USER_AGENT, proxy::USER_AGENT.as_bytes());
        headers.add(ACCEPT, b"*/*");
        Self {
            id: ConfigId::new(),
            timeouts: Timeouts::default(),
            headers,
            removed: Vec::new(),
            mode: ConnectionMode::Keep,
            max_head: MAX_HEAD,
            retries: true,
            detects_loss: true,
            redirects: MAX_REDIRECTS,
            sensitive: Vec::new(),
            auth: None,
            digest_sessions: Arc::default(),
            retrying: None,
            jar: None,
            secure_cookies_on_localhost: false,
            decode: false,
            max_codings: CODINGS,
            max_body: MAX_BODY,
            proxies: Proxies::from_env(&Tls::standard()),
            tls: Tls::standard(),
            trace: None,
            transfer: None,
        }
    }
}

/// No two configurations of a process have the same: a copy has another one, because it is made to be changed. Heads that
/// were made with a configuration are found again by it. Threads: immutable.
#[derive(Debug)]
pub(super) struct ConfigId(u64);

impl ConfigId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn number(&self) -> u64 {
        self.0
    }
}

impl Clone for ConfigId {
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// More than most programs mean to have in memory, and less than ends them.
const MAX_BODY: usize = 256 * 1024 * 1024;
const MAX_HEAD: usize = 64 * 1024;
/// As many as Go follows; a longer sequence is mostly a loop.
const MAX_REDIRECTS: u32 = 10;
