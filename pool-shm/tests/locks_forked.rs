//! Locks between processes: what they keep apart, what a fork copies, and which holders count as
//! dead.

#[path = "support/holders.rs"]
mod holders;
#[path = "support/processes.rs"]
mod processes;

use std::{io, mem, thread, time::Duration};

use holders::{holder, kill_and_reap};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use pool_shm::{
    LockError, SegmentFault, SharedBarrier, SharedCondvar, SharedEvent, SharedMutex,
    SharedReentrantMutex, SharedRwLock, SharedSemaphore, begin_idle, end_idle, exclusive_borrows,
    exit_process,
};
use processes::{end_of, finish, run, start};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for a dead holder to be noticed many times.
const SHORT: Duration = Duration::from_millis(100);

fn main() {
    run(&[
        ("processes_add_up", processes_add_up),
        ("an_inherited_guard_unlocks_nothing", inherited_guards_unlock_nothing),
        ("an_inherited_permit_gives_nothing_back", inherited_permits_give_nothing_back),
        ("a_child_signs_for_itself", children_sign_for_themselves),
        ("a_stopped_holder_is_not_dead", stopped_is_not_dead),
        ("a_zombie_is_dead", zombies_are_dead),
        ("the_dead_are_noticed_without_descriptors", noticed_without_descriptors),
        ("permits_of_the_dead_come_back", permits_come_back),
        ("an_event_is_seen_by_other_processes", events_are_seen),
        ("a_change_is_seen_without_a_notification", changes_are_seen),
        ("a_dead_party_breaks_the_barrier", dead_parties_break),
        ("an_idle_party_is_not_missed", idle_parties_are_not_missed),
        ("who_leaves_in_peace_breaks_nothing", leaving_breaks_nothing),
        ("an_orderly_end_breaks_nothing", orderly_ends_break_nothing),
        ("an_uncontended_lock_costs_no_system_call", no_system_call),
        ("a_lock_of_another_namespace_is_refused", namespaces_are_told_apart),
    ]);
}

fn processes_add_up() {
    let (mutex, lock) =
        (SharedMutex::new(0u64).expect("mutex"), SharedRwLock::new(0u64).expect("lock"));
    let children = [(); 4].map(|()| {
        start(|| {
            for _ in 0..10_000 {
                *mutex.lock().expect("had") += 1;
                *lock.write().expect("had") += 1;
            }
        })
    });
    children.into_iter().for_each(finish);
    assert_eq!((*mutex.lock().expect("had"), *lock.read().expect("had")), (40_000, 40_000));
}

fn inherited_guards_unlock_nothing() {
    let (mutex, lock) =
        (SharedMutex::new(0u8).expect("mutex"), SharedRwLock::new(0u8).expect("lock"));
    let mut held = Some((mutex.lock().expect("had"), lock.read().expect("had")));
    finish(start(|| {
        drop(held.take());
        assert_eq!(exclusive_borrows(), 0);
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(lock.try_write(), Err(LockError::WouldBlock)));
        drop(lock.try_read().expect("had"));
    }));
    assert!(matches!(mutex.lock(), Err(LockError::WouldDeadlock)));
    drop(held);
    let mut held = Some(lock.write().expect("had"));
    finish(start(|| {
        drop(held.take());
        assert!(matches!(lock.try_read(), Err(LockError::WouldBlock)));
    }));
    drop(held);
    assert!(mutex.lock().is_ok() && lock.write().is_ok());
}

fn inherited_permits_give_nothing_back() {
    let semaphore = SharedSemaphore::new(1).expect("semaphore");
    let mut permit = Some(semaphore.acquire().expect("had"));
    finish(start(|| {
        drop(permit.take());
        assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock)));
    }));
    let mut permit = Some(permit.take().expect("still there"));
    finish(start(|| permit.take().expect("a copy").consume()));
    assert_eq!(semaphore.available(), 0);
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

