//! The programs that a dashboard shows.
//!
//! Invariant: at most [`MOST`] are kept, of those that have ended the last ones.

use crate::{
    own::OwnProgram,
    state::{Header, Program, render},
    time::unix_millis,
};

/// How many programs are kept; so many may be connected at a time.
pub(super) const MOST: usize = 16;

/// The number of the program that has the dashboard.
pub(super) const OWN: u64 = 0;

#[derive(Debug)]
pub(super) struct Programs {
    own: Option<OwnProgram>,
    others: Vec<Other>,
    next: u64,
}

#[derive(Debug)]
struct Other {
    id: u64,
    state: Option<Box<Program>>,
    lost: Option<u64>,
}

impl Programs {
    /// `own`: the program that has the dashboard, if it is to be shown.
    pub(super) fn new(own: Option<OwnProgram>) -> Self {
        Self { own, others: Vec::new(), next: OWN + 1 }
    }

    /// A place for a program that has connected, unless too many are.
    pub(super) fn connect(&mut self) -> Option<u64> {
        if self.others.len() >= MOST {
            let ended = self.others.iter().position(|other| other.lost.is_some())?;
            self.others.remove(ended);
        }
        let id = self.next;
        self.next += 1;
        self.others.push(Other { id, state: None, lost: None });
        Some(id)
    }

    pub(super) fn update(&mut self, id: u64, state: Box<Program>) {
        if let Some(other) = self.others.iter_mut().find(|other| other.id == id) {
            other.state = Some(state);
        }
    }

    /// The connection of a program has ended: its last state stays.
    pub(super) fn disconnect(&mut self, id: u64) {
        self.others.retain(|other| other.id != id || other.state.is_some());
        if let Some(other) = self.others.iter_mut().find(|other| other.id == id) {
            other.lost.get_or_insert_with(unix_millis);
        }
    }

    /// Whether the program lets its calls be cancelled from here.
    pub(super) fn may_cancel(&self, id: u64) -> bool {
        let mut others = self.others.iter().filter(|other| other.lost.is_none());
        let state = others.find(|other| other.id == id).and_then(|other| other.state.as_ref());
        state.is_some_and(|state| state.may_cancel)
    }

    /// Cancels a call of the program that has the dashboard.
    pub(super) fn cancel_own(&self, pool: u64, call: u64) -> bool {
        self.own.as_ref().is_some_and(|own| own.cancel(pool, call))
    }

    /// The state of all as JSON; `may_cancel`: whether calls can be cancelled at this dashboard.
    pub(super) fn json(&mut self, may_cancel: bool) -> String {
        let mut own = self.own.as_mut().map(OwnProgram::state);
        let own = own.as_mut().map(|own| {
            own.cut(1);
            (Header { id: OWN, lost: None, may_cancel }, &*own)
        });
        let others = self.others.iter().filter_map(|other| {
            let header = Header { id: other.id, lost: other.lost, may_cancel };
            other.state.as_deref().map(|state| (header, state))
        });
        render(unix_millis(), own.into_iter().chain(others))
    }
}
