//! An exchange for code that writes and reads its messages itself: it has the client's connections, with all that shapes
//! them, and none of its headers, redirects, cookies and retries.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::Client;
use super::config::Config;
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::http::exchange::{Exchange, ExchangeConfig};
use crate::http::handover::Handover;
use crate::response_head::ResponseTo;
use crate::target::Target;
use crate::timeouts::Timeouts;

impl Client {
    /// A client over the same manager with a copy of the settings of this moment.
    pub(crate) fn copy(&self) -> Self {
        let config = Config::clone(&self.config.load());
        let (manager, config) = (Arc::clone(&self.manager), ArcSwap::from_pointee(config));
        Self { manager, config, changing: std::sync::Mutex::new(()) }
    }

    /// Begins an exchange with the origin of this URL, through a tunnel if there is a proxy; `change` sets its timeouts.
    ///
    /// # Errors
    /// Those of the proxy's settings; the token has fired already.
    pub(crate) fn begin_exchange(
        &self,
        target: Arc<Target>,
        token: Option<CancelToken>,
        now: Instant,
        change: impl FnOnce(&mut Timeouts),
    ) -> Result<Exchange, Error> {
        let config = self.config.load();
        let route = config.proxies.route(&target.origin)?;
        let key = match route.is_read_by_proxy(target.origin.secure) {
            true => target.key(&config.tls, &route.tunnelled()),
            false => target.key(&config.tls, route),
        };
        let mut timeouts = config.timeouts;
        change(&mut timeouts);
        let exchange = ExchangeConfig {
            manager: Arc::clone(&self.manager),
            key,
            method: None,
            target,
            token,
            close_after: false,
            fresh: false,
            attempt: 1,
            repeatable: false,
            retry_covers_loss: false,
            detects_loss: false,
            max_head: config.max_head,
            response_to: ResponseTo::Other,
            handover: Handover::None,
            tracer: None,
            transfer: None,
        };
        Exchange::begin(exchange, &timeouts, now, now).map(|exchange| *exchange)
    }
}
