//! What a client does around one exchange: redirects, retries and cookies.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod auth;
mod cookies;
mod redirects;
mod retry;
