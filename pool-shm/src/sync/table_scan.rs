//! One look at a whole table of holders.

use super::{
    owner::Owner,
    stat::{Life, is_dead},
};

/// Remembers who was found to live, so that nobody is looked at twice in one look.
#[derive(Debug)]
pub(super) struct TableScan {
    life: Life,
    alive: Vec<Owner>,
}

impl TableScan {
    /// Where `me` lives, for sure.
    pub(super) fn taken_by(me: Owner, life: Life) -> Self {
        Self { life, alive: vec![me] }
    }

    /// Whether `owner` is somebody, and dead.
    pub(super) fn finds_dead(&mut self, owner: Owner) -> bool {
        if owner == Owner::NOBODY || self.alive.contains(&owner) {
            return false;
        }
        let dead = is_dead(owner, self.life);
        if !dead {
            self.alive.push(owner);
        }
        dead
    }
}
