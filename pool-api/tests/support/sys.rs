//! The few system calls that tests need and std does not offer.

// SAFETY: as in libc's headers for Linux.
unsafe extern "C" {
    #[link_name = "kill"]
    safe fn libc_kill(pid: i32, signal: i32) -> i32;
    #[link_name = "raise"]
    safe fn libc_raise(signal: i32) -> i32;
    #[link_name = "signal"]
    fn libc_signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
    #[link_name = "fork"]
    fn libc_fork() -> i32;
    #[link_name = "prctl"]
    safe fn libc_prctl(option: i32, argument: u64) -> i32;
    #[link_name = "pthread_atfork"]
    safe fn libc_atfork(
        before: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> i32;
    #[link_name = "waitpid"]
    fn libc_waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    #[link_name = "setrlimit"]
    fn libc_setrlimit(resource: i32, limits: *const [u64; 2]) -> i32;
}

/// The signal's number on Linux.
pub(crate) const SIGKILL: i32 = 9;

/// The same of those that stop a process and let it go on.
#[allow(dead_code)]
pub(crate) const SIGSTOP: i32 = 19;
#[allow(dead_code)]
pub(crate) const SIGCONT: i32 = 18;

/// Sends a signal to a process.
#[allow(dead_code)]
pub(crate) fn kill(pid: u32, signal: i32) -> bool {
    pid > 1 && libc_kill(pid as i32, signal) == 0
}

/// Sends a signal to a process group.
#[allow(dead_code)]
pub(crate) fn kill_group(group: u32, signal: i32) -> bool {
    group > 1 && libc_kill(-(group as i32), signal) == 0
}

/// Sends a signal to the calling thread.
#[allow(dead_code)]
pub(crate) fn raise(signal: i32) {
    libc_raise(signal);
}

/// Runs `handler` whenever the signal comes.
#[allow(dead_code)]
pub(crate) fn on_signal(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: the callers' handlers do only what signal handlers may.
    assert_ne!(unsafe { libc_signal(signal, handler) }, usize::MAX);
}

/// Makes a copy of this process that goes on in the caller; what `fork` returns.
#[allow(dead_code)]
pub(crate) fn fork() -> i32 {
    // SAFETY: for tasks in worker processes, which have one thread.
    unsafe { libc_fork() }
}

/// Has the kernel not tell this process of its parent's death, as after a change of credentials.
#[allow(dead_code)]
pub(crate) fn forget_parent() {
    const PR_SET_PDEATHSIG: i32 = 1;
    assert_eq!(libc_prctl(PR_SET_PDEATHSIG, 0), 0);
}

/// Has `before` called in every process that is about to fork, and `behind` when it has.
#[allow(dead_code)]
pub(crate) fn around_forks(before: extern "C" fn(), behind: extern "C" fn()) {
    assert_eq!(libc_atfork(Some(before), Some(behind), None), 0);
}

/// Waits for a child; its status as `waitpid` gives it.
#[allow(dead_code)]
pub(crate) fn wait_for(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the status is a local of this function.
    assert_eq!(unsafe { libc_waitpid(child, &raw mut status, 0) }, child);
    status
}

/// Has cores of this process and of its children written, up to so many bytes; whether it may.
#[allow(dead_code)]
pub(crate) fn limit_core(bytes: u64) -> bool {
    const RLIMIT_CORE: i32 = 4;
    let limits = [bytes, bytes];
    // SAFETY: the limits are a local of this function.
    unsafe { libc_setrlimit(RLIMIT_CORE, &raw const limits) == 0 }
}
