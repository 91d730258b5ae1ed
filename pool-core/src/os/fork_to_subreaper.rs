//! Forks a child whose parent is not this process but the nearest subreaper above it.
//!
//! Invariant: this process keeps no child, and is copied once. A helper process forks the child; it
//! shares this process's memory, as the helper of `posix_spawn` does, and ends at once, so that the
//! kernel hands its child on. The child lives only if the helper has told its process id, so the
//! subreaper is told of every child. `CLONE_PARENT` would need no helper, but only the C library's
//! own `fork` tells the C library and its `pthread_atfork` handlers of the copy.

use std::{
    arch::asm,
    convert::Infallible,
    io,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, pthread_sigmask},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// What the helper is to do, and its answer.
struct ForkRequest<F> {
    life: ManuallyDrop<F>,
    helper: libc::pid_t,
    /// The child's process id, or an error number below 0; 0 until the helper has written it.
    child: SharedWord,
}

/// Exit code of a process whose helper was killed.
const HELPER_KILLED: libc::c_int = 106;

/// Forks this process; the child, whose parent is the nearest subreaper above this process, only
/// runs `life`. It begins with all signals blocked. If the helper is killed, this process ends.
///
/// # Errors
///
/// The error of `fork`.
///
/// # Safety
///
/// This process has one thread.
pub(crate) unsafe fn fork_adopted<F: FnOnce() -> Infallible>(life: F) -> io::Result<Pid> {
    let child = SharedWord::new()?;
    let mut request = ForkRequest { life: ManuallyDrop::new(life), helper: 0, child };
    // A signal handler must not run in the helper, on the memory of this process.
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    // SAFETY: this process has one thread, which waits until the helper has ended; `request`
    // outlives the helper.
    let helper = unsafe { call_in_helper(run_helper::<F>, (&raw mut request).cast()) };
    if helper > 0 {
        // Any answer but EINTR will do: the kernel lets this process go on, so the helper is over.
        let helper = Pid::from_raw(helper);
        while waitpid(helper, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
        if request.child.get() == 0 {
            // The helper was killed, maybe within `fork` while it held locks of the C library, and
            // these are this process's, too. SAFETY: ends the process without running any handler.
            unsafe { libc::_exit(HELPER_KILLED) }
        }
    }
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    // SAFETY: it is not used after this; the child has a copy of its own.
    unsafe { ManuallyDrop::drop(&mut request.life) };
    match (helper, request.child.get()) {
        (1.., child @ 1..) => Ok(Pid::from_raw(child)),
        (1.., error) | (error, _) => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// What a helper runs: it forks the child. The child returns here, too.
extern "C" fn run_helper<F: FnOnce() -> Infallible>(request: *mut ()) -> ! {
    let request = request.cast::<ForkRequest<F>>();
    // SAFETY: the request outlives the helper, and only the helper uses it until it ends; the child
    // has a copy of it. `fork` is the C library's own, in a process of one thread; `_exit` runs no
    // handlers.
    unsafe {
        (*request).helper = libc::getpid();
        match libc::fork() {
            0 => {
                // The kernel hands this process on when the helper ends, which it does at once.
                while libc::getppid() == (*request).helper {
                    libc::sched_yield();
                }
                // If the helper was killed before it could tell, no process knows this child.
                if (*request).child.get() != libc::getpid() {
                    libc::_exit(0);
                }
                (*request).child.unmap();
                let life = ManuallyDrop::take(&mut (*request).life);
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
            }
            child if child > 0 => (*request).child.set(child),
            _ => (*request).child.set(-Errno::last_raw()),
        }
        libc::_exit(0)
    }
}

/// A word that a process shares with the processes that it forks.
struct SharedWord(NonNull<AtomicI32>);

impl SharedWord {
    fn new() -> io::Result<Self> {
        let (len, flags) = (size_of::<AtomicI32>(), libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let word = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        if word == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(word.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn word(&self) -> &AtomicI32 {
        // SAFETY: mapped until this value is dropped or unmapped, zeroed at first, and only
        // accessed as an atomic.
        unsafe { self.0.as_ref() }
    }

    fn get(&self) -> i32 {
        self.word().load(Ordering::SeqCst)
    }

    fn set(&self, value: i32) {
        self.word().store(value, Ordering::SeqCst);
    }

    /// # Safety
    ///
    /// The value is neither used nor dropped any more.
    unsafe fn unmap(&self) {
        // SAFETY: the mapping that `new` made, to which nothing refers (promised by the caller).
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}

impl Drop for SharedWord {
    fn drop(&mut self) {
        // SAFETY: this is the last use.
        unsafe { self.unmap() };
    }
}

/// Calls `function` in a fresh process that shares this one's memory, on this very stack, and waits
/// for its end: its process id, or an error number below 0.
///
/// # Safety
///
/// This process has one thread. `function` is sound with `argument` in a process of one thread that
/// has this one's memory, and changes nothing there that this process relies on.
unsafe fn call_in_helper(function: extern "C" fn(*mut ()) -> !, argument: *mut ()) -> libc::pid_t {
    const FLAGS: libc::c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let answer: isize;
    // SAFETY: the kernel lets this process go on only when the helper is over. The helper's frames
    // lie below those of this process, and the compiler does not see them: the helper never leaves
    // the assembly. All registers that the call may change are named.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            in("r12") argument,
            in("r13") function,
            inlateout("rax") libc::SYS_clone as isize => answer,
            in("rdi") FLAGS as isize,
            in("rsi") 0usize,
            in("rdx") 0usize,
            in("r10") 0usize,
            in("r8") 0usize,
            clobber_abi("C"),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x20") argument,
            in("x21") function,
            in("x8") libc::SYS_clone as isize,
            inlateout("x0") FLAGS as isize => answer,
            in("x1") 0usize,
            in("x2") 0usize,
            in("x3") 0usize,
            in("x4") 0usize,
            clobber_abi("C"),
        );
    }
    answer as libc::pid_t
}
