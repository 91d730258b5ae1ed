//! The entry of a fresh copy of this executable, before `main`.
//!
//! Invariant: a process with a valid token never reaches its `main`; for a process without one,
//! this file does no more than look into the environment once. The parent calls `check_takeover`
//! before it starts a copy, so that it never starts a copy that would run `main`.

use std::{
    env, fmt, io,
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::errno::Errno;

#[cfg(all(feature = "takeover", target_env = "gnu"))]
use super::init_array::{Arguments, Initialiser, run_after};
use super::{
    image::{Image, identity, offset_of},
    origin::{Origin, origin_of},
    signals::{reset_signals, reset_signals_of_process},
    token::{HandshakeToken, Record, VARIABLE},
};
use crate::os::{
    FIRST_INHERITED, adopt_inherited, fill_output, has_ended, is_child_of, keep_only,
    out_of_the_way, sys,
};

/// Set as soon as this process is certain that a copy of it would be taken over: its hook or
/// [`crate::init`] has run. A token names the address of this `static`: since it is written to, it
/// shares that with no other.
static READY: AtomicBool = AtomicBool::new(false);

/// What a copy gets from the process that started it.
#[derive(Debug)]
pub(crate) struct StartArguments {
    pub(crate) role: u64,
    pub(crate) words: Vec<u64>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// The function that a fresh copy goes on with; it never returns.
pub(crate) type Role = fn(StartArguments) -> !;

/// Goes on as a copy if this process is one. Called by `init()`; does nothing if the hook has run.
pub(crate) fn enter_in_main(role: Role) {
    if !READY.swap(true, Ordering::Relaxed) && sys::in_environment(VARIABLE) {
        begin(|| {}, role);
    }
}

/// Goes on as a copy if this process is one. Called by the initialiser `hook` of the executable.
#[cfg(all(feature = "takeover", target_env = "gnu"))]
pub(crate) fn enter_in_initialiser(hook: *const Initialiser, arguments: Arguments, role: Role) {
    READY.store(true, Ordering::Relaxed);
    if sys::in_environment(VARIABLE) {
        begin(|| run_after(hook, arguments), role);
    }
}

/// Goes on as a copy if this process is one; otherwise returns.
fn begin(complete: impl FnOnce(), role: Role) {
    // No panic may unwind into the C library.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let arguments = match identify() {
            Identity::Copy(arguments) => arguments,
            Identity::Orphan => process::exit(0),
            Identity::Other => return,
        };
        complete();
        // No signal is blocked any more after this.
        if arguments.role == ROLE_PROCESS {
            reset_signals_of_process();
        } else {
            reset_signals();
        }
        role(arguments)
    }));
    if panicked.is_err() {
        process::exit(101);
    }
}

enum Identity {
    /// The process is a copy that its parent waits for.
    Copy(StartArguments),
    /// The process is a copy whose parent has ended meanwhile. Its `main` must not run either.
    Orphan,
    /// The process is any other program, whatever its environment says.
    Other,
}

fn identify() -> Identity {
    try_identify().unwrap_or(Identity::Other)
}