fn children_sign_for_themselves() {
    let mutex = SharedMutex::new(0u8).expect("mutex");
    drop(mutex.lock().expect("had")); // the parent's name is known
    let child = start(|| mem::forget(mutex.lock().expect("had")));
    finish(child);
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::HolderDied(_))));
}

fn stopped_is_not_dead() {
    let mutex = SharedMutex::new(0u8).expect("mutex");
    let child = holder(|| mem::forget(mutex.lock().expect("had")));
    kill(child, Signal::SIGSTOP).expect("stop");
    let stopped = waitpid(child, Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
    assert_eq!(stopped, WaitStatus::Stopped(child, Signal::SIGSTOP));
    assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
    kill_and_reap(child);
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::HolderDied(_))));
}

fn zombies_are_dead() {
    let lock = SharedRwLock::new(0u8).expect("lock");
    let child = holder(|| mem::forget(lock.read().expect("had")));
    assert!(matches!(lock.write_timeout(SHORT), Err(LockError::TimedOut)));
    kill(child, Signal::SIGKILL).expect("kill");
    drop(lock.write_timeout(LONG).expect("had"));
    assert_eq!(lock.dead_readers(), 1);
    end_of(child);
}

fn noticed_without_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let mutex = SharedMutex::new(0u8).expect("mutex");
    let child = holder(|| mem::forget(mutex.lock().expect("had")));
    finish(start(|| {
        drop(SharedMutex::new(0u8).expect("mutex").lock().expect("had")); // knows its own name
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).expect("limit");
        assert!(matches!(mutex.lock_timeout(SHORT), Err(LockError::TimedOut)));
    }));
    // No process waits for it yet: it becomes a zombie.
    kill(child, Signal::SIGKILL).expect("kill");
    finish(start(|| {
        drop(SharedMutex::new(0u8).expect("mutex").lock().expect("had"));
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).expect("limit");
        match mutex.lock_timeout(LONG) {
            Err(LockError::HolderDied(mut guard)) => guard.mark_repaired(),
            other => panic!("{other:?}"),
        }
    }));
    end_of(child);
    assert!(mutex.lock().is_ok());
}

fn permits_come_back() {
    let semaphore = SharedSemaphore::new(2).expect("semaphore");
    let child = holder(|| mem::forget(semaphore.acquire().expect("had")));
    let ours = semaphore.acquire().expect("had");
    assert!(matches!(semaphore.acquire_timeout(SHORT), Err(LockError::TimedOut)));
    kill_and_reap(child);
    drop(semaphore.acquire_timeout(LONG).expect("had"));
    assert_eq!((semaphore.reclaimed(), semaphore.available()), (1, 1));
    drop(ours);
}

fn events_are_seen() {
    let (ping, pong) = (SharedEvent::new().expect("event"), SharedEvent::new().expect("event"));
    let child = start(|| {
        for _ in 0..1_000 {
            ping.wait();
            ping.clear();
            pong.set();
        }
    });
    for _ in 0..1_000 {
        ping.set();
        assert!(pong.wait_timeout(LONG));
        pong.clear();
    }
    finish(child);
}

fn changes_are_seen() {
    for with_condition in [true, false] {
        let (mutex, changed) =
            (SharedMutex::new(0u8).expect("mutex"), SharedCondvar::new().expect("condition"));
        let mut guard = mutex.lock().expect("had");
        // The child dies before it notifies.
        let child = start(|| *mutex.lock().expect("had") = 1);
        if with_condition {
            guard = changed.wait_while(guard, |value| *value == 0).expect("had");
        }
        while *guard == 0 {
            guard = changed.wait(guard).expect("had");
        }
        drop(guard);
        finish(child);
    }
}

