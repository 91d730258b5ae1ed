//! Runs the cases of a program that has no libtest under each start method.

use pool_api::{StartMethod, WorkerPool};

use crate::footprint::Footprint;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A case, under one start method.
pub(crate) type Case = fn(StartMethod) -> Outcome;

// SAFETY: as in libc's headers for Linux.
unsafe extern "C" {
    safe fn alarm(seconds: u32) -> u32;
}

/// Runs each case twice, and looks at what the second run leaves behind.
pub(crate) fn run_all(cases: &[(&str, Case)]) -> Outcome {
    // The end of a test that hangs. No thread can watch here, since Fork needs a process with one.
    alarm(300);
    let mut passed = 0;
    for method in StartMethod::ALL {
        for (name, case) in cases {
            // In the first run the allocator takes memory that it keeps.
            case(method).map_err(|error| format!("{method}: {name}: {error}"))?;
            let before = Footprint::now();
            case(method).map_err(|error| format!("{method}: {name}: {error}"))?;
            assert_eq!(before.changes(), None, "{method}: {name} leaves something behind");
            println!("test {method}::{name} ... ok");
            passed += 1;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed");
    Ok(())
}

pub(crate) fn pool(method: StartMethod) -> pool_api::Result<WorkerPool> {
    WorkerPool::builder().start_method(method).n_jobs(2).build()
}
