//! Starts a fresh copy of this executable.
//!
//! Invariant: a copy is started only if it is certain to be taken over before its `main`, and it
//! begins with exactly these descriptors: an empty standard input, the parent's output and error,
//! then the given ones from 3 on, then the sealed record.

use std::{
    collections::HashSet,
    env,
    ffi::{CString, OsString},
    io,
    os::{
        fd::{AsFd, BorrowedFd, RawFd},
        unix::ffi::OsStringExt,
    },
};

use nix::{
    sys::signal::Signal,
    unistd::{Pid, getpid},
};

use super::{
    entry::{check_takeover, symbol_offset},
    image::{Image, identity},
    origin::executable,
    token::{HandshakeToken, Record, VARIABLE, fresh_nonce},
};
use crate::os::{
    CloseFrom, ENDING, FIRST_INHERITED, Start, duplicate_above, nothing_above,
    output_closed_on_exec, posix_spawn,
};

/// Starts a copy of this executable, which `entry.rs` takes over with `role`, `words` and `fds`.
///
/// The copy has this process's arguments and its environment, in which `variables` are set, whose
/// names differ. The descriptors get the numbers 3, 4, 5 … in the order given; all others are
/// closed there. The caller must reap the copy. If the calling thread ends, a copy that has armed
/// its parent-death signal ends as well.
///
/// # Errors
///
/// `Unsupported` with the [`Refusal`](super::entry::Refusal) inside if the copy would run `main`;
/// otherwise the error of the operating system.
pub(crate) fn spawn_copy(
    role: u64,
    words: &[u64],
    fds: &[BorrowedFd<'_>],
    variables: &[(OsString, OsString)],
) -> io::Result<Pid> {
    let refuse = |refusal| io::Error::new(io::ErrorKind::Unsupported, refusal);
    check_takeover().map_err(refuse)?;
    let symbol_offset =
        symbol_offset().ok_or_else(|| refuse(super::entry::Refusal::NotMainExecutable))?;

    let too_many = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let record_at = FIRST_INHERITED + RawFd::try_from(fds.len()).map_err(too_many)?;
    let close_from = CloseFrom::find();
    let record = Record {
        nonce: fresh_nonce(),
        identity: identity(),
        starter: getpid(),
        closed: close_from.is_some(),
        descriptors: u32::try_from(fds.len()).map_err(too_many)?,
        role,
        words: words.to_vec(),
    };
    let token = HandshakeToken { symbol_offset, record: record_at, nonce: record.nonce };

    // Every source lies above every target, so that no move overwrites the source of a later one,
    // and none moves a descriptor onto itself, which would leave close-on-exec set.
    let above = |fd: BorrowedFd<'_>| duplicate_above(fd, record_at + 1);
    let nothing = nothing_above(record_at + 1)?;
    let record = above(record.seal()?.as_fd())?;
    let inherited = fds.iter().map(|fd| above(*fd)).collect::<io::Result<Vec<_>>>()?;
    let output = output_closed_on_exec(record_at + 1)?;
    let descriptors: Vec<_> = [(nothing.as_fd(), 0)]
        .into_iter()
        .chain(output.iter().map(|(fd, number)| (fd.as_fd(), *number)))
        .chain(inherited.iter().map(AsFd::as_fd).zip(FIRST_INHERITED..))
        .chain([(record.as_fd(), record_at)])
        .collect();

    posix_spawn(&Start {
        path: &executable(Image::main().map_or(0, Image::symbol))?,
        argv: &env::args_os().map(c_string).collect::<io::Result<Vec<_>>>()?,
        environment: &environment(token, variables)?,
        descriptors: &descriptors,
        close_from: close_from.map(|action| (action, record_at + 1)),
        // A signal to the whole group must not end the copy before its `reset_signals` has set the
        // handlers. And a thread that an initialiser starts there must not receive the SIGCHLD that
        // a zygote waits for.
        blocked: &ENDING.into_iter().chain([Signal::SIGCHLD]).collect(),
    })
}

/// This process's environment with these variables, and the token.
fn environment(
    token: HandshakeToken,
    variables: &[(OsString, OsString)],
) -> io::Result<Vec<CString>> {
    let name = VARIABLE.to_bytes();
    let token = OsString::from_vec([name, b"=", token.to_text().as_bytes()].concat());
    let set: HashSet<_> = variables.iter().map(|(key, _)| key).collect();
    env::vars_os()
        .filter(|(key, _)| !set.contains(key))
        .chain(variables.iter().cloned())
        .map(|(key, value)| (key.into_vec(), value.into_vec()))
        .filter(|(key, _)| key != name)
        .map(|(key, value)| OsString::from_vec([&key[..], b"=", &value].concat()))
        .chain([token])
        .map(c_string)
        .collect()
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}
