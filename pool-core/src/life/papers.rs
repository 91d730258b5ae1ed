//! How the hooks of a worker's life cross to other processes: by their offsets in the image.
//!
//! Invariant: as for recipes (`shared/recipe.rs`): papers come from the parent, and all processes of a pool run the same image.

use super::hooks::{Init, RunInit, WorkerLife};
use crate::{birth, error::Error};

/// A life as the processes of a pool are told of it: offsets, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LifePapers {
    init: [u64; 2],
}

impl WorkerLife {
    /// What processes are told.
    pub(crate) fn papers(&self) -> Result<LifePapers, Error> {
        let offset = |address| birth::offset_of(address).ok_or(Error::ForeignFunction);
        let init = match self.init {
            Some(init) => [offset(init.run as usize)?, offset(init.function)?],
            None => [0; 2],
        };
        Ok(LifePapers { init })
    }
}

impl LifePapers {
    /// How many words they take.
    pub(crate) const WORDS: usize = 2;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        self.init
    }

    /// Papers, and the words behind them.
    pub(crate) fn split_from(words: &[u64]) -> Option<(Self, &[u64])> {
        let (init, rest) = words.split_first_chunk()?;
        Some((Self { init: *init }, rest))
    }

    /// The function that makes the state, in this process.
    pub(crate) fn init(&self) -> Option<Init> {
        let [run, function] = self.init;
        if run == 0 {
            return None;
        }
        let (run, function) = (birth::address_of(run)?, birth::address_of(function)?);
        // SAFETY: the parent made the offset of a `RunInit`; see the module.
        let run = unsafe { std::mem::transmute::<usize, RunInit>(run) };
        Some(Init { run, function })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papers_survive_their_numbers() {
        let papers = LifePapers { init: [1 << 40, 5] };
        let words = [papers.to_words().as_slice(), &[9]].concat();
        assert_eq!(LifePapers::split_from(&words), Some((papers, &[9][..])));
        assert_eq!(LifePapers::split_from(&words[..1]), None);
    }

    #[test]
    fn a_hook_is_found_again_and_nothing_is_none() {
        let life = WorkerLife::init::<(), u32>(|w| w.id() + 7);
        let init = life.papers().unwrap().init().unwrap();
        let state = init.call(super::super::Around { worker: 3, shared: &() });
        assert_eq!(state.downcast_ref(), Some(&10u32));
        assert!(WorkerLife::plain().papers().unwrap().init().is_none());
    }
}
