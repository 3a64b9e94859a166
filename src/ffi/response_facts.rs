//! The facts of the connection of a `hangup_response`.

use super::enums::hangup_status;
use super::facts::{FactsTexts, certificate, hangup_connection_facts};
use super::guard::{Handle, out, status};
use super::response::{borrowed, hangup_response};

/// Fills what is known of the connection of the response; also after it was closed. `facts->size` is sizeof(*facts) or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_connection_facts(
    response: *const hangup_response,
    facts: *mut hangup_connection_facts,
) -> hangup_status {
    status(|| {
        let opened = unsafe { hangup_response::borrow(response)? };
        let known = opened.head().connection_facts();
        let texts = opened.rare().facts.get_or_init(|| FactsTexts::of(known));
        unsafe { texts.report(known, facts) }
    })
}

/// Certificate number `index` of those that the peer sent, in DER, the peer's own one first. Borrowed from the response. How
/// many there are is in hangup_connection_facts.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_certificate_at(
    response: *const hangup_response,
    index: usize,
    data: *mut *const u8,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let (data, size) = unsafe { (out(data)?, out(size)?) };
        let opened = unsafe { hangup_response::borrow(response)? };
        (*data, *size) = borrowed(certificate(opened.head().connection_facts(), index)?);
        Ok(())
    })
}
