//! `fail_nth.c` from Rust: compiled and preloaded into a child, found there with dlsym(3).

use std::ffi::{CStr, c_char, c_int, c_long};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The functions of the preloaded library. Threads: one at a time arms, any thread may call what fails.
pub struct Shim {
    functions: extern "C" fn() -> c_int,
    name: extern "C" fn(c_int) -> *const c_char,
    error: extern "C" fn(c_int, c_int) -> c_int,
    spare: extern "C" fn(bool),
    arm: extern "C" fn(c_int, c_long, c_int, bool),
    hook: extern "C" fn(c_long, Option<extern "C" fn()>),
    disarm: extern "C" fn(),
    calls: extern "C" fn(c_int) -> c_long,
}

impl Shim {
    /// Compiles it, once; the path is for `LD_PRELOAD`.
    pub fn build() -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/fail_nth.c");
        let thread = std::thread::current().id();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = dir.join("fail_nth.so");
        // Compiled under another name and renamed, so that a test on another thread never loads a part of it.
        let draft = dir.join(format!("fail_nth-{}-{thread:?}.so", std::process::id()));
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o"]);
        let output = compiler.arg(&draft).arg(source).arg("-ldl").output();
        let output = output.expect("a C compiler (apt-get install gcc)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(&draft, &library).expect("the library moves");
        library
    }

    /// Finds the library that was preloaded into this process.
    pub fn loaded() -> Self {
        // SAFETY: each name is that of a function in fail_nth.c with the type of its field.
        unsafe {
            Self {
                functions: function(c"fail_nth_functions"),
                name: function(c"fail_nth_name"),
                error: function(c"fail_nth_error"),
                spare: function(c"fail_nth_spare"),
                arm: function(c"fail_nth_arm"),
                hook: function(c"fail_nth_hook"),
                disarm: function(c"fail_nth_disarm"),
                calls: function(c"fail_nth_calls"),
            }
        }
    }

    /// The numbers of all functions.
    pub fn functions(&self) -> std::ops::Range<i32> {
        0..(self.functions)()
    }

    /// The name of a function.
    pub fn name(&self, function: i32) -> &'static str {
        // SAFETY: a text that lives as long as the library, for a number of `functions`.
        unsafe { CStr::from_ptr((self.name)(function)) }.to_str().expect("a name in ASCII")
    }

    /// The errors with which a function may fail.
    pub fn errors(&self, function: i32) -> Vec<i32> {
        (0..).map(|place| (self.error)(function, place)).take_while(|error| *error != 0).collect()
    }

    /// The calling thread's calls never fail and are not counted.
    pub fn spare_this_thread(&self) {
        (self.spare)(true);
    }

    /// From now on the `nth` call of a function fails, or that and all later ones.
    pub fn arm(&self, function: i32, nth: i64, error: i32, for_good: bool) {
        (self.arm)(function, nth, error, for_good);
    }

    /// From now on `hook` is called before the `nth` call of any function.
    pub fn hook(&self, nth: i64, hook: extern "C" fn()) {
        (self.hook)(nth, Some(hook));
    }

    /// Counts only.
    pub fn count(&self) {
        (self.hook)(0, None);
    }

    /// Ends the counting, the failures and the hook.
    pub fn disarm(&self) {
        (self.disarm)();
    }

    /// How often a function was called since counting began.
    pub fn calls(&self, function: i32) -> i64 {
        (self.calls)(function)
    }

    /// How often any function was called since counting began.
    pub fn all_calls(&self) -> i64 {
        (self.calls)((self.functions)())
    }
}

/// # Safety
/// `F` is the type of the function with this name.
unsafe fn function<F: Copy>(name: &CStr) -> F {
    // SAFETY: a C string; the search has no other argument.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is missing: fail_nth.so is not preloaded");
    assert_eq!(size_of::<F>(), size_of_val(&found));
    // SAFETY: of the same size, and the caller says that it is of this type.
    unsafe { std::mem::transmute_copy(&found) }
}

/// An injected error, as text. `SHORT` in fail_nth.c is no error number.
pub fn error_text(error: i32) -> String {
    match error {
        -1000 => "a short count".to_owned(),
        // The errors of getaddrinfo(3) have numbers of their own.
        ..0 => format!("EAI {error}"),
        _ => std::io::Error::from_raw_os_error(error).to_string(),
    }
}
