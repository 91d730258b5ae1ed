//! How the hooks of a worker's life cross to other processes: by their offsets in the image.
//!
//! Invariant: as for shared values (`shared/spec.rs`): offsets come from the parent, and all
//! processes of a pool run the same image.

use std::num::NonZeroU64;

use super::functions::{Exit, Init, RunExit, RunInit, WorkerLife};
use crate::{bootstrap, error::Error};

/// A life as the processes of a pool are told of it: offsets and numbers, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HookOffsets {
    init: FunctionOffsets,
    exit: FunctionOffsets,
    span: u64,
}

/// A function, and what runs it, by their offsets in the image; both 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FunctionOffsets {
    pub(crate) run: u64,
    pub(crate) function: u64,
}

impl FunctionOffsets {
    /// # Errors
    ///
    /// [`Error::ForeignFunction`].
    pub(crate) fn new(run: usize, function: usize) -> Result<Self, Error> {
        let offset = |address| bootstrap::offset_of(address).ok_or(Error::ForeignFunction);
        Ok(Self { run: offset(run)?, function: offset(function)? })
    }

    /// Both addresses in this process, if there is a function.
    pub(crate) fn addresses(self) -> Option<(usize, usize)> {
        let (run, function) =
            (bootstrap::address_of(self.run)?, bootstrap::address_of(self.function)?);
        (self.run != 0).then_some((run, function))
    }
}

impl WorkerLife {
    /// What processes are told.
    pub(crate) fn config(&self) -> Result<HookOffsets, Error> {
        let init = self.init.map(|init| FunctionOffsets::new(init.run as usize, init.function));
        let exit = self.exit.map(|exit| FunctionOffsets::new(exit.run as usize, exit.function));
        Ok(HookOffsets {
            init: init.transpose()?.unwrap_or_default(),
            exit: exit.transpose()?.unwrap_or_default(),
            span: self.span.map_or(0, NonZeroU64::get),
        })
    }
}

impl HookOffsets {
    const WORDS: usize = 5;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let Self { init, exit, span } = self;
        [init.run, init.function, exit.run, exit.function, span]
    }

    /// The offsets, and the words behind them.
    pub(crate) fn split_from(words: &[u64]) -> Option<(Self, &[u64])> {
        let (words, rest) = words.split_first_chunk::<{ Self::WORDS }>()?;
        let hook = |at: usize| FunctionOffsets { run: words[at], function: words[at + 1] };
        Some((Self { init: hook(0), exit: hook(2), span: words[4] }, rest))
    }

    /// The function that makes the state, in this process.
    pub(crate) fn init(&self) -> Option<Init> {
        let (run, function) = self.init.addresses()?;
        // SAFETY: the parent made the offset of a `RunInit`; see the module.
        let run = unsafe { std::mem::transmute::<usize, RunInit>(run) };
        Some(Init { run, function })
    }

    /// The function that makes the exit result, in this process.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let (run, function) = self.exit.addresses()?;
        // SAFETY: the parent made the offset of a `RunExit`; see the module.
        let run = unsafe { std::mem::transmute::<usize, RunExit>(run) };
        Some(Exit { run, function })
    }

    /// Tasks after which the life ends.
    pub(crate) fn span(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.span)
    }
}

#[cfg(test)]
mod tests {
    use pool_ipc::Encoder;

    use super::{super::Around, *};
    use crate::ids::WorkerId;

    const AROUND: Around<'_> = Around { worker: WorkerId::new(3), shared: &(), overdue: &|| false };

    fn life() -> WorkerLife {
        let life = WorkerLife::init::<(), u32>(|w| w.id() + 7);
        let life = life.exit::<(), u32, u64>(|w| u64::from(*w.state) * 2).unwrap();
        life.span(NonZeroU64::new(9))
    }

    #[test]
    fn config_survives_its_words() {
        let config = life().config().unwrap();
        let words = [config.to_words().as_slice(), &[99]].concat();
        assert_eq!(HookOffsets::split_from(&words), Some((config, &[99][..])));
        assert_eq!(HookOffsets::split_from(&words[..4]), None);
    }

    #[test]
    fn hooks_are_found_again_and_nothing_is_none() {
        let config = life().config().unwrap();
        let mut state = config.init().unwrap().call(AROUND);
        assert_eq!(state.downcast_ref(), Some(&10u32));
        let result = config.exit().unwrap().call(AROUND, &mut *state, &mut Encoder::new());
        assert_eq!(pool_ipc::from_bytes::<u64>(&result.unwrap()), Ok(20));
        assert_eq!(config.span(), NonZeroU64::new(9));
        let plain = WorkerLife::plain().config().unwrap();
        assert!(plain.init().is_none() && plain.exit().is_none() && plain.span().is_none());
    }

    #[test]
    fn hooks_that_do_not_fit_together_are_refused() {
        let life = WorkerLife::init::<(), u32>(|w| w.id());
        assert!(life.exit::<(), u64, ()>(|_| ()).is_err());
        assert!(life.exit::<u8, u32, ()>(|_| ()).is_err());
        assert!(life.check_result(crate::task::SharedType::of::<u8>()).is_err());
    }
}
