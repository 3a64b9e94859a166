//! HTTP authentication without I/O: credentials, the challenges of servers and proxies, and the answers to them
//! (RFC 9110 section 11). It does not know requests, connections and redirects.

mod challenge;
mod credentials;
mod digest;
mod netrc;

pub use self::credentials::{Auth, TokenRequest};
pub(crate) use self::credentials::{Scheme, TokenSource, bearer_field};
pub(crate) use self::digest::{DigestCredentials, Learned, Sessions};
