//! One request and its response over one lease. [`h1`] speaks HTTP/1.1, with ureq's engine.
//!
//! [`run`] takes an [`exchange`] from its message to the head of the response; the [body](response_body)
//! follows, [decoded](decode) if that is wanted. Only [`failure`] decides why an exchange failed.

mod acknowledged;
pub(crate) mod codings;
pub(crate) mod decode;
mod drain;
pub(crate) mod exchange;
mod failure;
pub(crate) mod h1;
pub(crate) mod handover;
mod pause;
mod rate;
pub(crate) mod request_body;
pub(crate) mod request_head;
pub(crate) mod response_body;
mod run;
pub(crate) mod sent_file;

mod timing;
pub(crate) mod upgraded;

#[cfg(feature = "ureq")]
pub(crate) use failure::close_reason;
pub(crate) use run::run;
