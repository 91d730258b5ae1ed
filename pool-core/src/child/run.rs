//! What runs inside a process of one function, from its start to its end.
//!
//! Invariant: it never returns to the code that has forked it, and no panic gets out. It reports
//! what the function returned, or how it failed, before it ends; a process that reports nothing was
//! ended from outside, or by its function.

#[cfg(feature = "capture-log")]
use std::sync::Arc;
use std::{
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::unistd::Pid;

#[cfg(feature = "capture-log")]
use super::logs::LogSegment;
use super::{
    children,
    config::{ChildConfig, EncodedConfig},
    identity,
    messages::{Inbox, Kind, Message, send_bytes, send_numbers},
    work::{Portable, Returned, Work},
};
use crate::{
    error::{Failure, FailureKind},
    hooks::{FunctionOffsets, become_daemon},
    ids::WorkerId,
    os::{self, KeptFd, Listed, ProcessName},
    output::{ONLY_PROCESS, OutputFds, WorkerOutput},
    panic::{end_quietly, exit, learn_locations, print_panics},
    protocol::Received,
    worker::run_on_stack,
};

/// Exit code of a process whose function has panicked, that of a program whose `main` does.
pub(crate) const PANICKED: i32 = 101;
/// Exit code of a process that could not begin, or not report.
const UNABLE: i32 = 102;

/// A step before the function at which a process may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Step {
    Folder = 1,
    Cpus,
    Stack,
    Output,
    /// After the function: sending what it returned.
    Result,
}

impl Step {
    /// What was tried, for an error.
    pub(crate) fn what(word: u64) -> &'static str {
        match word {
            word if word == Self::Folder as u64 => "entering the directory of a process",
            word if word == Self::Cpus as u64 => "pinning a process to its CPUs",
            word if word == Self::Stack as u64 => "mapping the stack of a process",
            word if word == Self::Output as u64 => "capturing the output of a process",
            _ => "sending what a process returned",
        }
    }
}

/// What ends a daemonic process with the one that has asked for it.
pub(crate) enum DeathLink {
    /// The process that has forked it, which never lets a thread end before itself.
    Starter,
    /// The reading end of a pipe whose writing end only that process has.
    Pipe(OwnedFd),
    /// Nothing: it is not daemonic.
    None,
}

/// What a process has at its start.
pub(crate) struct ChildStart {
    pub(crate) socket: OwnedFd,
    pub(crate) death_link: DeathLink,
    /// The process that has forked it; `None`: the one that has asked for it.
    pub(crate) starter: Option<Pid>,
    /// The descriptors of its output; of a process that is sent its configuration, they come with
    /// that.
    pub(crate) output: OutputFds,
}

impl ChildStart {
    /// What a fresh copy of the executable has, from its descriptors: the socket and, if it is
    /// daemonic, the pipe.
    pub(crate) fn of_copy(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        Some(Self {
            socket: fds.next()?,
            death_link: fds.next().map_or(DeathLink::None, DeathLink::Pipe),
            starter: None,
            output: OutputFds::default(),
        })
    }
}

/// Runs the process whose configuration and argument lie in its socket.
pub(crate) fn run_received(mut start: ChildStart) -> ! {
    let mut inbox = Inbox::default();
    // All were sent before this process was started.
    let mut next = || match inbox.receive(start.socket.as_fd()) {
        Ok(Received::Message(message)) => message,
        _ => exit(UNABLE),
    };
    let (config, mut argument): (Message, Message) = (next(), next());
    #[cfg(feature = "capture-log")]
    let mut logs = None;
    if argument.kind == Kind::Logs {
        #[cfg(feature = "capture-log")]
        {
            logs = argument.fds.pop().and_then(LogSegment::received).map(Arc::new);
        }
        argument = next();
    }
    if (config.kind, argument.kind) != (Kind::Config, Kind::Argument) {
        exit(UNABLE);
    }
    let Ok(encoded) = pool_ipc::from_bytes::<EncodedConfig>(&config.bytes) else { exit(UNABLE) };
    let offsets = FunctionOffsets { run: encoded.run, function: encoded.function };
    let child_config = ChildConfig::from(encoded);
    #[cfg(feature = "capture-log")]
    let child_config = ChildConfig { logs, ..child_config };
    start.output = child_config.output.sort(config.fds);
    match Portable(offsets).into_work(argument) {
        Some(work) => run_here(child_config, start, work),
        None => exit(UNABLE),
    }
}

