//! Coroutines with a stack of their own, and the stacks: the one place that names corosensei. On a target
//! without coroutines a stand-in with the same names is compiled, which is never used
//! ([`AVAILABLE`](real::AVAILABLE)).

#![allow(unsafe_code)] // Switching stacks.

#[cfg(all(unix, any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod real {
    use std::mem::ManuallyDrop;

    pub(in crate::runtime) use corosensei::stack::DefaultStack as Stack;
    use corosensei::stack::Stack as _;
    use corosensei::{Coroutine, CoroutineResult, Yielder};

    use crate::runtime::sys;

    /// Whether there are coroutines on this target.
    pub(in crate::runtime) const AVAILABLE: bool = true;

    /// A coroutine. It is never dropped before its end: workers may borrow from its stack.
    pub(in crate::runtime) struct Stackful {
        coroutine: ManuallyDrop<Coroutine<(), (), ()>>,
        /// Where its stack begins; it grows downwards.
        base: usize,
    }

    /// Its way out, and where its stack ends.
    #[derive(Clone, Copy)]
    pub(in crate::runtime) struct Suspender(*const Yielder<(), ()>, usize);

    impl Stackful {
        /// `run` begins at the first [`resume`](Self::resume).
        pub(in crate::runtime) fn new(stack: Stack, run: impl FnOnce(Suspender) + 'static) -> Self {
            let (base, limit) = (stack.base().get(), stack.limit().get());
            let run = move |out: &Yielder<(), ()>, ()| run(Suspender(out, limit));
            Self { coroutine: ManuallyDrop::new(Coroutine::with_stack(stack, run)), base }
        }

        /// Fetches the top of its stack into the cache, while another coroutine runs: this one runs next. With a
        /// thousand in flight it is in no cache any more. `benches/inflight.c` measures it: the rows of 1,000 in
        /// flight in `benches/README.md`.
        pub(in crate::runtime) fn prefetch(&self) {
            for line in (self.base - HOT..self.base).step_by(LINE) {
                fetch(std::ptr::with_exposed_provenance(line));
            }
        }

        /// Goes on with it until it suspends. Returns `true` if it came to its end.
        pub(in crate::runtime) fn resume(&mut self) -> bool {
            matches!(self.coroutine.resume(()), CoroutineResult::Return(()))
        }

        /// The stack of one that came to its end.
        pub(in crate::runtime) fn into_stack(self) -> Stack {
            ManuallyDrop::into_inner(self.coroutine).into_stack()
        }
    }

    impl Suspender {
        /// # Safety
        /// Called on the stack of the coroutine that it was given to.
        pub(in crate::runtime) unsafe fn suspend(self) {
            // SAFETY: the yielder lives as long as the coroutine runs, which is us.
            unsafe { (*self.0).suspend(()) };
        }

        /// # Safety
        /// As for [`suspend`](Self::suspend), and it does not suspend.
        pub(in crate::runtime) unsafe fn on_thread_stack<T>(self, call: impl FnOnce() -> T) -> T {
            /// corosensei asks for `Send` because it can't know that the call stays on this thread.
            struct Here<T>(T);
            // SAFETY: made, used and dropped by this thread, in the call below.
            unsafe impl<T> Send for Here<T> {}
            impl<T, F: FnOnce() -> T> Here<F> {
                fn made(self) -> Here<T> {
                    Here(self.0())
                }
            }
            let call = Here(call);
            // SAFETY: as above.
            unsafe { (*self.0).on_parent_stack(move || call.made()) }.0
        }
    }

    #[cfg(test)]
    impl Suspender {
        pub(in crate::runtime) fn limit(self) -> usize {
            self.1
        }
    }

    impl Suspender {
        /// Gives the memory below what is in use back to the system. What deep calls touched (a TLS handshake
        /// 126 KiB in a debug build) would otherwise stay for as long as the request is in flight: the rows of
        /// memory in flight in `benches/README.md` (`inflight_memory.c`) are with it.
        ///
        /// # Safety
        /// As for [`suspend`](Self::suspend).
        pub(in crate::runtime) unsafe fn trim(self) {
            let page = sys::page_size();
            let here = 0u8;
            // One page is left for the frame of the call below.
            let end = ((&raw const here).addr() & !(page - 1)).saturating_sub(page);
            // The lowest page is the guard page.
            let begin = self.1 + page;
            if page > 0 && end > begin {
                // SAFETY: pages of this coroutine's own stack on which no frame lies: it grows
                // downwards, and we are above them.
                unsafe { sys::discard_pages(begin, end) };
            }
        }
    }

    /// A stack: address space, of which only what is touched takes memory. Below it lies a guard page: too deep
    /// a call ends the process and does not overwrite other data.
    pub(in crate::runtime) fn stack() -> std::io::Result<Stack> {
        Stack::new(SIZE)
    }

    /// Fetches a line into the cache, on processors with such an instruction in std.
    fn fetch(line: *const i8) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }

    /// How much of its stack an exchange uses between two waits.
    const HOT: usize = 4096;
    const LINE: usize = 64;
    /// A TLS handshake needs 126 KiB in a debug build.
    const SIZE: usize = 256 * 1024;
}

