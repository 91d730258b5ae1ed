//! What do locks between processes cost?
//!
//! Uncontended, they are compared with those of the standard library, which know one process only;
//! between two processes, with the C library's mutexes in shared memory, of which the plain one
//! stays locked for ever when its holder dies.

use std::{
    hint::black_box,
    mem::MaybeUninit,
    sync::{Mutex, RwLock},
};

use libc::{
    PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED, pthread_mutex_init, pthread_mutex_lock,
    pthread_mutex_t, pthread_mutex_unlock, pthread_mutexattr_init, pthread_mutexattr_setpshared,
    pthread_mutexattr_setrobust,
};
use pool_shm::{Mapping, Segment, SharedMutex, SharedRwLock};

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
    peer::Peer,
};

const STD: &str = "std";
const PLAIN: &str = "pthread, shared";
const ROBUST: &str = "pthread, shared and robust";
const OURS: &str = "SharedMutex";

/// A mutex of the C library in shared memory, and a number behind it.
struct Pthread(Mapping);

impl Pthread {
    fn new(robust: bool) -> Outcome<Self> {
        let mapping = Segment::create("pthread", 4096)?.map()?;
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised before they are used; the mapping has room for a
        // mutex, aligned to a page, and lives as long as the result.
        unsafe {
            pthread_mutexattr_init(attributes.as_mut_ptr());
            pthread_mutexattr_setpshared(attributes.as_mut_ptr(), PTHREAD_PROCESS_SHARED);
            if robust {
                pthread_mutexattr_setrobust(attributes.as_mut_ptr(), PTHREAD_MUTEX_ROBUST);
            }
            assert_eq!(pthread_mutex_init(mapping.as_ptr().cast(), attributes.as_ptr()), 0);
        }
        Ok(Self(mapping))
    }

    fn count_up(&self) {
        let mutex = self.0.as_ptr().cast::<pthread_mutex_t>();
        // SAFETY: initialised above; the number behind the mutex is inside the mapping, and changed
        // with the lock held only.
        unsafe {
            assert_eq!(pthread_mutex_lock(mutex), 0);
            *mutex.add(1).cast::<u64>() += 1;
            assert_eq!(pthread_mutex_unlock(mutex), 0);
        }
    }
}

/// Nanoseconds for one of `count` calls.
fn nanos(count: usize, mut call: impl FnMut()) -> f64 {
    let ((), seconds) = timed(|| (0..count).for_each(|_| call()));
    seconds * 1e9 / count as f64
}

/// No other thread wants the lock.
pub(crate) fn alone(scale: &Scale) -> Outcome {
    let count = scale.count(400_000);
    let (std, ours) = (Mutex::new(0u64), SharedMutex::new(0u64)?);
    let (plain, robust) = (Pthread::new(false)?, Pthread::new(true)?);
    let mut bout = Bout::new("locks", "lock, count up, unlock, alone", Unit::Nanos);
    let floor = Expected::beside(STD).floor(Goal::Ratio(2.0));
    bout.subject(OURS, floor, || {
        Ok(nanos(count, || *black_box(&ours).lock().expect("no holder died") += 1))
    });
    bout.baseline(STD, || {
        Ok(nanos(count, || *black_box(&std).lock().expect("no holder panicked") += 1))
    });
    for (name, mutex) in [(PLAIN, &plain), (ROBUST, &robust)] {
        bout.subject(name, Expected::beside(STD), move || {
            Ok(nanos(count, || black_box(mutex).count_up()))
        });
    }
    bout.run(scale.rounds(15))?;

    let (std, ours) = (RwLock::new(0u64), SharedRwLock::new(0u64)?);
    let mut bout = Bout::new("locks", "read, alone", Unit::Nanos);
    bout.subject("SharedRwLock", Expected::beside(STD), || {
        Ok(nanos(count, || {
            black_box(*black_box(&ours).read().expect("no holder died"));
        }))
    });
    bout.baseline(STD, || {
        Ok(nanos(count, || {
            black_box(*black_box(&std).read().expect("no holder panicked"));
        }))
    });
    bout.run(scale.rounds(15))?;

    let mut bout = Bout::new("locks", "write, alone", Unit::Nanos);
    bout.subject("SharedRwLock", Expected::beside(STD), || {
        Ok(nanos(count, || *black_box(&ours).write().expect("no holder died") += 1))
    });
    bout.baseline(STD, || {
        Ok(nanos(count, || *black_box(&std).write().expect("no holder panicked") += 1))
    });
    bout.run(scale.rounds(15))
}

/// Two processes count up as fast as they can.
pub(crate) fn contended(scale: &Scale) -> Outcome {
    let count = scale.count(100_000);
    let ours = SharedMutex::new(0u64)?;
    let (plain, robust) = (Pthread::new(false)?, Pthread::new(true)?);
    let count_plain = || plain.count_up();
    let count_robust = || robust.count_up();
    let count_ours = || *ours.lock().expect("no holder died") += 1;

    let mut bout = Bout::new("locks", "lock, count up, unlock, two processes", Unit::Nanos);
    let subjects: [(&str, &dyn Fn()); 3] =
        [(PLAIN, &count_plain), (ROBUST, &count_robust), (OURS, &count_ours)];
    for (name, count_up) in subjects {
        let peer = Peer::working(None, || (0..count).for_each(|_| count_up()))?;
        let both = move || {
            let ((), seconds) = timed(|| {
                peer.ask();
                (0..count).for_each(|_| count_up());
                peer.wait();
            });
            Ok(seconds * 1e9 / (2 * count) as f64)
        };
        if name == PLAIN {
            bout.baseline(name, both);
        } else {
            bout.subject(name, Expected::beside(PLAIN), both);
        }
    }
    bout.run(scale.rounds(15))
}
