//! A test that hangs fails instead.

use std::{sync::mpsc, thread, time::Duration};

/// Runs `test` in a thread of its own, for two minutes at most.
pub(crate) fn within_limit(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        let _ = ended.send(());
    });
    match end.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test did not end in time"),
        _ => {
            if let Err(panic) = test.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
