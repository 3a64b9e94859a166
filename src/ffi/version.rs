//! The library's own version.

use std::ffi::c_char;

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
