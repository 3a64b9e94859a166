//! Pages of memory: for the stacks of coroutines.

/// The size of a page in bytes; 0 if the system does not say.
pub(crate) fn page_size() -> usize {
    // SAFETY: no pointers; it asks for a constant (sysconf(3)).
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0)
}

/// Gives the memory of these pages back to the system (madvise(2), MADV_DONTNEED). They read as zeroes when
/// they are touched again.
///
/// # Safety
/// `begin` and `end` are page boundaries within one mapping of the caller's own, and nothing in between is
/// in use.
pub(crate) unsafe fn discard_pages(begin: usize, end: usize) {
    let start = std::ptr::without_provenance_mut(begin);
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(start, end - begin, libc::MADV_DONTNEED) };
}
