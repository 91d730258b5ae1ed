//! Mutexes that their own thread may take again, between processes: what they keep apart, what a
//! fork copies, and what is left of a holder that dies or replaces its program.

#[path = "support/holders.rs"]
mod holders;
#[path = "support/processes.rs"]
mod processes;

use std::{
    env, mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    time::Duration,
};

use holders::{holder, kill_and_reap};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
};
use pool_shm::{LockError, SegmentId, SharedEvent, SharedReentrantMutex, SharedSegment};
use processes::{finish, run, start};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for a dead holder to be noticed many times.
const SHORT: Duration = Duration::from_millis(100);

type Mutex = SharedReentrantMutex<[u64; 2]>;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, what, fd, id, slot] = &arguments[..]
        && what == REPLACED
    {
        return replaced(fd, id, slot);
    }
    run(&[
        ("processes_add_up", processes_add_up),
        ("other_processes_wait_for_the_last_guard", others_wait_for_the_last_guard),
        ("inherited_guards_count_for_the_parent_only", inherited_guards_count_for_the_parent),
        ("a_process_that_is_killed_with_two_guards_is_reported", killed_holders_are_reported),
        ("an_heir_that_is_killed_too_is_reported", killed_heirs_are_reported),
        ("a_replaced_program_has_no_guards", replaced_programs_have_no_guards),
    ]);
}

fn new() -> Mutex {
    SharedReentrantMutex::new([0; 2]).expect("a mutex")
}

/// Adds one to both halves, each with a guard of its own.
fn change(mutex: &Mutex) {
    let guard = mutex.lock_timeout(LONG).expect("had");
    let [left, right] = guard.get();
    assert_eq!(left, right, "another process was inside");
    guard.set([left + 1, right]);
    mutex.lock_timeout(LONG).expect("had already").update(|[left, right]| [left, right + 1]);
}

/// Takes the lock of a dead holder, and returns what that left of the data.
fn repair(mutex: &Mutex) -> [u64; 2] {
    match mutex.lock_timeout(LONG) {
        Err(LockError::HolderDied(guard)) => {
            let found = guard.replace([0; 2]);
            guard.mark_repaired();
            found
        }
        other => panic!("{other:?}"),
    }
}

fn processes_add_up() {
    let mutex = new();
    let children = [(); 4].map(|()| start(|| (0..5_000).for_each(|_| change(&mutex))));
    children.into_iter().for_each(finish);
    assert_eq!(mutex.lock().expect("had").get(), [20_000; 2]);
}

fn others_wait_for_the_last_guard() {
    let (mutex, go_on) = (new(), SharedEvent::new().expect("event"));
    let held = SharedEvent::new().expect("event");
    let child = start(|| {
        let (first, second) = (mutex.lock().expect("had"), mutex.lock().expect("had"));
        for guard in [first, second] {
            held.set();
            assert!(go_on.wait_timeout(LONG));
            go_on.clear();
            drop(guard);
        }
    });
    for _ in 0..2 {
        assert!(held.wait_timeout(LONG));
        held.clear();
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
        go_on.set();
    }
    drop(mutex.lock_timeout(LONG).expect("had"));
    finish(child);
}

fn inherited_guards_count_for_the_parent() {
    let mutex = new();
    let mut held = Some((mutex.lock().expect("had"), mutex.lock().expect("had")));
    finish(start(|| {
        // The child does not own what its parent holds, and its copies change nothing.
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        let (first, second) = held.take().expect("copies");
        assert!(!first.is_unrepaired());
        first.mark_repaired();
        drop((first, second));
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
    }));
    let (first, second) = held.take().expect("the guards");
    drop(first);
    finish(start(|| assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)))));
    drop(second);
    finish(start(|| drop(mutex.try_lock().expect("given back"))));

    // The parent has the lock of a dead holder: a child cannot declare it whole.
    finish(start(|| mem::forget(mutex.lock().expect("had"))));
    let Err(LockError::HolderDied(guard)) = mutex.lock_timeout(LONG) else { panic!("no report") };
    finish(start(|| {
        guard.mark_repaired();
        assert!(!guard.is_unrepaired(), "a copy does not decide");
    }));
    assert!(guard.is_unrepaired());
    guard.mark_repaired();
    drop(guard);
    assert!(mutex.lock().is_ok());
}

