//! The pool: every open connection, by id and by key, and the exchanges that wait for one.
//!
//! [`lock`] holds the pool and its mutex; [`state`] is what the mutex protects. The other files are
//! subjects: methods of the pool, and of its state, that belong together.

mod checkout;
mod closing;
mod deferred;
mod dials;
mod entry;
mod expiries;
mod expiry;
mod id_hasher;
mod idle;
mod limits;
mod lock;
mod lru;
mod network;
mod pauses;
mod report;
mod silence;
mod slot;
mod state;
mod subscribers;
mod sweep;
#[cfg(test)]
mod tests;
mod unanswered;
mod waiters;

pub(crate) use self::checkout::{Checkout, LeaseError};
pub(crate) use self::dials::Dialled;
pub(crate) use self::lock::Pool;
