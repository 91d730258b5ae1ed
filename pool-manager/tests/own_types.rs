//! Own types that a server hosts.

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use deadline::within_a_minute;
use pool_manager::{DictProxy, Error, EventProxy, ListProxy, LockError, Manager, Proxy, manager};

manager! {
    /// Counts.
    trait Counter => CounterProxy {
        /// Adds.
        fn add(&self, n: u64) -> u64;
        fn get(&self) -> u64;
        fn reset(&self);
        fn fail(&self, why: String, _code: Option<i32>) -> Vec<u8>;
        /// Waits for another caller.
        fn meet(&self) -> bool;
        fn fill(&self, list: ListProxy<u64>, n: u64);
        fn echo(&self, dict: DictProxy<u64, u64>) -> DictProxy<u64, u64>;
    }

    /// Has other methods than it should.
    trait Other => OtherProxy {
        fn add(&self, n: u32) -> u64;
    }
}

struct Meeting {
    count: AtomicU64,
    both: Barrier,
}

impl Counter for Meeting {
    fn add(&self, n: u64) -> u64 {
        self.count.fetch_add(n, SeqCst) + n
    }

    fn get(&self) -> u64 {
        self.count.load(SeqCst)
    }

    fn reset(&self) {
        self.count.store(0, SeqCst);
    }

    fn fail(&self, why: String, _code: Option<i32>) -> Vec<u8> {
        panic!("{why}")
    }

    fn meet(&self) -> bool {
        self.both.wait().is_leader()
    }

    fn fill(&self, list: ListProxy<u64>, n: u64) {
        list.append(n).expect("the list is there");
    }

    fn echo(&self, dict: DictProxy<u64, u64>) -> DictProxy<u64, u64> {
        dict.insert(1, 2).expect("it is there");
        dict
    }
}

fn with_counters() -> Manager {
    let builder = Manager::builder().register::<CounterProxy, u64>(|from| {
        Box::new(Meeting { count: AtomicU64::new(from), both: Barrier::new(2) })
    });
    builder.in_thread().expect("a server")
}

#[test]
fn a_type_is_registered_once() {
    let builder = Manager::builder()
        .register::<CounterProxy, u64>(|_| unreachable!())
        .register::<CounterProxy, u8>(|_| unreachable!());
    let errors = [builder.in_thread().unwrap_err(), builder.start().unwrap_err()];
    assert!(errors.iter().all(|e| matches!(e, Error::InvalidInput(_))), "{errors:?}");
}

#[test]
fn own_types_are_called() {
    within_a_minute(|| {
        let manager = with_counters();
        let counter: CounterProxy = manager.create(5u64).unwrap();
        assert_eq!((counter.add(2).unwrap(), counter.get().unwrap()), (7, 7));
        counter.reset().unwrap();
        assert_eq!(counter.get().unwrap(), 0);
        let panic = counter.fail("no tea".into(), None).unwrap_err();
        assert!(matches!(&panic, Error::Panicked(text) if text == "no tea"), "{panic:?}");
        // Two callers are in the object at once.
        let other = counter.clone();
        let meeting = thread::spawn(move || other.meet().unwrap());
        assert_ne!(counter.meet().unwrap(), meeting.join().unwrap());
        // Proxies are arguments and results.
        let list = manager.list([]).unwrap();
        counter.fill(list.clone(), 3).unwrap();
        assert_eq!(list.to_vec().unwrap(), [3]);
        let dict = manager.dict().unwrap();
        let echoed = counter.echo(dict.clone()).unwrap();
        assert!(echoed.is_same_object(&dict));
        assert_eq!(echoed.get(&1).unwrap(), Some(2));
        let missing = manager.create::<OtherProxy>(1u64).unwrap_err();
        assert!(matches!(missing, Error::NotRegistered(_)), "{missing:?}");
        let wrong = [
            manager.create::<CounterProxy>(()).unwrap_err(),
            manager.create::<CounterProxy>(5i32).unwrap_err(),
            manager.create::<CounterProxy>(String::from("a text")).unwrap_err(),
        ];
        let texts = ["()", "i32", "String"]
            .map(|found| format!("the constructor takes a u64, and the argument is a {found}"));
        assert_eq!(wrong.map(|error| error.to_string()), texts);
        drop((dict, echoed, list, counter));
        assert_eq!(manager.object_count().unwrap(), 0);
    });
}

manager! {
    /// Does not end.
    trait Endless => EndlessProxy {
        fn run(&self, begun: EventProxy);
    }
}

struct Loop;

impl Endless for Loop {
    fn run(&self, begun: EventProxy) {
        begun.set().expect("the server is there");
        loop {
            thread::park();
        }
    }
}

#[test]
fn a_method_that_does_not_end_holds_no_shutdown_up() {
    within_a_minute(|| {
        let builder = Manager::builder()
            .start_method(pool_core::StartMethod::Spawn)
            .shutdown_timeout(Duration::from_millis(20));
        let manager = builder
            .start_with(|server| {
                server.register::<EndlessProxy, ()>(|()| Box::new(Loop)).serve();
            })
            .unwrap();
        let endless: EndlessProxy = manager.create(()).unwrap();
        let begun = manager.event().unwrap();
        let caller = thread::spawn({
            let begun = begun.clone();
            move || endless.run(begun).unwrap_err()
        });
        begun.wait().unwrap();
        manager.shutdown().unwrap();
        let end = caller.join().unwrap();
        assert!(matches!(end, Error::Disconnected), "{end:?}");
    });
}

manager! {
    /// Says that it is dropped, and waits or panics then.
    trait Loud => LoudProxy {
        fn touch(&self);
    }
}

struct Drops {
    panics: bool,
    says: mpsc::Sender<()>,
    goes_on: Mutex<mpsc::Receiver<()>>,
}

impl Loud for Drops {
    fn touch(&self) {}
}

impl Drop for Drops {
    fn drop(&mut self) {
        let _ = self.says.send(());
        assert!(!self.panics, "it is dropped");
        if let Ok(goes_on) = self.goes_on.get_mut() {
            let _ = goes_on.recv();
        }
    }
}

#[test]
fn the_drop_of_an_own_type_may_take_long_and_may_panic() {
    within_a_minute(|| {
        let (says, said) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let goes_on = Mutex::new(Some(goes_on));
        let builder = Manager::builder().register::<LoudProxy, bool>(move |panics| {
            let none = mpsc::channel().1;
            let waits = if panics { None } else { goes_on.lock().unwrap().take() };
            let goes_on = waits.unwrap_or(none);
            Box::new(Drops { panics, says: says.clone(), goes_on: Mutex::new(goes_on) })
        });
        let manager = builder.in_thread().unwrap();
        let lock = manager.lock().unwrap();
        let guard = lock.lock().unwrap();
        for _ in 0..3 {
            drop(manager.create::<LoudProxy>(true).unwrap());
            said.recv().unwrap();
        }
        drop(manager.create::<LoudProxy>(false).unwrap());
        said.recv().unwrap();
        // The drop has returned, and the object's own still waits.
        go_on.send(()).unwrap();
        let held = lock.lock_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(
            matches!(held, LockError::Failed(Error::WouldDeadlock | Error::TimedOut)),
            "{held:?}"
        );
        drop(guard);
        drop(lock.try_lock().unwrap());
    });
}
