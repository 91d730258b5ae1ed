//! Where a fresh copy of this executable wakes up, before `main`.
//!
//! Invariant: a process with a valid ticket never reaches its `main`; one without never notices this file, beyond
//! one look into its environment. The parent asks `check_takeover` before it starts a copy, so that a copy that
//! would run `main` is never started.

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

use super::{
    descriptors::{FIRST_GIVEN, adopt_given, fill_output, keep_only, out_of_the_way},
    image::{Image, identity, offset_of},
    kinship::{has_ended, is_child_of},
    origin::{Origin, origin_of},
    signals::reset_signals,
    sys,
    ticket::{Record, Ticket, VARIABLE},
};

/// Set as soon as this process is certain that a copy of it would be taken over: its hook or `init()` has run.
/// A `static` that is written has an address of its own, so it also is what a ticket names.
static READY: AtomicBool = AtomicBool::new(false);

/// What a copy is told.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) role: u64,
    pub(crate) words: Vec<u64>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Lets worker processes start, where the takeover before `main` is not used.
///
/// Call it as the first line of `main`, if this crate is built without its default feature `takeover`: the
/// program's executable is started again for the processes of a pool, and there this function does not return.
/// In all other processes, and beside the feature, it does nothing.
///
/// ```
/// # use pool_core as pool_api;
/// pool_api::init();
/// // the rest of `main`
/// ```
pub fn init() {
    if !READY.swap(true, Ordering::Relaxed) && sys::in_environment(VARIABLE) {
        begin(|| {});
    }
}

#[cfg(all(feature = "takeover", target_env = "gnu"))]
mod hook {
    use std::ffi::{c_char, c_int};

    use super::{Ordering, READY, VARIABLE, begin, sys};
    use crate::birth::initialisers::{Arguments, Initialiser, run_after};

    // The latest place in the order of initialisers that can be named; what is linked behind it is called from
    // here. std has stored the arguments in an earlier place.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static HOOK: Initialiser = hook;

    extern "C" fn hook(argc: c_int, argv: *const *const c_char, environment: *const *const c_char) {
        READY.store(true, Ordering::Relaxed);
        if sys::in_environment(VARIABLE) {
            begin(|| run_after(&raw const HOOK, Arguments { argc, argv, environment }));
        }
    }
}

/// The life of a copy, if this process is one; otherwise returns.
fn begin(complete: impl FnOnce()) {
    // Nothing may unwind into the C library.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let birth = match claim() {
            Claim::Copy(birth) => birth,
            Claim::Orphan => process::exit(0),
            Claim::Other => return,
        };
        complete();
        reset_signals();
        crate::birth_entry(birth)
    }));
    if panicked.is_err() {
        process::exit(101);
    }
}

enum Claim {
    /// A copy that its parent waits for.
    Copy(Birth),
    /// A copy whose parent has ended meanwhile. Its `main` must not run all the same.
    Orphan,
    /// Any other program, whatever its environment says.
    Other,
}

fn claim() -> Claim {
    try_claim().unwrap_or(Claim::Other)
}

fn try_claim() -> Option<Claim> {
    if sys::auxiliary(libc::AT_SECURE) != 0 {
        return None;
    }
    let name = std::ffi::OsStr::from_bytes(VARIABLE.to_bytes());
    let ticket = Ticket::parse(env::var_os(name)?.to_str()?)?;
    if Some(ticket.anchor) != anchor() {
        return None;
    }
    // From here on the ticket is ours or nobody's.
    // SAFETY: this is the first line of `main`, or earlier. Threads that initialisers may have started in Rust read
    // the environment under std's lock.
    unsafe { env::remove_var(name) };

    if !sys::is_open(ticket.record) {
        return None;
    }
    // SAFETY: open, as was just seen, and only looked at until its content proves that it is ours.
    let record_fd = unsafe { BorrowedFd::borrow_raw(ticket.record) };
    let record = Record::read(record_fd)?;
    let given = FIRST_GIVEN..FIRST_GIVEN.checked_add_unsigned(record.descriptors)?;
    let proven = record.nonce == ticket.nonce
        && record.identity == identity()
        && ticket.record == given.end
        && given.clone().all(sys::is_open);
    if !proven {
        return None;
    }
    if !is_child_of(record.starter) {
        // The starter lives, so this is a program that a real copy's initialisers have started.
        return has_ended(record.starter).then_some(Claim::Orphan);
    }

    // SAFETY: the nonce proves that the starter has put these descriptors here for this process, in which nobody
    // else knows of them.
    let (fds, _) =
        unsafe { (adopt_given(record.descriptors), OwnedFd::from_raw_fd(ticket.record)) };
    if !record.closed {
        keep_only(&given.collect::<Vec<_>>());
    }
    fill_output();
    let kept = |fd| out_of_the_way(fd).expect("what is given lies above the standard descriptors");
    let fds = fds.into_iter().map(kept).collect();
    Some(Claim::Copy(Birth { role: record.role, words: record.words, fds }))
}

/// The place in the image that a ticket for this version of the crate names.
pub(super) fn anchor() -> Option<u64> {
    offset_of(&raw const READY as usize)
}

/// Why a copy of this executable would not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Neither the hook nor [`init`] has run in this process.
    NotInitialised,
    /// The program runs with more rights than its user (set-uid or the like), where tickets are ignored.
    Secure,
    /// This library is not part of the main executable.
    NotMainExecutable,
    /// The main executable is not the file that `/proc/self/exe` names, e.g. under `ld.so ./program`.
    ForeignImage,
    /// There is no `/proc`.
    NoProc,
    /// The system refused to show the main executable, so nothing is known of it.
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

/// Whether a copy of this executable would be taken over before its `main`. Cheap once it has said yes.
///
/// # Errors
///
/// The first reason against it; what no call of `init()` would mend comes first.
pub(crate) fn check_takeover() -> Result<(), Refusal> {
    static PASSED: AtomicBool = AtomicBool::new(false);
    if PASSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let image = Image::main().filter(|_| anchor().is_some()).ok_or(Refusal::NotMainExecutable)?;
    if sys::auxiliary(libc::AT_SECURE) != 0 {
        return Err(Refusal::Secure);
    }
    let not_shown =
        |error: io::Error| Refusal::NotShown(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    match origin_of(image.landmark()).map_err(not_shown)? {
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
