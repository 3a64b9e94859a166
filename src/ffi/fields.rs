//! Header fields as C wants them: names and values that end with NUL. Headers, trailers and those of interim responses
//! are lists of this one type.

use std::ffi::{CString, c_char};

use super::guard::write_str;
use crate::error::Error;
use crate::vocabulary::Kind;

/// Fields in the order of their arrival. Threads: immutable.
#[derive(Debug)]
pub(super) struct FieldTexts(Vec<(CString, CString)>);

impl FieldTexts {
    pub(super) fn of<V: AsRef<[u8]>>(fields: impl Iterator<Item = (impl AsRef<str>, V)>) -> Self {
        // The parser refuses NUL in a field, so nothing is lost here.
        let c = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
        Self(fields.map(|(n, v)| (c(n.as_ref().as_bytes()), c(v.as_ref()))).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Value number `index` of those with that name, in any case; NULL if there is none.
    ///
    /// # Safety
    /// `size` is NULL or a place for one `size_t`.
    pub(super) unsafe fn value(&self, name: &str, index: usize, size: *mut usize) -> *const c_char {
        let is_it = |known: &CString| known.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        let found = self.0.iter().filter(|(known, _)| is_it(known)).nth(index);
        // SAFETY: as for the caller.
        found.map_or(std::ptr::null(), |(_, value)| unsafe { write_str(value, size) })
    }

    /// Writes the name and the value of field number `index`.
    ///
    /// # Safety
    /// Each place is NULL or a place for one value of its type.
    pub(super) unsafe fn write(
        &self,
        what: &str,
        index: usize,
        name: *mut *const c_char,
        value: *mut *const c_char,
        size: *mut usize,
    ) -> Result<(), Error> {
        let (n, v) = self.0.get(index).ok_or_else(|| {
            Error::new(Kind::InvalidArgument, format!("{what} {index} of {}", self.0.len()))
        })?;
        // SAFETY: as for the caller.
        unsafe {
            if let Some(name) = name.as_mut() {
                *name = n.as_ptr();
            }
            let v = write_str(v, size);
            if let Some(value) = value.as_mut() {
                *value = v;
            }
        }
        Ok(())
    }
}
