//! The types that options accept.

use pool_affinity::CpuIds;

use crate::{Builder, WorkerPool};

/// Items per chunk: a whole number, or a fraction that is carried over from chunk to chunk.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number of items for a chunk",
    label = "neither `usize` nor `f64`",
    note = "`chunk_size` takes a `usize`, or an `f64` whose fraction is carried over from chunk to \
        chunk"
)]
pub trait ChunkSize: sealed::Sealed {
    #[doc(hidden)]
    fn items(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for f64 {}
}

impl ChunkSize for usize {
    fn items(self) -> f64 {
        self as f64
    }
}

impl ChunkSize for f64 {
    fn items(self) -> f64 {
        self
    }
}

/// What [`Builder::cpu_ids`](crate::Builder::cpu_ids) takes: all that turns into [`CpuIds`].
///
/// It is a trait of its own so that the compiler says which forms there are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which CPUs the workers run on",
    label = "none of the forms that `cpu_ids` takes",
    note = "`cpu_ids` takes ids that are `usize` (`[0]`, `[2, 3]`, `40..60`), lists of sets of \
        them (`[[0, 1], [2, 3]]`), a `Placement` or a `Plan`"
)]
#[doc(hidden)]
pub trait IntoCpuIds: Into<CpuIds> {}

#[diagnostic::do_not_recommend]
impl<T: Into<CpuIds>> IntoCpuIds for T {}

/// What has the options of a call. The pool and its builder name them too, so that the compiler
/// says where they go instead of that there are none; there they do not compile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not have the steps and options of a call",
    label = "this belongs behind `tasks(items)`, `task(item)`, `slices(&array, n)` or `workers()`",
    note = "steps and options of a call come right behind its input: \
        `pool.tasks(items).with_worker().chunk_size(100).map(f)`"
)]
#[doc(hidden)]
pub trait HasCallOptions {}

/// Names the options of a call where there are none.
macro_rules! no_call_options {
    ([$($parameters:tt)*] $type:ty: $($name:ident)*) => {
        #[doc(hidden)]
        impl<$($parameters)*> $type {
            $(
                pub fn $name<V>(self, _: V) -> Self
                where
                    Self: HasCallOptions,
                {
                    self
                }
            )*

            pub fn with_worker(self) -> Self
            where
                Self: HasCallOptions,
            {
                self
            }

            pub fn view(self) -> Self
            where
                Self: HasCallOptions,
            {
                self
            }
        }
    };
}

no_call_options! {
    [S, W, E] WorkerPool<S, W, E>:
    chunk_size n_splits iterable_len max_tasks_active task_timeout timeout_grace retry cancel_token
    kill_running order_tasks on_worker with
}
no_call_options! {
    [S, W, E] Builder<S, W, E>:
    chunk_size n_splits iterable_len max_tasks_active retry cancel_token kill_running on_worker with
}
