//! The limits of a worker's private memory: one beyond which the kernel refuses memory, and one
//! beyond which the worker is replaced.
//!
//! The kernel counts private writable mappings against `RLIMIT_DATA`, reservations included, and
//! refuses more. Shared mappings (arenas, the board, shared objects) do not count. Rust aborts a
//! program that is refused memory, and all aborts look alike, so a handler notes on the board when
//! the limit is the likely cause.

use std::{
    fs, io,
    num::NonZeroU64,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{Acquire, Release},
    },
    time::{Duration, Instant},
};

use crate::{ids::WorkerId, output::flush_last_line};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
};
use pool_ipc::board::Board;
use pool_shm::ForkMark;

/// What the handler needs. A worker sets it once and never frees it; a worker that was forked in a
/// task of another worker finds that of the other, and replaces it.
static ABORT_NOTE: AtomicPtr<AbortNote> = AtomicPtr::new(ptr::null_mut());

struct AbortNote {
    board: Board,
    worker: WorkerId,
    mark: ForkMark,
}

/// Limits the private memory of this process to what it has now and `bytes` more.
pub(super) fn limit_memory(bytes: u64, board: &Board, worker: WorkerId) -> io::Result<()> {
    let mark = ForkMark::new(NonZeroU64::MIN).map_err(io::Error::other)?;
    let note = Box::into_raw(Box::new(AbortNote { board: board.clone(), worker, mark }));
    // Release: pairs with the Acquire of the handler.
    ABORT_NOTE.store(note, Release);
    let flags = SaFlags::SA_SIGINFO;
    let action = SigAction::new(SigHandler::SigAction(note_down), flags, SigSet::empty());
    // SAFETY: the handler only loads and stores atomics, in memory that is never freed, and writes
    // the last line of a captured output.
    unsafe { sigaction(Signal::SIGABRT, &action) }?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let wanted = data_in_use()?.saturating_add(bytes);
    setrlimit(Resource::RLIMIT_DATA, wanted.min(soft), hard)?;
    Ok(())
}

/// The handler of SIGABRT: notes on the board that memory was refused. The process ends by the
/// signal that it raises once more.
extern "C" fn note_down(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the pointer is null, or leads to a note that was complete when it was stored and is
    // never freed.
    let note = unsafe { ABORT_NOTE.load(Acquire).as_ref() };
    if Errno::last() == Errno::ENOMEM
        && let Some(note) = note
        // In a child that a task has forked the board is not mapped.
        && note.mark.get() != 0
    {
        note.board.note_refusal(note.worker.index());
    }
    // SAFETY: the kernel passes it to a handler of this kind.
    flush_last_line(unsafe { &*info });
    // SAFETY: plain system calls. (Not only `abort` sends the signal, and only `abort` would raise
    // it again.)
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Least time between two looks, each after a task: a look costs about a hundredth of that.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// Sees when this process has grown beyond a limit.
#[derive(Debug)]
pub(crate) struct Growth {
    most: u64,
    checked: Instant,
}

impl Growth {
    pub(super) fn beyond(most: u64) -> Self {
        Self { most, checked: Instant::now() }
    }

    /// Reads how large the process is if the last time is long ago; returns whether it has grown
    /// beyond the limit.
    #[cold]
    pub(crate) fn check(&mut self) -> bool {
        let now = Instant::now();
        now - self.checked >= CHECK_INTERVAL && {
            self.checked = now;
            self.exceeds_limit()
        }
    }

    /// Whether the process has grown beyond the limit.
    pub(super) fn exceeds_limit(&self) -> bool {
        private_in_use().is_some_and(|bytes| bytes > self.most)
    }
}

/// Bytes of resident memory of this process that it does not share: without pages of files, arenas
/// and shared objects.
fn private_in_use() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = pages.split(' ').skip(1).map(|count| count.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * pool_shm::limits::page_size() as u64)
}

/// Bytes of private writable memory of this process, as the kernel counts them against the limit.
fn data_in_use() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no VmData in /proc/self/status"))
}