fn dead_parties_break() {
    let barrier = SharedBarrier::new(2).expect("barrier");
    // The child dies between two waits.
    let gone_through = SharedEvent::new().expect("event");
    let child = start(|| {
        barrier.wait_timeout(LONG).expect("both come");
        gone_through.set();
        loop {
            thread::park();
        }
    });
    barrier.wait_timeout(LONG).expect("both come");
    assert!(gone_through.wait_timeout(LONG));
    kill_and_reap(child);
    assert!(matches!(barrier.wait_timeout(LONG), Err(LockError::Broken)));
    assert!(matches!(barrier.wait(), Err(LockError::Broken)));

    // One of three parties dies while it waits with another; the third never came.
    let barrier = SharedBarrier::new(3).expect("barrier");
    let child = start(|| drop(barrier.wait()));
    let witness = start(|| {
        assert!(matches!(barrier.wait_timeout(LONG), Err(LockError::Broken)));
    });
    while barrier.waiting() < 2 {
        thread::yield_now();
    }
    kill_and_reap(child);
    finish(witness);
    barrier.reset();
    assert!(!barrier.is_broken() && barrier.waiting() == 0);

    // The leader dies in its action, whichever process leads.
    let barrier = SharedBarrier::new(2).expect("barrier");
    let ends = [(); 2].map(|()| {
        start(|| {
            let end = barrier.wait_and_lead(|| {
                let _ = kill(Pid::this(), Signal::SIGKILL);
            });
            assert!(matches!(end, Err(LockError::Broken)));
        })
    });
    let ends = ends.map(end_of);
    let killed = |end: &&WaitStatus| matches!(end, WaitStatus::Signaled(_, Signal::SIGKILL, _));
    assert_eq!(ends.iter().filter(killed).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| matches!(end, WaitStatus::Exited(_, 0))).count(), 1);
}

/// An idle party may be killed; a busy one, or one that waits, is missed.
fn idle_parties_are_not_missed() {
    let barrier = SharedBarrier::new(2).expect("barrier");
    let ready = SharedEvent::new().expect("event");
    for goes_on in [false, true] {
        ready.clear();
        let child = start(|| {
            barrier.wait_timeout(LONG).expect("both come");
            begin_idle();
            if goes_on {
                end_idle();
            }
            ready.set();
            loop {
                thread::park();
            }
        });
        barrier.wait_timeout(LONG).expect("both come");
        assert!(ready.wait_timeout(LONG));
        kill_and_reap(child);
        if goes_on {
            assert!(matches!(barrier.wait_timeout(LONG), Err(LockError::Broken)));
            break;
        }
        // Whichever party comes first, others take the place of the dead one.
        for _ in 0..3 {
            let other = start(|| {
                barrier.wait_timeout(LONG).expect("both come");
                begin_idle();
            });
            barrier.wait_timeout(LONG).expect("both come");
            finish(other);
        }
        assert!(!barrier.is_broken());
    }
    // The process is idle, not the thread that waits in it.
    let barrier = SharedBarrier::new(2).expect("barrier");
    let child = start(|| {
        let waiter = barrier.clone();
        thread::spawn(move || waiter.wait());
        while barrier.waiting() == 0 {
            thread::yield_now();
        }
        begin_idle();
        end_idle();
        begin_idle();
        ready.clear();
        loop {
            thread::park();
        }
    });
    while barrier.waiting() == 0 {
        thread::yield_now();
    }
    barrier.wait_timeout(LONG).expect("both come");
    kill_and_reap(child);
}

fn leaving_breaks_nothing() {
    let barrier = SharedBarrier::new(2).expect("barrier");
    for _ in 0..20 {
        let child = start(|| {
            assert!(barrier.wait_timeout(LONG).is_ok());
            barrier.leave();
        });
        assert!(barrier.wait_timeout(LONG).is_ok());
        finish(child);
    }
}

