//! Paths as items, and in them.

use std::path::PathBuf;

use pool_api::{WorkerPool, wire};

wire! {
//~ also
    struct Job {
        file: PathBuf,
        //~ message: `PathBuf` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: a `PathBuf` crosses as text: mark the field of a type in `wire!` by `#[rkyv(with = pool_api::rkyv::with::AsString)]`, or send a `String`
        #[rkyv(with = pool_api::rkyv::with::AsString)]
        folder: PathBuf,
        line: u32,
    }
}

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    pool.map([PathBuf::from("a")], |path| path.exists())?;
    //~ message: `PathBuf` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: a `PathBuf` crosses as text: mark the field of a type in `wire!` by `#[rkyv(with = pool_api::rkyv::with::AsString)]`, or send a `String`
    Ok(())
}
