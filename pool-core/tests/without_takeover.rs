//! Without the feature `takeover`: nothing is started before `init()` was called; afterwards
//! everything works.
//!
//! ```sh
//! cargo test -p pool-core --no-default-features --features forkserver,spawn --test without_takeover
//! ```

use std::process::Command;

use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, waitpid},
};
use pool_core::{Error, JobOptions, PlainForm, Pool, PoolOptions, StartMethod};

fn main() {
    let mut methods = Vec::new();
    if cfg!(feature = "takeover") {
        println!("the feature `takeover` is on: there is nothing to try");
    } else {
        methods.extend(cfg!(feature = "forkserver").then_some(StartMethod::ForkServer));
        methods.extend(cfg!(feature = "spawn").then_some(StartMethod::Spawn));
    }
    let initialised = std::env::args().nth(1).as_deref() == Some("initialised");
    if initialised {
        pool_core::init();
        println!("main runs");
    }
    for method in &methods {
        let mut options = PoolOptions::default();
        options.start_method = *method;
        options.n_jobs = Some(2);
        let pool = Pool::build(&options);
        if !initialised {
            assert!(matches!(pool, Err(Error::NotInitialised)), "{method}: {pool:?}");
            let children = waitpid(None, Some(WaitPidFlag::WNOHANG));
            assert_eq!(children, Err(Errno::ECHILD), "nothing was started");
            continue;
        }
        let pool = pool.expect("a pool");
        let options = JobOptions::default();
        let job = pool.job::<PlainForm<u64, u64>, _>(|x| x * x, (), 0..10, &options, false);
        let values = job.and_then(|job| job.values(true)).expect("values");
        assert_eq!(values, (0..10).map(|x| x * x).collect::<Vec<_>>());
    }
    if !initialised && !methods.is_empty() {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).arg("initialised").output().expect("it runs");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{err}");
        assert_eq!(out.matches("main runs").count(), 1, "copies do not run `main`");
        println!("test without_takeover ... ok");
    }
}
