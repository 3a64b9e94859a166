//! The cancel token of the calls that a thread makes: ureq has no place for one.

use std::cell::RefCell;

use crate::cancel::CancelToken;

/// Makes calls of an agent that can be cancelled: connections that are used for the first time inside `call`, on this
/// thread, end when the token fires, the rest of the response's body included. They fail with an error of
/// [`Kind::Cancelled`](crate::Kind::Cancelled).
///
/// ```no_run
/// use hangup::CancelToken;
///
/// let agent = hangup::ureq::agent(&hangup::Client::default(), Default::default());
/// let token = CancelToken::new();
/// token.after(std::time::Duration::from_secs(5));
/// let response = hangup::ureq::with_cancel(&token, || agent.get("https://example.org/").call());
/// # drop(response);
/// # Ok::<(), hangup::Error>(())
/// ```
pub fn with_cancel<T>(token: &CancelToken, call: impl FnOnce() -> T) -> T {
    let _scope = Scope(TOKEN.replace(Some(token.clone())));
    call()
}

/// The token of the calls that this thread makes now.
pub(super) fn current_token() -> Option<CancelToken> {
    TOKEN.with_borrow(Clone::clone)
}

/// Restores the token of the calls around, also when a call panics.
struct Scope(Option<CancelToken>);

impl Drop for Scope {
    fn drop(&mut self) {
        TOKEN.set(self.0.take());
    }
}

thread_local! {
    static TOKEN: RefCell<Option<CancelToken>> = const { RefCell::new(None) };
}
