//! The caller's functions, called from here. What unwinds out of one, a C++ exception mostly, ends here and
//! becomes an error of the exchange.
//!
//! Rust itself can't catch what another language throws: its `catch_unwind` ends the process
//! ("Rust cannot catch foreign exceptions"). So the call goes through a frame of our own, written in assembly, whose
//! personality routine says to the unwinder that it has a handler (Itanium C++ ABI, "Exception Handling", level I).
//! Where that is not written yet the call is a plain one.

use std::ffi::c_void;

/// The function did not return: something was thrown out of it. It is dropped already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thrown;

/// Calls `function`, which is to do nothing but call the caller's. A panic of Rust goes on as it is, and so do a
/// pthread_exit(3) and a pthread_cancel(3), which nothing may stop.
pub(super) fn call<T>(function: impl FnOnce() -> T) -> Result<T, Thrown> {
    struct Work<F, T> {
        function: Option<F>,
        answer: Result<T, Thrown>,
    }
    unsafe extern "C-unwind" fn run<F: FnOnce() -> T, T>(work: *mut c_void) {
        // SAFETY: `call` gives its own, and waits.
        let work = unsafe { &mut *work.cast::<Work<F, T>>() };
        if let Some(function) = work.function.take() {
            work.answer = Ok(function());
        }
    }
    fn runner<F: FnOnce() -> T, T>(_: &Work<F, T>) -> unsafe extern "C-unwind" fn(*mut c_void) {
        run::<F, T>
    }
    let mut work = Work { function: Some(function), answer: Err(Thrown) };
    let run = runner(&work);
    // SAFETY: `run` gets what it is made for, which outlives the call.
    unsafe { catch::catch(run, (&raw mut work).cast()) };
    work.answer
}