#[cfg(not(all(
    unix,
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
)))]
mod real {
    pub(in crate::runtime) const AVAILABLE: bool = false;
    pub(in crate::runtime) struct Stack;
    pub(in crate::runtime) struct Stackful;
    #[derive(Clone, Copy)]
    pub(in crate::runtime) struct Suspender;

    impl Stackful {
        pub(in crate::runtime) fn new(_: Stack, _: impl FnOnce(Suspender) + 'static) -> Self {
            Self
        }

        pub(in crate::runtime) fn resume(&mut self) -> bool {
            true
        }

        pub(in crate::runtime) fn prefetch(&self) {}

        pub(in crate::runtime) fn into_stack(self) -> Stack {
            Stack
        }
    }

    impl Suspender {
        #[cfg(test)]
        pub(in crate::runtime) fn limit(self) -> usize {
            0
        }

        pub(in crate::runtime) unsafe fn suspend(self) {}

        pub(in crate::runtime) unsafe fn trim(self) {}

        pub(in crate::runtime) unsafe fn on_thread_stack<T>(self, call: impl FnOnce() -> T) -> T {
            call()
        }
    }

    pub(in crate::runtime) fn stack() -> std::io::Result<Stack> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Whether threads do the work that coroutines would: there are none, or the environment says so.
pub(super) fn are_off() -> bool {
    !AVAILABLE || std::env::var_os("HANGUP_ENGINE").is_some_and(|form| form == "threads")
}

use real::AVAILABLE;
pub(super) use real::{Stack, Stackful, Suspender, stack};

/// Stacks that were used before: making one takes two system calls, and its first pages more.
#[derive(Default)]
pub(super) struct Stacks {
    spare: Vec<Stack>,
    /// The fewest spare ones since the last [`trim`](Self::trim), which were not needed.
    fewest: usize,
}

impl Stacks {
    pub(super) fn take(&mut self) -> std::io::Result<Stack> {
        let spare = self.spare.pop();
        self.fewest = self.fewest.min(self.spare.len());
        spare.map_or_else(stack, Ok)
    }

    pub(super) fn keep(&mut self, stack: Stack) {
        self.spare.push(stack);
    }

    /// Frees those that were not needed since the last call, but for a few.
    pub(super) fn trim(&mut self) {
        let unneeded = self.fewest.min(self.spare.len().saturating_sub(MIN_SPARE));
        self.spare.truncate(self.spare.len() - unneeded);
        self.fewest = self.spare.len();
    }

    pub(super) fn has_many(&self) -> bool {
        self.spare.len() > MIN_SPARE
    }
}

/// How many stay for the next jobs.
const MIN_SPARE: usize = 16;