fn no_system_call() {
    let (mutex, lock) =
        (SharedMutex::new(0u64).expect("mutex"), SharedRwLock::new(0u64).expect("lock"));
    let semaphore = SharedSemaphore::new(1).expect("semaphore");
    let reentrant = SharedReentrantMutex::new(0u64).expect("mutex");
    let child = start(|| {
        // Finds out its own name.
        drop((mutex.lock(), lock.write(), semaphore.acquire(), reentrant.lock()));
        // SAFETY: from here on every system call but read, write and exit kills this process.
        if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) } != 0 {
            let error = io::Error::last_os_error();
            println!(
                "skipped: locks without system calls: no filter of system calls can be had here: {error}"
            );
        }
        for _ in 0..1_000 {
            *mutex.lock().expect("had") += 1;
            *lock.write().expect("had") += 1;
            drop(lock.read().expect("had"));
            drop(semaphore.acquire().expect("had"));
            let _outer = reentrant.lock().expect("had");
            reentrant.lock().expect("had").update(|value| value + 1);
        }
        // SAFETY: ends the only thread of this process.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    finish(child);
    assert_eq!((*mutex.lock().expect("had"), *lock.read().expect("had")), (1_000, 1_000));
    assert_eq!(reentrant.lock().expect("had").get(), 1_000);
}

/// No party misses a process that ends in order, whatever it has leaked; the next holder of a lock
/// that it held alone is told.
fn orderly_ends_break_nothing() {
    let barrier = SharedBarrier::new(2).expect("barrier");
    let semaphore = SharedSemaphore::new(2).expect("semaphore");
    let lock = SharedRwLock::new(0u8).expect("lock");
    for threads in [0, 1] {
        let mutex = SharedMutex::new(0u8).expect("mutex");
        let child = start(|| {
            if threads > 0 {
                drop(thread::spawn(|| thread::sleep(LONG)));
            }
            barrier.wait().expect("both come");
            mem::forget((semaphore.acquire(), semaphore.acquire()));
            Box::leak(Box::new((lock.read().expect("had"), mutex.lock().expect("had"))));
            exit_process(0)
        });
        barrier.wait().expect("both come");
        finish(child);
        assert!(!barrier.is_broken());
        assert_eq!((semaphore.available(), semaphore.reclaimed()), (2, 0));
        // The lock was given back or, if another thread may read through the leaked guard, is taken
        // from the dead holder.
        assert!(lock.try_write().is_ok());
        assert!(matches!(mutex.lock(), Err(LockError::HolderDied(_))), "the heir is told");
    }
    // A process that has never waited at a barrier just ends, with its own exit code.
    let WaitStatus::Exited(_, 7) = end_of(start(|| exit_process(7))) else { panic!("exits") };
}

fn namespaces_are_told_apart() {
    let mutex = SharedMutex::new(0u8).expect("mutex");
    let (segment, slot) = (mutex.block().segment().clone(), mutex.block().slot());
    let child = start(|| {
        // Root may just unshare; others need a namespace of users too, which some systems refuse.
        let users = CloneFlags::CLONE_NEWUSER;
        match unshare(CloneFlags::CLONE_NEWPID)
            .or_else(|_| unshare(users | CloneFlags::CLONE_NEWPID))
        {
            Ok(()) => {}
            Err(Errno::EPERM) => {
                println!(
                    "skipped: namespaces_are_told_apart: this user may not make a PID namespace"
                );
                return;
            }
            Err(errno) => panic!("{errno}"),
        }
        finish(start(|| {
            // `/proc` still belongs to the first namespace, so this process cannot be named.
            assert!(matches!(mutex.lock(), Err(LockError::Unidentified { .. })));
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            let none: Option<&str> = None;
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(none, "/", none, private, none).expect("private mounts");
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).expect("mount");
            assert!(matches!(mutex.lock(), Err(LockError::ForeignNamespace)));
            let opened = SharedMutex::<u8>::open(segment.clone(), slot);
            assert_eq!(opened.map(drop), Err(SegmentFault::ForeignNamespace));
            let ours = SharedMutex::new(1u8).expect("a mutex of this namespace");
            assert_eq!(*ours.lock().expect("had"), 1);
        }));
    });
    finish(child);
    assert!(mutex.lock().is_ok());
}