/// cbindgen:ignore
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod catch {
    use std::ffi::{CStr, c_char, c_int, c_void};
    use std::mem::MaybeUninit;

    /// Calls `run` with `work`; what is thrown out of it is dropped.
    ///
    /// # Safety
    /// As for `run`.
    pub(super) unsafe fn catch(run: unsafe extern "C-unwind" fn(*mut c_void), work: *mut c_void) {
        // SAFETY: as for the caller.
        let thrown = unsafe { hangup_catch(run, work) };
        if !thrown.is_null() {
            // SAFETY: it was thrown, and ended here.
            unsafe { drop_exception(thrown) };
        }
    }

    /// The head of what is thrown, in any language (Itanium C++ ABI, section 1.2).
    #[repr(C)]
    struct Exception {
        class: u64,
        cleanup: *const c_void,
    }

    unsafe extern "C-unwind" {
        /// Calls `run` with `work`. Returns NULL, or what was thrown out of it.
        fn hangup_catch(
            run: unsafe extern "C-unwind" fn(*mut c_void),
            work: *mut c_void,
        ) -> *mut Exception;
    }

    unsafe extern "C" {
        // The unwinder's: libgcc_s or libunwind, which the standard library links.
        fn _Unwind_SetGR(context: *mut c_void, register: c_int, value: usize);
        fn _Unwind_SetIP(context: *mut c_void, address: usize);
        fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> usize;
        fn _Unwind_DeleteException(exception: *mut Exception);
    }

    // Both have one call, and behind it the place where either way goes on: with 0 in the register of the answer, or
    // with what the personality routine put there. Its address stands where a compiler has its tables (.cfi_lsda).
    // The unwinder has restored the registers that a callee must keep, the stack pointer included.
    #[cfg(target_arch = "x86_64")]
    std::arch::global_asm!(
        ".pushsection .data.rel.ro.hangup_catch, \"aw\", %progbits",
        ".p2align 3",
        ".Lhangup_catch_personality: .quad {personality}",
        ".popsection",
        ".pushsection .text.hangup_catch, \"ax\", %progbits",
        ".p2align 4",
        ".globl hangup_catch",
        ".hidden hangup_catch",
        ".type hangup_catch, %function",
        "hangup_catch:",
        ".cfi_startproc",
        ".cfi_personality 0x9b, .Lhangup_catch_personality",
        ".cfi_lsda 0x1b, .Lhangup_catch_landing",
        "endbr64",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        ".Lhangup_catch_landing:",
        "endbr64",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        ".size hangup_catch, . - hangup_catch",
        ".popsection",
        personality = sym personality,
    );

    #[cfg(target_arch = "aarch64")]
    std::arch::global_asm!(
        ".pushsection .data.rel.ro.hangup_catch, \"aw\", %progbits",
        ".p2align 3",
        ".Lhangup_catch_personality: .xword {personality}",
        ".popsection",
        ".pushsection .text.hangup_catch, \"ax\", %progbits",
        ".p2align 2",
        ".globl hangup_catch",
        ".hidden hangup_catch",
        ".type hangup_catch, %function",
        "hangup_catch:",
        ".cfi_startproc",
        ".cfi_personality 0x9b, .Lhangup_catch_personality",
        ".cfi_lsda 0x1b, .Lhangup_catch_landing",
        "hint #34", // bti c
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        "mov x8, x0",
        "mov x0, x1",
        "blr x8",
        "mov x0, #0",
        ".Lhangup_catch_landing:",
        "hint #36", // bti j
        "ldp x29, x30, [sp], #16",
        ".cfi_restore x29",
        ".cfi_restore x30",
        ".cfi_def_cfa_offset 0",
        "ret",
        ".cfi_endproc",
        ".size hangup_catch, . - hangup_catch",
        ".popsection",
        personality = sym personality,
    );

    /// What the unwinder asks about the frame of `hangup_catch`: first whether it has a handler, then to prepare it.
    unsafe extern "C" fn personality(
        _version: c_int,
        actions: c_int,
        class: u64,
        exception: *mut Exception,
        context: *mut c_void,
    ) -> c_int {
        if actions & FORCE_UNWIND != 0 || RUST.contains(&class) {
            return CONTINUE_UNWIND;
        }
        if actions & SEARCH_PHASE != 0 {
            return HANDLER_FOUND;
        }
        if actions & HANDLER_FRAME == 0 {
            return CONTINUE_UNWIND;
        }
        // SAFETY: the unwinder's own context, in the phase that changes it. Register 0 of DWARF is rax and x0.
        unsafe {
            _Unwind_SetGR(context, 0, exception.expose_provenance());
            _Unwind_SetIP(context, _Unwind_GetLanguageSpecificData(context));
        }
        INSTALL_CONTEXT
    }

    /// # Safety
    /// Caught on this thread, which alone uses it.
    unsafe fn drop_exception(exception: *mut Exception) {
        // SAFETY: every exception begins with these two.
        let (class, cleanup) = unsafe { ((*exception).class, (*exception).cleanup) };
        // C++ counts its exceptions that nothing has caught yet (std::uncaught_exceptions), so it has to hear of it.
        if class & !0xff == GNU_CPP || class & !0xff == CLANG_CPP {
            let runtime = Runtime::of(cleanup);
            let begin = runtime.find(c"__cxa_begin_catch");
            let end = runtime.find(c"__cxa_end_catch");
            if !begin.is_null() && !end.is_null() {
                // SAFETY: the functions of the C++ ABI with these names (Itanium C++ ABI, section 2.5.3).
                unsafe {
                    let begin: unsafe extern "C" fn(*mut Exception) -> *mut c_void =
                        std::mem::transmute(begin);
                    let end: unsafe extern "C" fn() = std::mem::transmute(end);
                    begin(exception);
                    end();
                }
                return;
            }
        }
        // SAFETY: as for the caller.
        unsafe { _Unwind_DeleteException(exception) };
    }

    /// The C++ library that threw: a process can have several, and none of them need be visible to all.
    struct Runtime(*mut c_void);

    impl Runtime {
        fn of(function: *const c_void) -> Self {
            let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
            // SAFETY: dladdr(3) takes any address, and fills the structure or returns 0; dlopen(3) with RTLD_NOLOAD
            // only looks, and the name is that of an object that is loaded.
            unsafe {
                if libc::dladdr(function, found.as_mut_ptr()) == 0 {
                    return Self(std::ptr::null_mut());
                }
                let name: *const c_char = found.assume_init().dli_fname;
                Self(libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD))
            }
        }

        fn find(&self, name: &CStr) -> *mut c_void {
            // RTLD_DEFAULT is NULL: what everybody sees, where the program itself has the library in it.
            // SAFETY: an open handle or that, and a C string.
            unsafe { libc::dlsym(self.0, name.as_ptr()) }
        }
    }

    impl Drop for Runtime {
        fn drop(&mut self) {
            if !self.0.is_null() {
                // SAFETY: opened above. The library stays: it was there before.
                unsafe { libc::dlclose(self.0) };
            }
        }
    }

    // _Unwind_Action and _Unwind_Reason_Code (Itanium C++ ABI, sections 1.3 and 1.5.2).
    const SEARCH_PHASE: c_int = 1;
    const HANDLER_FRAME: c_int = 4;
    const FORCE_UNWIND: c_int = 8;
    const HANDLER_FOUND: c_int = 6;
    const INSTALL_CONTEXT: c_int = 7;
    const CONTINUE_UNWIND: c_int = 8;
    // The origin: four letters of the vendor, and four of the language, of which C++ uses the last byte.
    // Rust has changed the order of its letters once.
    const RUST: [u64; 2] = [u64::from_be_bytes(*b"MOZ\0RUST"), u64::from_le_bytes(*b"MOZ\0RUST")];
    const GNU_CPP: u64 = u64::from_be_bytes(*b"GNUCC++\0");
    const CLANG_CPP: u64 = u64::from_be_bytes(*b"CLNGC++\0");
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod catch {
    use std::ffi::c_void;

    /// # Safety
    /// As for `run`.
    pub(super) unsafe fn catch(run: unsafe extern "C-unwind" fn(*mut c_void), work: *mut c_void) {
        // SAFETY: as for the caller.
        unsafe { run(work) };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_a_function_answers_comes_back() {
        let text = String::from("kept");
        assert_eq!(call(|| text), Ok("kept".to_owned()));
    }

    #[test]
    fn a_panic_goes_on() {
        let dropped = std::sync::Arc::new(());
        let held = std::sync::Arc::clone(&dropped);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            call(move || {
                let _held = held;
                panic!("on purpose");
            })
        }));
        assert!(panic.is_err());
        assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    }
}
