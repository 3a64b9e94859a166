//! The library's own version, and what it was built with.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use super::guard::{query, text};
use crate::features::features;

/// The version as one number: major * 1000000 + minor * 1000 + patch. It grows with each version.
///
/// Compare it with HANGUP_VERSION, the version of the header that a program was compiled with. A library may be newer than
/// the header, never older.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_version() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The version as text, for example "0.1.0". Static; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_version_text() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What the library was built with, as names separated by spaces, in alphabetical order, for example "deflate gzip http1".
/// Static; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_features() -> *const c_char {
    static NAMES: OnceLock<CString> = OnceLock::new();
    NAMES.get_or_init(|| CString::new(features().join(" ")).unwrap_or_default()).as_ptr()
}

/// 1 if the library was built with the feature of that name, else 0; the names are those of hangup_features. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_has_feature(name: *const c_char) -> i32 {
    query(0, || {
        let name = unsafe { text(name, "name")? };
        Ok(i32::from(features().contains(&name)))
    })
}
