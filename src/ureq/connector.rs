//! What ureq asks for a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::ureq::Error;
use ::ureq::http::Uri;
use ::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ::ureq::unversioned::transport::{
    ConnectionDetails, Connector as UreqConnector, NextTimeout, ShutdownHandle,
};

use super::cancel_scope::current_token;
use super::failure::dial_error;
use super::settings::Settings;
use super::transport::ManagedTransport;
use crate::cancel::CancelToken;
use crate::client::Client;
use crate::http::exchange::ExchangeShared;
use crate::vocabulary::Timeout;

/// Takes connections from a client's manager: for `ureq::Agent::with_parts`, together with [`NoResolver`].
///
/// Create: [`new`](Self::new). [`agent`](super::agent) does both. Threads: any thread at any time.
///
/// ```
/// use hangup::ureq::{Connector, NoResolver};
///
/// let client = hangup::Client::default();
/// let agent = ureq::Agent::with_parts(Default::default(), Connector::new(&client), NoResolver::default());
/// # drop(agent);
/// ```
#[derive(Debug)]
pub struct Connector {
    settings: Settings,
}

/// Resolves no name: the manager does, when it dials. Threads: any thread at any time.
#[derive(Clone, Debug, Default)]
pub struct NoResolver {
    _private: (),
}

impl Connector {
    /// A connector that takes connections from the client's manager, with the client's TLS settings and the timeouts of
    /// its dials.
    pub fn new(client: &Client) -> Self {
        Self { settings: Settings::new(client) }
    }
}

impl UreqConnector for Connector {
    type Out = ManagedTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<ManagedTransport>, Error> {
        let now = Instant::now();
        let failed = |error| dial_error(error, details.timeout.reason);
        let prepared = self.settings.prepare(details.uri, details.config).map_err(failed)?;
        let resolve = details.config.timeouts().resolve;
        let token = current_token();
        let token_deadline = token.as_ref().and_then(CancelToken::deadline);
        let begun = prepared.begin(token, now, |timeouts| {
            let budget = &details.timeout.after;
            let total = (!budget.is_not_happening()).then(|| **budget);
            // ureq's own timeout replaces those of the parts that it is for.
            if total.is_some() {
                for part in [Timeout::Pool, Timeout::Connect, Timeout::Tls] {
                    timeouts.set(part, None);
                }
            }
            timeouts.set(Timeout::Total, total.map(not_zero));
            if resolve.is_some() || total.is_some() {
                timeouts.set(Timeout::Resolve, resolve.map(not_zero));
            }
        });
        let mut exchange = begun.map_err(failed)?;
        // Before the dial, so that a shutdown of the agent ends that, too.
        let handle: Arc<dyn ShutdownHandle> = Arc::new(Ender(Arc::clone(exchange.shared())));
        (details.register_shutdown)(Arc::downgrade(&handle))?;
        let lease = exchange.checkout().map_err(failed)?;
        Ok(Some(ManagedTransport::new(exchange, lease, handle, token_deadline, details.config)))
    }
}

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &::ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Ends the exchange when its agent is shut down.
struct Ender(Arc<ExchangeShared>);

impl ShutdownHandle for Ender {
    fn shutdown(&self) {
        self.0.close();
    }
}

/// A timeout of zero has run out already, and would be none at all here.
fn not_zero(duration: Duration) -> Duration {
    duration.max(Duration::from_nanos(1))
}
