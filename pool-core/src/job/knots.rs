//! Refuses a wait that would close a circle of threads that wait for each other.
//!
//! Invariant: the waits noted here never form a circle. A backend and a future are identified by
//! their addresses; a thread without frames (`reentrancy.rs`) holds nothing up, and notes nothing.

use std::{
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, Ordering},
    },
};

use crate::{error::Error, mutex::lock, reentrancy::waiting_for_this_thread};

/// How many of the nodes that a thread waits for have to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    All,
    /// One of them.
    Any,
}

/// One waiting thread.
#[derive(Debug)]
struct Wait {
    number: u64,
    /// The backends and futures that wait for this thread.
    by: Vec<usize>,
    what: Vec<usize>,
    awaits: Awaits,
}

/// All waits of one process.
#[derive(Debug)]
struct Waits {
    process: u32,
    all: Mutex<(u64, Vec<Wait>)>,
}

/// The waits of the process that called `waits` last; never freed, since threads keep references to
/// it. A forked child makes its own: none of its parent's waits goes on there, and another thread
/// of the parent may have held the lock.
static WAITS: AtomicPtr<Waits> = AtomicPtr::new(ptr::null_mut());

/// While it lives, the calling thread waits.
#[derive(Debug)]
pub(crate) struct Waiting(Option<u64>);

fn waits() -> MutexGuard<'static, (u64, Vec<Wait>)> {
    let process = std::process::id();
    // Acquire: pairs with the AcqRel below.
    let mut seen = WAITS.load(Ordering::Acquire);
    loop {
        // SAFETY: null, or leaked below and so valid for ever; only shared references are made.
        let known = NonNull::new(seen).map(|waits| unsafe { waits.as_ref() });
        if let Some(own) = known.filter(|waits| waits.process == process) {
            return lock(&own.all);
        }
        let fresh = Box::into_raw(Box::new(Waits { process, all: Mutex::default() }));
        match WAITS.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => seen = fresh,
            Err(winner) => {
                // SAFETY: made just now, and no other thread has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                seen = winner;
            }
        }
    }
}

/// Whether the last wait can never end, because the nodes that it needs wait for it, directly or
/// through other waits.
fn is_knot(all: &[Wait]) -> bool {
    let mut left: Vec<_> = all.iter().collect();
    loop {
        let before = left.len();
        let blocked: Vec<_> = left.iter().flat_map(|wait| &wait.by).copied().collect();
        left.retain(|Wait { what, awaits, .. }| match awaits {
            Awaits::All => what.iter().any(|node| blocked.contains(node)),
            Awaits::Any => !what.is_empty() && what.iter().all(|node| blocked.contains(node)),
        });
        if left.len() == before {
            let last = all.last().map(|wait| wait.number);
            return left.last().map(|wait| wait.number) == last;
        }
    }
}

impl Waiting {
    /// Notes that the calling thread is about to wait for these nodes.
    ///
    /// # Errors
    ///
    /// [`Error::NestedUse`] if they wait for the calling thread.
    pub(crate) fn begin(
        awaits: Awaits,
        what: impl IntoIterator<Item = usize>,
    ) -> Result<Self, Error> {
        let by = waiting_for_this_thread();
        if by.is_empty() {
            return Ok(Self(None));
        }
        let what: Vec<_> = what.into_iter().collect();
        let mut waits = waits();
        let (count, all) = &mut *waits;
        *count += 1;
        let number = *count;
        all.push(Wait { number, by, what, awaits });
        if is_knot(all) {
            all.pop();
            return Err(Error::NestedUse);
        }
        Ok(Self(Some(number)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(number) = self.0 else { return };
        let all = &mut waits().1;
        if let Some(at) = all.iter().position(|wait| wait.number == number) {
            all.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reentrancy::{InCall, Inside};

    #[test]
    fn a_circle_of_waits_is_refused_and_a_chain_is_not() {
        let call = InCall::enter(0x51, Inside::Call);
        let first = Waiting::begin(Awaits::All, [0x52]).unwrap();
        drop(call);
        let call = InCall::enter(0x52, Inside::Callback);
        let second = Waiting::begin(Awaits::All, [0x53]).unwrap();
        drop(call);
        let _call = InCall::enter(0x53, Inside::Call);
        assert!(matches!(Waiting::begin(Awaits::All, [0x51]), Err(Error::NestedUse)));
        assert!(Waiting::begin(Awaits::All, [0x54]).is_ok());
        drop(second);
        assert!(Waiting::begin(Awaits::All, [0x51]).is_ok());
        drop(first);
    }

    #[test]
    fn a_wait_for_any_of_several_is_a_knot_when_all_of_them_are() {
        let call = InCall::enter(0x61, Inside::Call);
        let first = Waiting::begin(Awaits::Any, [0x62, 0x63]).unwrap();
        drop(call);
        let call = InCall::enter(0x62, Inside::Call);
        let second = Waiting::begin(Awaits::All, [0x61]).unwrap();
        drop(call);
        let call = InCall::enter(0x63, Inside::Call);
        assert!(matches!(Waiting::begin(Awaits::Any, [0x61]), Err(Error::NestedUse)));
        assert!(Waiting::begin(Awaits::Any, [0x61, 0x64]).is_ok());
        assert!(Waiting::begin(Awaits::Any, []).is_ok());
        drop(second);
        assert!(Waiting::begin(Awaits::Any, [0x61]).is_ok());
        drop((call, first));
    }

    #[test]
    fn a_forked_child_takes_no_wait_over_nor_the_lock() {
        let _call = InCall::enter(0x71, Inside::Call);
        let held = waits();
        // SAFETY: the child allocates, as glibc allows, makes a wait of its own and leaves.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                // SAFETY: sets a timer, and ends this process.
                unsafe {
                    libc::alarm(20);
                    libc::_exit(i32::from(Waiting::begin(Awaits::All, [0x72]).is_err()));
                }
            }
            nix::unistd::ForkResult::Parent { child } => {
                drop(held);
                let ended = nix::sys::wait::waitpid(child, None).unwrap();
                assert_eq!(ended, nix::sys::wait::WaitStatus::Exited(child, 0));
            }
        }
    }
}
