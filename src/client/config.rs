//! The settings of a client as one value, which a call sees unchanged from its beginning to its end.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::cookies::Jar;
use super::proxies::Proxies;
use crate::http::decode::CODINGS;
use crate::net::proxy::USER_AGENT;
use crate::net::tls::Tls;
use crate::timeouts::Timeouts;
use crate::vocabulary::ConnectionMode;

/// Threads: immutable.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) timeouts: Timeouts,
    pub(super) headers: HeaderMap,
    pub(super) mode: ConnectionMode,
    pub(super) max_head: usize,
    pub(super) retries: bool,
    pub(super) redirects: u32,
    /// Headers that a redirect to another origin drops, besides those that it always drops.
    pub(super) sensitive: Vec<HeaderName>,
    /// `None`: cookies are not kept.
    pub(super) jar: Option<Arc<Jar>>,
    pub(super) decode: bool,
    pub(super) max_codings: u32,
    pub(super) tls: Arc<Tls>,
    pub(super) proxies: Proxies,
}

impl Default for Config {
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        Self {
            timeouts: Timeouts::default(),
            headers,
            mode: ConnectionMode::Keep,
            max_head: MAX_HEAD,
            retries: true,
            redirects: MAX_REDIRECTS,
            sensitive: Vec::new(),
            jar: None,
            decode: false,
            max_codings: CODINGS,
            proxies: Proxies::from_env(&Tls::standard()),
            tls: Tls::standard(),
        }
    }
}

const MAX_HEAD: usize = 64 * 1024;
/// As many as Go follows; a longer sequence is mostly a loop.
const MAX_REDIRECTS: u32 = 10;