fn try_identify() -> Option<Identity> {
    if sys::auxiliary_value(libc::AT_SECURE) != 0 {
        return None;
    }
    let name = std::ffi::OsStr::from_bytes(VARIABLE.to_bytes());
    let token = HandshakeToken::parse(env::var_os(name)?.to_str()?)?;
    if Some(token.symbol_offset) != symbol_offset() {
        return None;
    }
    // The token names this library, so no other code reads it.
    // SAFETY: this is the first line of `main`, or earlier. Threads that initialisers may have
    // started in Rust read the environment under std's lock.
    unsafe { env::remove_var(name) };

    if !sys::is_open(token.record) {
        return None;
    }
    // SAFETY: it is open, as checked above, and is only read until its content proves its origin.
    let record_fd = unsafe { BorrowedFd::borrow_raw(token.record) };
    let record = Record::read(record_fd)?;
    let inherited = FIRST_INHERITED..FIRST_INHERITED.checked_add_unsigned(record.descriptors)?;
    let proven = record.nonce == token.nonce
        && record.identity == identity()
        && token.record == inherited.end
        && inherited.clone().all(sys::is_open);
    if !proven {
        return None;
    }
    if !is_child_of(record.starter) {
        // If the starter lives, this is a program that a real copy's initialisers have started.
        return has_ended(record.starter).then_some(Identity::Orphan);
    }

    // SAFETY: the nonce proves that the starter has put these descriptors here for this process, in
    // which no other code knows of them.
    let (fds, _) =
        unsafe { (adopt_inherited(record.descriptors), OwnedFd::from_raw_fd(token.record)) };
    if !record.closed {
        keep_only(&inherited.collect::<Vec<_>>());
    }
    fill_output();
    let kept = |fd| out_of_the_way(fd).expect("what is given lies above the standard descriptors");
    let fds = fds.into_iter().map(kept).collect();
    Some(Identity::Copy(StartArguments { role: record.role, words: record.words, fds }))
}

/// The offset in the image that a token for this version of the crate names.
pub(crate) fn symbol_offset() -> Option<u64> {
    offset_of(&raw const READY as usize)
}

/// Why a copy of this executable would not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Neither the hook nor [`init`](crate::init) has run in this process.
    NotInitialised,
    /// The program runs with more rights than its user (set-uid or the like), where tokens are
    /// ignored.
    Secure,
    /// This library is not part of the main executable.
    NotMainExecutable,
    /// The main executable is not the file that `/proc/self/exe` names, e.g. under
    /// `ld.so ./program`.
    ForeignImage,
    /// There is no `/proc`.
    NoProc,
    /// The system refused to show the main executable, so it may be any file.
    NotShown(Errno),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShown(errno) => {
                return write!(f, "the main executable was not shown: {errno}");
            }
            Self::NotInitialised => "`init()` was not called at the start of `main`",
            Self::Secure => "the program runs with more rights than its user",
            Self::NotMainExecutable => "this library is not part of the main executable",
            Self::ForeignImage => "the main executable is not what /proc/self/exe is",
            Self::NoProc => "/proc is not mounted",
        })
    }
}

impl std::error::Error for Refusal {}

/// Checks whether a copy of this executable would be taken over before its `main`. Cheap once the
/// check has passed.
///
/// # Errors
///
/// The first reason against it; reasons that no call of `init()` would remove come first.
pub(crate) fn check_takeover() -> Result<(), Refusal> {
    static PASSED: AtomicBool = AtomicBool::new(false);
    if PASSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let image =
        Image::main().filter(|_| symbol_offset().is_some()).ok_or(Refusal::NotMainExecutable)?;
    if sys::auxiliary_value(libc::AT_SECURE) != 0 {
        return Err(Refusal::Secure);
    }
    let not_shown =
        |error: io::Error| Refusal::NotShown(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    match origin_of(image.symbol()).map_err(not_shown)? {
        Origin::OwnExecutable => {}
        Origin::Foreign => return Err(Refusal::ForeignImage),
        Origin::Unknown => return Err(Refusal::NoProc),
    }
    if !READY.load(Ordering::Relaxed) {
        return Err(Refusal::NotInitialised);
    }
    PASSED.store(true, Ordering::Relaxed);
    Ok(())
}

/// The role of a fresh copy of the executable: a zygote with its guard.
pub(crate) const ROLE_ZYGOTE: u64 = 1;

pub(crate) const ROLE_WORKER: u64 = 2;

pub(crate) const ROLE_GUARDED_ZYGOTE: u64 = 3;

/// A process that runs one function.
pub(crate) const ROLE_PROCESS: u64 = 4;

/// The server that forks such processes.
pub(crate) const ROLE_PROCESS_SERVER: u64 = 5;
