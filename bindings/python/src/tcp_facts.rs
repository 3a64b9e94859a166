//! What TCP knows of a connection, as a tuple; Python names its fields.

use crate::failure::checked;
use crate::sys::*;

/// rtt_us, silence_ms, unacked_bytes, unsent_bytes, retransmissions, retransmissions_in_row, unanswered_probes; all of it is
/// -1 if there are none.
pub type Row = (i64, i64, i64, i64, i64, i32, i32);

/// Those of a connection in the list.
pub fn of_connection(i: &hangup_connection_info) -> Row {
    let bytes = (i.unacked_bytes, i.unsent_bytes);
    let (sent_again, in_row) = (i.retransmissions, i.retransmissions_in_row);
    (i.rtt_us, i.silence_ms, bytes.0, bytes.1, sent_again, in_row, i.unanswered_probes)
}

/// Those of an error; None if TCP was not asked.
///
/// # Safety
/// `error` is NULL or live.
pub unsafe fn of_error(error: *const hangup_error) -> Option<Row> {
    // SAFETY: every field is a number, for which zero is a value.
    let mut f: hangup_tcp_facts = unsafe { std::mem::zeroed() };
    f.size = size_of_val(&f);
    // SAFETY: NULL or a live error, and a structure with its size set.
    checked(unsafe { hangup_error_tcp_facts(error, &raw mut f) }).ok()?;
    let bytes = (f.unacked_bytes, f.unsent_bytes);
    let (sent_again, in_row) = (f.retransmissions, f.retransmissions_in_row);
    Some((f.rtt_us, f.silence_ms, bytes.0, bytes.1, sent_again, in_row, f.unanswered_probes))
}
