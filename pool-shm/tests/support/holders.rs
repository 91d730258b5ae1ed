//! Children that hold something, and are killed with it.

use std::{thread, time::Duration};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::WaitStatus,
    },
    unistd::Pid,
};
use pool_shm::SharedEvent;

use crate::processes::{end_of, start};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// A child that calls `holds` and then does nothing for ever.
pub(crate) fn holder(holds: impl FnOnce()) -> Pid {
    let ready = SharedEvent::new().expect("event");
    let child = start(|| {
        holds();
        ready.set();
        loop {
            thread::park();
        }
    });
    assert!(ready.wait_timeout(LONG));
    child
}

pub(crate) fn kill_and_reap(child: Pid) {
    kill(child, Signal::SIGKILL).expect("kill");
    assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGKILL, false));
}
