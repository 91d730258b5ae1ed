//! Waits of code that others wait for: one that would close a circle is refused.
//!
//! Invariant: no circle of the waits that are noted here is ever closed. A crew and a future are
//! known by their addresses; a thread without frames (`in_call.rs`) holds nothing up, and notes
//! nothing.

use std::sync::Mutex;

use super::in_call::waiting_for_this_thread;
use crate::{error::Error, mutex::lock};

/// Who waits for what, once for every thread that does.
static WAITS: Mutex<Waits> = Mutex::new(Waits { process: 0, all: Vec::new() });

struct Waits {
    /// In a forked child nobody waits.
    process: u32,
    all: Vec<(usize, usize)>,
}

/// While it lives, the calling thread waits.
#[derive(Debug)]
pub(crate) struct Waiting(Vec<(usize, usize)>);

impl Waits {
    /// Whether `from` waits for `to`, directly or not.
    fn leads(&self, from: usize, to: &[usize]) -> bool {
        let mut reached = vec![from];
        let mut at = 0;
        while let Some(&node) = reached.get(at) {
            if to.contains(&node) {
                return true;
            }
            let next = self.all.iter().filter(|(by, _)| *by == node).map(|(_, what)| *what);
            let next: Vec<_> = next.filter(|what| !reached.contains(what)).collect();
            reached.extend(next);
            at += 1;
        }
        false
    }
}

impl Waiting {
    /// The calling thread is about to wait for these.
    ///
    /// # Errors
    ///
    /// [`Error::NestedUse`] if one of them waits for it.
    pub(crate) fn begin(what: &[usize]) -> Result<Self, Error> {
        let held_up = waiting_for_this_thread();
        if held_up.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut waits = lock(&WAITS);
        let process = std::process::id();
        if waits.process != process {
            (waits.process, waits.all) = (process, Vec::new());
        }
        if what.iter().any(|what| waits.leads(*what, &held_up)) {
            return Err(Error::NestedUse);
        }
        let each = held_up.iter().flat_map(|by| what.iter().map(|what| (*by, *what)));
        let own: Vec<_> = each.collect();
        waits.all.extend_from_slice(&own);
        Ok(Self(own))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mut waits = lock(&WAITS);
        for wait in self.0.drain(..) {
            if let Some(at) = waits.all.iter().position(|noted| *noted == wait) {
                waits.all.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::in_call::{InCall, Inside},
        *,
    };

    #[test]
    fn a_circle_of_waits_is_refused_and_a_chain_is_not() {
        let call = InCall::enter(0x51, Inside::Call);
        let first = Waiting::begin(&[0x52]).unwrap();
        drop(call);
        let call = InCall::enter(0x52, Inside::Callback);
        let second = Waiting::begin(&[0x53]).unwrap();
        drop(call);
        let _call = InCall::enter(0x53, Inside::Call);
        assert!(matches!(Waiting::begin(&[0x51]), Err(Error::NestedUse)));
        assert!(Waiting::begin(&[0x54]).is_ok());
        drop(second);
        assert!(Waiting::begin(&[0x51]).is_ok());
        drop(first);
    }
}