/// Runs a process that has inherited its function.
pub(crate) fn run_here(config: ChildConfig, start: ChildStart, work: Work) -> ! {
    let ChildStart { socket, death_link, starter, output } = start;
    // Listed for life: what this process forks later has no copy of it.
    let Ok(socket) = Listed::new(socket) else { exit(UNABLE) };
    let failed = run_on_stack(None, |_| {
        let life = || live(config, &socket, (death_link, starter, output), work);
        exit(catch_unwind(AssertUnwindSafe(life)).unwrap_or(UNABLE))
    });
    let Err(error) = failed;
    exit(unable(socket.as_fd(), Step::Stack, &error))
}

/// Runs the function and reports; answers with the exit code.
fn live(
    config: ChildConfig,
    socket: &KeptFd,
    (death_link, starter, output): (DeathLink, Option<Pid>, OutputFds),
    work: Work,
) -> i32 {
    #[cfg(feature = "capture-log")]
    let logs = config.logs.clone();
    let ChildConfig { identity, cpus, environment, output: output_config, .. } = config;
    let starter = starter.unwrap_or(identity.parent);
    if identity.daemon {
        let armed = match &death_link {
            DeathLink::Starter => os::arm_parent_death(starter),
            DeathLink::Pipe(pipe) => os::end_with_writer(pipe.as_fd()),
            DeathLink::None => true,
        };
        if !armed {
            end_quietly();
        }
        become_daemon();
    }
    os::set_process_name(&short_name(&identity.name));
    identity::become_process(identity, starter);
    // It writes no markers, since it has one item.
    let only = (WorkerId::FIRST, ONLY_PROCESS);
    if let Err(error) = WorkerOutput::set_up(output_config, output, only.0, only.1) {
        return unable(socket.as_fd(), Step::Output, &error);
    }
    // SAFETY: this process was forked, so it has one thread; a fresh copy of the executable has its
    // variables already and is told of none, and then nothing is set.
    unsafe { environment.set_variables() };
    if let Err(error) = environment.enter_folder() {
        return unable(socket.as_fd(), Step::Folder, &error);
    }
    if let Some(cpus) = cpus
        && let Err(error) = cpus.pin_current_thread()
    {
        return unable(socket.as_fd(), Step::Cpus, &source_of(&error));
    }
    print_panics();
    learn_locations(false);
    #[cfg(feature = "capture-log")]
    logs.iter().for_each(|logs| logs.begin());
    let result = work();
    os::flush_output();
    let code = report(socket, result);
    children::end_of_process();
    os::flush_output();
    // Kept open until here: a daemonic process ends with its parent at any time.
    drop(death_link);
    pool_shm::exit_process(code)
}

/// Reports what became of the function; answers with the exit code.
fn report(socket: &KeptFd, result: Result<Returned, FailureKind>) -> i32 {
    // The function may have closed it, and have opened another file at its number.
    let Ok(socket) = socket.intact() else { return UNABLE };
    let (sent, code) = match result {
        Ok(Returned { bytes, segments }) => (send_bytes(socket, Kind::Value, &bytes, &segments), 0),
        Err(kind) => {
            let code = if matches!(kind, FailureKind::Panic { .. }) { PANICKED } else { UNABLE };
            let bytes = pool_ipc::to_bytes(&Failure { kind }).unwrap_or_default();
            (send_bytes(socket, Kind::Failed, &bytes, &[]), code)
        }
    };
    match sent {
        Ok(()) => code,
        // There is no process left that waits for it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => code,
        Err(error) => unable(socket, Step::Result, &error),
    }
}

/// Reports that the process could not do this; answers with the exit code.
fn unable(socket: std::os::fd::BorrowedFd<'_>, step: Step, error: &std::io::Error) -> i32 {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    // If this fails, the exit code says at least that something is wrong.
    let _ =
        send_numbers(socket, Kind::Unable, [step as u64, u64::from(errno.unsigned_abs())], None);
    UNABLE
}

/// The system's own error behind another one.
fn source_of(error: &(dyn std::error::Error + 'static)) -> std::io::Error {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error())
        .map_or_else(
            || std::io::Error::from_raw_os_error(libc::EINVAL),
            std::io::Error::from_raw_os_error,
        )
}

/// What the kernel keeps of a name, which ends before a character that would be cut.
fn short_name(name: &str) -> ProcessName {
    let mut short = ProcessName::default();
    let room = short.len() - 1;
    let len = (0..=room.min(name.len())).rev().find(|len| name.is_char_boundary(*len)).unwrap_or(0);
    short[..len].copy_from_slice(&name.as_bytes()[..len]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(&short_name("Process-1")[..10], b"Process-1\0");
        assert_eq!(&short_name("0123456789abcdefgh"), b"0123456789abcde\0");
        assert_eq!(&short_name("0123456789abcdö"), b"0123456789abcd\0\0");
    }
}
