//! What a pool shares with every worker: one value of any type, the same for all.
//!
//! `offer.rs` is what the pool is given, `source.rs` what a start method makes of it: the value itself where memory is shared
//! or inherited, otherwise a recipe. `recipe.rs` is how a recipe crosses and is carried out, `make.rs` the thread in which
//! the user's code for it runs, `failure.rs` how a process tells that it did not come up.

mod failure;
mod make;
mod offer;
mod recipe;
mod source;

pub(crate) use failure::{Fault, Stage, StartFailure};
pub(crate) use make::make_in_thread;
pub use offer::Shared;
pub(crate) use offer::SharedType;
pub(crate) use recipe::{Ingredients, Maker, RecipePapers};
pub(crate) use source::{Source, SourcePapers};

use std::{any::Any, sync::Arc};

/// A value that is shared, whatever its type.
pub(crate) type SharedValue = Arc<dyn Any + Send + Sync>;

/// As tasks see it: a pool that was given nothing shares a `()`.
pub(crate) fn seen(value: Option<&SharedValue>) -> &(dyn Any + Send + Sync) {
    value.map_or(&(), |value| &**value)
}

/// As tasks of a worker process see it, which has it until it ends.
pub(crate) fn seen_for_life(value: Option<SharedValue>) -> &'static (dyn Any + Send + Sync) {
    seen(Box::leak(Box::new(value)).as_ref())
}
