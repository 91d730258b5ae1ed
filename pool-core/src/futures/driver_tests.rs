use std::{sync::Barrier, time::Instant};

use super::*;

/// These tests see each other's pauses.
static ALONE: Mutex<()> = Mutex::new(());
const STACK: usize = 1 << 20;

struct Idle;

impl Driven for Idle {
    fn demand(&self) -> (Work, u64) {
        (Work::Nothing, 0)
    }
    fn drive(&self, _: &Leave<'_>) -> bool {
        true
    }
    fn stand_by(&self, _: &Leave<'_>) {}
    fn pass(&self) {}
    fn interrupt(&self) {}
    fn unattended(&self, _: Error) {}
}

#[test]
fn no_thread_starts_in_a_pause() {
    let _alone = lock(&ALONE);
    let idle: Arc<dyn Driven> = Arc::new(Idle);
    let drivers = [0, 1].map(|_| Driver::new(Arc::downgrade(&idle), STACK));
    let runs = |driver: &Driver| driver.0.runs.load(Ordering::SeqCst);
    drivers[0].start().unwrap();
    let paused = pause_drivers();
    let nested = pause_drivers();
    drivers[1].start().unwrap();
    drop(nested);
    assert!(!drivers.iter().any(runs));
    drop(paused);
    assert!(drivers.iter().all(runs));
    let paused = pause_drivers();
    drivers[0].stop();
    drop(paused);
    assert!(!runs(&drivers[0]));
    drivers.iter().for_each(Driver::stop);
}

/// Two threads run code that opens a crew at the same time, as wakers may.
struct Forks {
    both: Barrier,
    came: AtomicUsize,
    through: AtomicUsize,
}

impl Driven for Forks {
    fn demand(&self) -> (Work, u64) {
        (if self.through.load(Ordering::SeqCst) < 2 { Work::Now } else { Work::Over }, 0)
    }
    fn drive(&self, _: &Leave<'_>) -> bool {
        if self.came.fetch_add(1, Ordering::SeqCst) < 2 {
            self.both.wait();
            drop(pause_drivers());
            self.through.fetch_add(1, Ordering::SeqCst);
        }
        true
    }
    fn stand_by(&self, _: &Leave<'_>) {}
    fn pass(&self) {}
    fn interrupt(&self) {}
    fn unattended(&self, _: Error) {}
}

#[test]
fn none_of_these_threads_waits_for_another() {
    let _alone = lock(&ALONE);
    let forks = Arc::new(Forks {
        both: Barrier::new(2),
        came: AtomicUsize::new(0),
        through: AtomicUsize::new(0),
    });
    let driven: Arc<dyn Driven> = forks.clone();
    let drivers = [0, 1].map(|_| Driver::new(Arc::downgrade(&driven), STACK));
    drivers.iter().for_each(|driver| driver.start().unwrap());
    let begun = Instant::now();
    while forks.through.load(Ordering::SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "they wait for each other");
        std::thread::sleep(Duration::from_millis(1));
    }
    drivers.iter().for_each(Driver::stop);
}

/// Runs code that waits for what the thread that pauses it has in hand.
struct Waits(Arc<Mutex<()>>, mpsc::SyncSender<()>);

impl Driven for Waits {
    fn demand(&self) -> (Work, u64) {
        (Work::Now, 0)
    }
    fn drive(&self, _: &Leave<'_>) -> bool {
        let _ = self.1.try_send(()); // once is enough
        drop(lock(&self.0));
        true
    }
    fn stand_by(&self, _: &Leave<'_>) {}
    fn pass(&self) {}
    fn interrupt(&self) {}
    fn unattended(&self, _: Error) {}
}

#[test]
fn a_pause_waits_for_no_code_that_waits_for_its_caller() {
    let _alone = lock(&ALONE);
    let (held, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::sync_channel(1));
    let waits: Arc<dyn Driven> = Arc::new(Waits(held.clone(), tell));
    let driver = Driver::new(Arc::downgrade(&waits), STACK);
    let in_hand = lock(&held);
    driver.start().unwrap();
    told.recv().unwrap();
    let paused = pause_drivers();
    assert!(!driver.0.runs.load(Ordering::SeqCst));
    drop(in_hand);
    drop(paused);
    driver.stop();
}

#[test]
fn a_thread_ends_although_the_next_one_starts() {
    let _alone = lock(&ALONE);
    let idle: Arc<dyn Driven> = Arc::new(Idle);
    let driver = Driver::new(Arc::downgrade(&idle), STACK);
    let restless = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while restless.load(Ordering::Relaxed) {
                driver.start().unwrap();
            }
        });
        (0..2000).for_each(|_| driver.stop());
        restless.store(false, Ordering::Relaxed);
    });
    driver.stop();
    assert_eq!(driver.0.parked.load(Ordering::SeqCst), 0);
}