fn killed_holders_are_reported() {
    let mutex = new();
    for _ in 0..2 {
        let child = holder(|| {
            let both = (mutex.lock().expect("had"), mutex.lock().expect("had"));
            both.1.set([1, 0]);
            mem::forget(both);
        });
        // A holder that is stopped lives.
        kill(child, Signal::SIGSTOP).expect("stop");
        let stopped = waitpid(child, Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
        assert_eq!(stopped, WaitStatus::Stopped(child, Signal::SIGSTOP));
        assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
        kill_and_reap(child);
        assert_eq!(repair(&mutex), [1, 0]);
        // The heir has one guard, and has given it back.
        finish(start(|| change(&mutex)));
        assert_eq!(mutex.lock().expect("had").replace([0; 2]), [1, 1]);
    }
    // Not repaired: for all processes.
    finish(start(|| mem::forget((mutex.lock().expect("had"), mutex.lock().expect("had")))));
    assert!(matches!(mutex.lock().map_err(LockError::give_up), Err(LockError::Unrecoverable)));
    finish(start(|| assert!(matches!(mutex.lock(), Err(LockError::Unrecoverable)))));
}

fn killed_heirs_are_reported() {
    let mutex = new();
    finish(start(|| mem::forget(mutex.lock().expect("had"))));
    for marks in [false, true] {
        let child = holder(|| {
            for _ in 0..2 {
                let Err(LockError::HolderDied(guard)) = mutex.lock_timeout(LONG) else {
                    panic!("no report");
                };
                mem::forget(guard);
            }
            if marks {
                let Err(LockError::HolderDied(guard)) = mutex.lock() else { panic!("no report") };
                guard.mark_repaired();
                drop(guard);
                mem::forget(mutex.lock().expect("it is whole for this thread"));
            }
        });
        kill_and_reap(child);
    }
    repair(&mutex);
    assert!(mutex.lock().is_ok());
}

/// The first argument of this executable as the program that replaces a holder's.
const REPLACED: &str = "replaced-program";

/// The life of such a program: its thread has the name of the holder, and none of its guards.
fn replaced(fd: &str, id: &str, slot: &str) {
    let fd: RawFd = fd.parse().expect("a descriptor");
    // SAFETY: the holder left it open for this program, which has nothing else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let id = SegmentId(id.parse().expect("an identity"));
    // SAFETY: it is the descriptor of the segment, which no program writes as a file.
    let segment = unsafe { SharedSegment::open(fd, id) }.expect("the segment");
    let mutex = Mutex::open(segment, slot.parse().expect("a slot")).expect("the mutex");
    for _ in 0..2 {
        assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::WouldDeadlock)));
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldDeadlock)));
    }
    // Another lock is its own, at any depth.
    let own = new();
    drop((own.lock().expect("had"), own.lock().expect("had again")));
}

fn replaced_programs_have_no_guards() {
    let mutex = new();
    let this = env::current_exe().expect("this program");
    let child = start(|| {
        let both = (mutex.lock().expect("had"), mutex.lock().expect("had"));
        both.0.set([1, 0]);
        mem::forget(both);
        let (segment, slot) = (mutex.block().segment(), mutex.block().slot());
        // SAFETY: the descriptor is only opened, by the program that follows.
        let fd = unsafe { segment.as_fd() };
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("kept open");
        let arguments = [fd.as_raw_fd().to_string(), segment.id().0.to_string(), slot.to_string()];
        let error = Command::new(this).arg(REPLACED).args(arguments).exec();
        panic!("{error}");
    });
    finish(child);
    assert_eq!(repair(&mutex), [1, 0]);
}
