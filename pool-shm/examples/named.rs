//! Two programs that are not relatives share memory by its name:
//! `cargo run -p pool-shm --features named --example named`.
//!
//! The second program is this one once more, told nothing but the name.

use std::{
    env,
    error::Error,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use pool_shm::NamedSegment;

fn counter(segment: &NamedSegment) -> &AtomicU64 {
    assert!(segment.len() >= size_of::<AtomicU64>());
    // SAFETY: the word is mapped as long as the segment, at a multiple of 64 bytes, and both
    // programs use it as an atomic only.
    unsafe { AtomicU64::from_ptr(segment.as_ptr().cast()) }
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = env::args().nth(1) {
        let theirs = NamedSegment::open(&name)?;
        let before = counter(&theirs).fetch_add(21, Ordering::SeqCst);
        println!("second program: found {before} in {theirs:?}");
        return Ok(());
    }
    let name = format!("pool-shm-example.{}", std::process::id());
    // Whatever an earlier run left behind when it was killed: this begins afresh.
    let ours = NamedSegment::create_or_replace(&name, 4096)?;
    counter(&ours).store(21, Ordering::SeqCst);
    println!(
        "second create: {}",
        NamedSegment::create(&name, 4096).expect_err("the name is taken")
    );

    let status = Command::new(env::current_exe()?).arg(&name).status()?;
    println!(
        "first program: {} after the second one has ended ({status})",
        counter(&ours).load(Ordering::SeqCst)
    );

    drop(ours);
    println!("afterwards: {}", NamedSegment::open(&name).expect_err("its creator is gone"));
    Ok(())
}
