//! Names to addresses: a resolver for each manager, its cache, and hosts that are addresses already.

mod cache;
mod resolver;
mod system;

pub use resolver::Addresses;
pub(crate) use resolver::{Lookup, Resolver, Unresolved, parse_literal, without_brackets};
