//! One look at a whole table of holders.

use super::{
    owner::Owner,
    stat::{Life, is_dead},
};

/// Remembers which owners were found to live, so that none is looked at twice in one scan.
#[derive(Debug)]
pub(super) struct TableScan {
    life: Life,
    alive: Vec<Owner>,
}

impl TableScan {
    /// A scan for `me`, which lives for sure.
    pub(super) fn taken_by(me: Owner, life: Life) -> Self {
        Self { life, alive: vec![me] }
    }

    /// Looks whether `owner` is not `NONE`, and dead.
    pub(super) fn check_dead(&mut self, owner: Owner) -> bool {
        if owner == Owner::NONE || self.alive.contains(&owner) {
            return false;
        }
        let dead = is_dead(owner, self.life);
        if !dead {
            self.alive.push(owner);
        }
        dead
    }
}
