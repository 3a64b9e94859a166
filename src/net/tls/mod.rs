//! TLS: its settings, the rustls configuration made from them, what is accepted as a certificate, and why it failed.

mod context;
mod failure;
mod foreign_format;
mod identity;
mod key_log;
mod pin;
mod provider;
mod roots;
mod settings;
mod verifier;

pub use context::Tls;
pub(crate) use failure::explain;
#[cfg(test)]
pub(crate) use roots::Roots;
#[cfg(test)]
pub(crate) use settings::Settings;
