//! The result of a submitted read, on its way back to its response: the open body, and what was read.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::http::decode::Content;
use crate::vocabulary::{Kind, Phase};

/// What a submitted read returns: the content that it took from the body, and what it read. Threads: a value.
pub(crate) struct Piece {
    /// `None` if the read never ran or panicked; its connection is closed then.
    content: Option<Content>,
    outcome: Result<Vec<u8>, Error>,
}

impl Piece {
    pub(super) fn new(content: Content, outcome: Result<Vec<u8>, Error>) -> Self {
        Self { content: Some(content), outcome }
    }

    pub(super) fn lost(error: Error) -> Self {
        Self { content: None, outcome: Err(error) }
    }

    pub(super) fn into_parts(self) -> (Option<Content>, Result<Vec<u8>, Error>) {
        (self.content, self.outcome)
    }

    /// The error of a read whose response was closed before its outcome was taken. Closes the connection.
    pub(crate) fn closed_error(self) -> Error {
        let Self { content, outcome } = self;
        let info =
            content.map(|content| (content.body().info(), Arc::clone(content.body().shared())));
        match (outcome, info) {
            // It failed before the close, or because of it.
            (Err(error), _) => error,
            (Ok(_), info) => {
                let error = Error::new(Kind::Closed, "the response was closed (phase: read)");
                let error = error.in_phase(Phase::Read);
                match info {
                    Some((info, exchange)) => {
                        exchange.describe(error).on_connection(info.connection, info.reused)
                    }
                    None => error,
                }
            }
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").finish_non_exhaustive()
    }
}
