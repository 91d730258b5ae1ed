use std::{sync::Barrier, time::Instant};

use super::*;

/// These tests would see each other's pauses.
static ALONE: Mutex<()> = Mutex::new(());
const STACK: usize = 1 << 20;

/// Work for a driver thread, made of two functions.
struct Fake<D, R> {
    demand: D,
    drive: R,
}

impl<D: Fn() -> Work + Send + Sync, R: Fn() + Send + Sync> Driven for Fake<D, R> {
    fn demand(&self) -> (Work, u64) {
        ((self.demand)(), 0)
    }
    fn drive(&self, _: &Leave<'_>) -> bool {
        (self.drive)();
        true
    }
    fn stand_by(&self, _: &Leave<'_>) {}
    fn pass(&self) {}
    fn interrupt(&self) {}
    fn no_driver(&self, _: Error) {}
}

fn idle() -> Arc<dyn Driven> {
    Arc::new(Fake { demand: || Work::Nothing, drive: || () })
}

#[test]
fn no_thread_starts_in_a_pause() {
    let _alone = lock(&ALONE);
    let idle = idle();
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

/// Two threads run code that opens a backend at the same time, which wakers may do.
#[test]
fn none_of_these_threads_waits_for_another() {
    let _alone = lock(&ALONE);
    let both = Barrier::new(2);
    let [came, through] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let ended = through.clone();
    let is_over = through.clone();
    let driven: Arc<dyn Driven> = Arc::new(Fake {
        demand: move || if is_over.load(Ordering::SeqCst) < 2 { Work::Now } else { Work::Over },
        drive: move || {
            if came.fetch_add(1, Ordering::SeqCst) < 2 {
                both.wait();
                drop(pause_drivers());
                ended.fetch_add(1, Ordering::SeqCst);
            }
        },
    });
    let drivers = [0, 1].map(|_| Driver::new(Arc::downgrade(&driven), STACK));
    drivers.iter().for_each(|driver| driver.start().unwrap());
    let begun = Instant::now();
    while through.load(Ordering::SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "they wait for each other");
        std::thread::sleep(Duration::from_millis(1));
    }
    drivers.iter().for_each(Driver::stop);
}

#[test]
fn a_pause_waits_for_no_code_that_waits_for_its_caller() {
    let _alone = lock(&ALONE);
    let (held, (tell, told)) = (Arc::new(Mutex::new(())), mpsc::sync_channel(1));
    let wanted = held.clone();
    let waits: Arc<dyn Driven> = Arc::new(Fake {
        demand: || Work::Now,
        drive: move || {
            let _ = tell.try_send(()); // once is enough
            drop(lock(&wanted));
        },
    });
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
    let idle = idle();
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
