//! A proxy on the way to an origin.

/// Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proxy;
