//! Types in `wire!` with fields whose types are not in it.

use pool_api::{WorkerPool, wire};

struct Inner {
    value: u32,
}

struct Pair(u32, u32);

wire! {
//~ also
    /// Documented,
    ///
    /// at some length.
    #[derive(Default)]
    pub struct Outer {
        pub name: String,
        /// What it is.
        pub(crate) inner: Inner,
        //~ message: `Inner` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
        //~ note: `Archive`, `Serialize` and `Deserialize` of `pool_api::rkyv`, with `#[rkyv(crate = pool_api::rkyv)]`
    }

    struct Empty;

    enum Choice {
        Nothing,
        One(#[allow(dead_code)] Vec<Pair>),
        //~ message: `Vec<Pair>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
        Many { first: u32, rest: Option<Pair> },
        //~ message: `Option<Pair>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
    }

    struct Wrapped<T> { value: T }

    struct Tuple(u32, pub [Pair; 2],);
    //~ message: `[Pair; 2]` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
}

impl Default for Inner {
    fn default() -> Self {
        Self { value: 0 }
    }
}

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    pool.map([Inner { value: 1 }], |inner| inner.value)?;
    //~ message: `Inner` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
    pool.map([1u32], |value| Inner { value })?;
    //~ message: `Inner` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    pool.tasks([1u32]).with_worker().map(|_, value| Wrapped { value: Inner { value } })?;
    //~ message: `Wrapped<Inner>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    pool.task(Inner { value: 1 }).apply(|inner| inner.value)?;
    //~ message: `Inner` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    Ok(())
}
