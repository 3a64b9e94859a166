//! Programs that are written with the package `ureq`, over the manager: what its documentation shows, its timeouts, errors
//! and settings; and what they gain: one pool with everything else, limits, the list, close and cancel.

#[path = "../support/mod.rs"]
mod support;

mod behaviours;
mod manager;
mod tls;

use std::sync::Arc;

use hangup::{Client, Limits, Manager};
use ureq::Agent;
use ureq::config::{Config, ConfigBuilder};
use ureq::typestate::AgentScope;

/// A client with a manager of its own, and an agent over it.
fn agent_of(config: Config) -> (Client, Agent) {
    let client = Client::new(Arc::new(Manager::new(Limits::default())));
    let agent = hangup::ureq::agent(&client, config);
    (client, agent)
}

fn agent() -> (Client, Agent) {
    agent_of(config().build())
}

/// A configuration without proxies of the environment.
fn config() -> ConfigBuilder<AgentScope> {
    Config::builder().proxy(None)
}

/// The error of the library inside one of ureq's.
fn inner(error: &ureq::Error) -> &hangup::Error {
    let ureq::Error::Io(error) = error else { panic!("{error:?}") };
    error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error:?}"))
}
