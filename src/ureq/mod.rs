//! The package `ureq` over the manager of connections: programs that are written with `ureq` get the manager's limits,
//! its list, its ways to close and to cancel, and one pool with C and Python, without a change of their requests.
//!
//! ureq writes the requests and reads the responses; its connections are leases of the manager. What ureq's
//! configuration says of proxies, TLS and timeouts holds; where there is no such thing here, it is refused by name.

mod cancel_scope;
mod connector;
mod failure;
mod message_watch;
mod settings;
mod transport;

use ::ureq::config::Config;

pub use self::cancel_scope::with_cancel;
pub use self::connector::{Connector, NoResolver};
use crate::client::Client;

/// An `ureq::Agent` with this configuration whose connections are those of the client's manager.
///
/// - Connections: the manager's limits, idle times and list hold, in place of `max_idle_connections`,
///   `max_idle_connections_per_host` and `max_idle_age`. A connection that is closed by its id, its origin or with all
///   others ends the call that uses it.
/// - Timeouts are ureq's. Without one of them a dial has those of the client (10 s each for resolving, connecting and TLS,
///   30 s for a place in the queue). A lookup of the name is part of the dial: a name is not resolved for each request.
/// - TLS: the root certificates `WebPki` (ureq's default) and `PlatformVerifier` stand for the client's own TLS settings;
///   specific roots, a client certificate and `disable_verification` replace them. `use_sni(false)`, the provider
///   `NativeTls` and a crypto provider of one's own are refused.
/// - The proxy is that of the configuration, which ureq takes from the environment by default; it makes a tunnel for
///   http, too, as ureq's own connector does.
/// - The client's trace does not record what ureq sends and receives; the events of the manager report its connections.
/// - Errors: a timeout is `ureq::Error::Timeout`, a name that is not found `HostNotFound`, a proxy that refuses
///   `ConnectProxyFailed`. All others are `ureq::Error::Io`, whose inner error is a [`hangup::Error`](crate::Error).
///
/// ```no_run
/// let client = hangup::Client::default();
/// let agent = hangup::ureq::agent(&client, Default::default());
/// let body = agent.get("https://example.org/").call()?.body_mut().read_to_string()?;
/// println!("{}, {} connections", body.len(), client.manager().connections().len());
/// # Ok::<(), ureq::Error>(())
/// ```
pub fn agent(client: &Client, config: Config) -> ::ureq::Agent {
    ::ureq::Agent::with_parts(config, Connector::new(client), NoResolver::default())
}
