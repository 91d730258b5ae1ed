//! Keys of maps whose archives cannot be keys.

use std::collections::{BTreeMap, HashMap};

use pool_api::{WorkerPool, wire};

wire! {
//~ also
    #[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Place { row: u32, column: u32 }

    struct Board {
        pieces: HashMap<Place, String>,
        //~ message: `HashMap<Place, String>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: the key of a `HashMap` needs `#[rkyv(derive(PartialEq, Eq, Hash))]` on its type in `wire!`
    }
}

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    pool.map([HashMap::<Place, u32>::new()], |map| map.len())?;
    //~ message: `HashMap<Place, u32>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: the key of a `HashMap` needs `#[rkyv(derive(PartialEq, Eq, Hash))]` on its type in `wire!`
    pool.map([BTreeMap::<Place, u32>::new()], |map| map.len())?;
    //~ message: `BTreeMap<Place, u32>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: that of a `BTreeMap` `#[rkyv(derive(PartialEq, Eq, PartialOrd, Ord))]`
    Ok(())
}
