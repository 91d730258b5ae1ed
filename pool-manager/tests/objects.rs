//! The objects of a server, used by several clients.

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use deadline::within_a_minute;
use pool_manager::{
    Address, AuthKey, Client, Error, ListProxy, LockError, Manager, ManagerClient, Proxy,
    QueueProxy,
};

#[test]
fn a_dictionary_does_what_pythons_does() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let dict = manager.dict::<String, Vec<u64>>().unwrap();
        let key = |text: &str| text.to_owned();
        assert!(dict.is_empty().unwrap());
        assert_eq!(dict.insert(key("a long key, not kept inline"), vec![1]).unwrap(), None);
        assert_eq!(dict.insert(key("b"), vec![]).unwrap(), None);
        let old = dict.insert(key("a long key, not kept inline"), vec![2, 3]).unwrap();
        assert_eq!(old, Some(vec![1]));
        assert_eq!(dict.get(&key("a long key, not kept inline")).unwrap(), Some(vec![2, 3]));
        assert_eq!(dict.get(&key("c")).unwrap(), None);
        assert_eq!(dict.get_or_insert(key("c"), vec![9]).unwrap(), [9]);
        assert_eq!(dict.get_or_insert(key("c"), vec![8]).unwrap(), [9]);
        assert!(dict.contains_key(&key("c")).unwrap() && !dict.contains_key(&key("")).unwrap());
        dict.update([(key("b"), vec![5]), (key("d"), vec![6])]).unwrap();
        assert_eq!(dict.keys().unwrap(), ["a long key, not kept inline", "b", "c", "d"]);
        assert_eq!(dict.values().unwrap(), [vec![2, 3], vec![5], vec![9], vec![6]]);
        assert_eq!(dict.items().unwrap()[3], (key("d"), vec![6]));
        assert_eq!(dict.pop_last().unwrap(), Some((key("d"), vec![6])));
        assert_eq!(dict.remove(&key("b")).unwrap(), Some(vec![5]));
        assert_eq!(dict.remove(&key("b")).unwrap(), None);
        let exchange =
            |from: u64, to: u64| dict.compare_exchange(&key("c"), &vec![from], &vec![to]);
        assert_eq!(exchange(8, 7).unwrap(), Err(Some(vec![9])));
        assert_eq!(exchange(9, 7).unwrap(), Ok(vec![9]));
        assert_eq!(dict.len().unwrap(), 2);
        dict.clear().unwrap();
        assert_eq!((dict.len().unwrap(), dict.pop_last().unwrap()), (0, None));
        assert_eq!(dict.compare_exchange(&key("c"), &vec![], &vec![]).unwrap(), Err(None));
    });
}

#[test]
fn a_list_does_what_pythons_does() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let list = manager.list(["b".to_owned()]).unwrap();
        let text = |text: &str| text.to_owned();
        list.insert(0, text("a")).unwrap();
        list.insert(2, text("c")).unwrap();
        list.extend([text("d"), text("a")]).unwrap();
        list.append(text("f")).unwrap();
        assert_eq!(list.to_vec().unwrap(), ["a", "b", "c", "d", "a", "f"]);
        assert_eq!(list.slice(4..usize::MAX).unwrap(), ["a", "f"]);
        assert_eq!(list.slice(7..9).unwrap(), [""; 0]);
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = list.slice(3..1).unwrap();
        assert_eq!(reversed, [""; 0]);
        assert_eq!(list.count(&text("a")).unwrap(), 2);
        assert_eq!(list.position(&text("a")).unwrap(), Some(0));
        assert!(list.contains(&text("d")).unwrap() && !list.contains(&text("e")).unwrap());
        assert_eq!(list.set(4, text("e")).unwrap(), "a");
        assert_eq!(list.remove(0).unwrap(), "a");
        assert_eq!(list.get(3).unwrap(), "e");
        for result in [list.get(5), list.set(usize::MAX, text("")), list.remove(5)] {
            assert!(matches!(result, Err(Error::OutOfRange { len: 5, .. })), "{result:?}");
        }
        assert!(matches!(list.insert(6, text("")), Err(Error::OutOfRange { index: 6, len: 5 })));
        list.reverse().unwrap();
        list.truncate(2).unwrap();
        list.truncate(7).unwrap();
        assert_eq!(list.to_vec().unwrap(), ["f", "e"]);
        list.replace([text("x")]).unwrap();
        assert_eq!((list.pop().unwrap(), list.pop().unwrap()), (Some(text("x")), None));
        list.clear().unwrap();
        assert!(list.is_empty().unwrap() && list.len().unwrap() == 0);
        assert!(matches!(list.get(0), Err(Error::OutOfRange { index: 0, len: 0 })));
    });
}

#[test]
fn clients_wait_without_holding_others_up() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let queue = manager.queue::<u64>(2).unwrap();
        let event = manager.event().unwrap();
        let takers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || queue.get().unwrap())
            })
            .collect();
        let waiter = thread::spawn({
            let event = event.clone();
            move || event.wait().unwrap()
        });
        (0..8).for_each(|n| queue.put(&n).unwrap());
        let mut taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..8).collect::<Vec<_>>());
        event.set().unwrap();
        waiter.join().unwrap();
        assert!(event.is_set().unwrap() && event.wait_timeout(Duration::ZERO).unwrap());
        event.clear().unwrap();
        assert!(!event.wait_timeout(Duration::ZERO).unwrap());
        // The queue is full, and empty, at once and within a time.
        queue.put(&1).unwrap();
        queue.put(&2).unwrap();
        assert!(matches!(queue.try_put(&3), Err(Error::TimedOut)));
        assert!(matches!(queue.put_timeout(&3, Duration::from_millis(3)), Err(Error::TimedOut)));
        assert_eq!((queue.try_get().unwrap(), queue.get().unwrap()), (1, 2));
        assert!(matches!(queue.try_get(), Err(Error::TimedOut)));
        assert!(matches!(queue.get_timeout(Duration::from_millis(3)), Err(Error::TimedOut)));
        // Ten items were put in.
        assert!(matches!(queue.join_timeout(Duration::ZERO), Err(Error::TimedOut)));
        let joiner = thread::spawn({
            let queue = queue.clone();
            move || queue.join().unwrap()
        });
        (0..10).for_each(|_| queue.task_done().unwrap());
        joiner.join().unwrap();
        assert!(matches!(queue.task_done(), Err(Error::NotHeld)));
        assert_eq!((queue.capacity().unwrap(), queue.is_empty().unwrap()), (Some(2), true));
    });
}

#[test]
fn a_lock_has_one_holder() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let (lock, total) = (manager.lock().unwrap(), manager.value(0u64).unwrap());
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let (lock, total) = (lock.clone(), total.clone());
                thread::spawn(move || {
                    for _ in 0..50 {
                        let guard = lock.lock().unwrap();
                        total.set(total.get().unwrap() + 1).unwrap();
                        drop(guard);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(total.get().unwrap(), 300);
        let guard = lock.lock().unwrap();
        let deadlock = lock.lock().unwrap_err();
        assert!(matches!(deadlock, LockError::Failed(Error::WouldDeadlock)), "{deadlock:?}");
        let held = lock.try_lock().unwrap_err();
        assert!(matches!(held, LockError::Failed(Error::TimedOut)), "{held:?}");
        let other = lock.clone();
        let limit = Duration::from_millis(3);
        let late = thread::spawn(move || other.lock_timeout(limit).unwrap_err()).join().unwrap();
        assert!(matches!(late, LockError::Failed(Error::TimedOut)), "{late:?}");
        guard.unlock().unwrap();
        assert!(!lock.is_locked().unwrap());

        let seats = manager.semaphore(1).unwrap();
        let permit = seats.acquire().unwrap();
        assert!(matches!(seats.try_acquire(), Err(Error::TimedOut)));
        let waiting = thread::spawn({
            let seats = seats.clone();
            move || drop(seats.acquire().unwrap())
        });
        drop(permit);
        waiting.join().unwrap();
        seats.add_permits(2).unwrap();
        assert_eq!(seats.available().unwrap(), 3);
        assert!(matches!(seats.add_permits(u64::MAX), Err(Error::Overflow)));
        let changed = (0..4).map(|_| {
            let total = total.clone();
            thread::spawn(move || (0..50).for_each(|_| drop(total.fetch_update(|n| n + 1))))
        });
        changed.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(total.get().unwrap(), 500);
    });
}

#[test]
fn objects_go_with_their_last_proxy() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let count = || manager.object_count().unwrap();
        let outer = manager.dict::<u64, ListProxy<u64>>().unwrap();
        let inner = manager.list([1]).unwrap();
        outer.insert(1, inner.clone()).unwrap();
        outer.insert(2, inner.clone()).unwrap();
        drop(inner);
        assert_eq!(count(), 2);
        let again = outer.get(&1).unwrap().unwrap();
        again.append(2).unwrap();
        assert_eq!(outer.get(&2).unwrap().unwrap().to_vec().unwrap(), [1, 2]);
        let taken = outer.remove(&1).unwrap().unwrap();
        assert!(taken.is_same_object(&again));
        outer.clear().unwrap();
        drop(again);
        assert_eq!(count(), 2);
        drop(taken);
        assert_eq!(count(), 1);
        // A value that is read and not looked at gives its references back.
        outer.insert(3, manager.list([]).unwrap()).unwrap();
        assert_eq!(outer.values().unwrap().len(), 1);
        assert_eq!(count(), 2);
        drop(outer);
        assert_eq!(count(), 0);
        // A long chain of objects, each of which only the one before refers to.
        let mut last = manager.list::<ListProxy<u64>>([]).unwrap();
        for _ in 0..3000 {
            let next = manager.list::<ListProxy<u64>>([]).unwrap();
            let named = manager.namespace().unwrap();
            named.set("next", last).unwrap();
            next.append(ListProxy::from_raw(named.raw().clone())).unwrap();
            last = next;
        }
        assert_eq!(count(), 6001);
        drop(last);
        assert_eq!(count(), 0);
        // Names hold what they lead to.
        manager.publish("jobs", &manager.queue::<u8>(0).unwrap()).unwrap();
        let jobs: QueueProxy<u8> = manager.lookup("jobs").unwrap();
        assert!(matches!(manager.publish("jobs", &jobs), Err(Error::NameTaken(_))));
        drop(jobs);
        assert_eq!(count(), 1);
        let wrong = manager.lookup::<ListProxy<u8>>("jobs");
        assert!(matches!(wrong, Err(Error::WrongType { .. })), "{wrong:?}");
        assert!(matches!(manager.lookup::<QueueProxy<u8>>(""), Err(Error::NoSuchName(_))));
        manager.withdraw("jobs").unwrap();
        assert!(matches!(manager.withdraw("jobs"), Err(Error::NoSuchName(_))));
        assert_eq!(count(), 0);
    });
}

#[test]
fn options_are_checked_by_name() {
    let builder = Manager::builder;
    let refused = [
        builder().max_connections(0),
        builder().max_connections(65_537),
        builder().max_unauthenticated(0),
        builder().max_message_bytes(63),
        builder().max_message_bytes(u64::MAX),
        builder().handshake_timeout(Duration::ZERO),
        builder().handshake_timeout(Duration::MAX),
        builder().shutdown_timeout(Duration::MAX),
    ];
    for builder in refused {
        let error = builder.in_thread().unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        let error = builder.start().unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }
    let tcp = Address::tcp("127.0.0.1:0");
    let error = builder().address(tcp.clone()).in_thread().unwrap_err();
    assert!(matches!(error, Error::KeyRequired), "{error:?}");
    let key = AuthKey::random().unwrap();
    let manager = builder().address(tcp).key(key.clone()).in_thread().unwrap();
    let taken = builder().address(manager.address().clone()).key(key.clone()).in_thread();
    assert!(matches!(taken, Err(Error::Bind { .. })), "{taken:?}");
    let client = Client::builder().key(key).connect_manager(manager.address()).unwrap();
    let list = client.list([1u8]).unwrap();
    assert_eq!(list.to_vec().unwrap(), [1]);
    let name = Address::abstract_name("a\0b");
    assert_eq!(Manager::builder().address(name.clone()).in_thread().unwrap().address(), &name);
    let nul = Address::unix("a\0b");
    let error = Manager::builder().address(nul).in_thread().unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error:?}");
}

#[test]
fn the_end_of_a_server_is_told() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let (list, queue) = (manager.list([1u8]).unwrap(), manager.queue::<u8>(0).unwrap());
        let begun = Arc::new(Barrier::new(2));
        let waiting = thread::spawn({
            let (queue, begun) = (queue.clone(), begun.clone());
            move || {
                begun.wait();
                queue.get()
            }
        });
        begun.wait();
        let client: ManagerClient = manager.client();
        manager.shutdown().unwrap();
        let end = waiting.join().unwrap();
        let is_end =
            matches!(end, Err(Error::ShutDown | Error::Disconnected | Error::Connect { .. }));
        assert!(is_end, "{end:?}");
        for error in [list.len().unwrap_err(), client.ping().unwrap_err()] {
            assert!(matches!(error, Error::Disconnected | Error::Connect { .. }), "{error:?}");
        }
    });
}

#[test]
fn keys_with_padding_and_long_parts_are_found_again() {
    within_a_minute(|| {
        type Key = (u8, Option<u64>, String, Vec<(u16, u64)>);
        let manager = Manager::in_thread().unwrap();
        let dict = manager.dict::<Key, u64>().unwrap();
        let key = |n: u64| -> Key {
            let long = "x".repeat(n as usize);
            (n as u8, n.is_multiple_of(3).then_some(n), long, (0..n).map(|k| (1, k)).collect())
        };
        (0..60).for_each(|n| assert_eq!(dict.insert(key(n), n).unwrap(), None));
        for n in (0..60).rev() {
            assert_eq!(dict.get(&key(n)).unwrap(), Some(n));
            assert_eq!(dict.get(&(255, Some(n), String::new(), vec![])).unwrap(), None);
        }
        assert_eq!(dict.len().unwrap(), 60);
    });
}

#[test]
fn a_reply_that_is_too_large_ends_no_session() {
    within_a_minute(|| {
        let manager =
            Manager::builder().start_method(pool_core::StartMethod::Spawn).start().unwrap();
        let client = Client::builder().max_message_bytes(10_000);
        // The first session of a process counts, so the small one is in a process of its own.
        let process = pool_core::Process::builder().start_method(pool_core::StartMethod::Spawn);
        let act = |address: String| {
            let client = Client::builder().max_message_bytes(10_000);
            let client = client.connect_manager(&address.parse().unwrap()).unwrap();
            let (list, lock) = (client.list::<Vec<u8>>([]).unwrap(), client.lock().unwrap());
            let guard = lock.lock().unwrap();
            (0..4).for_each(|_| list.append(vec![1; 5000]).unwrap());
            for _ in 0..3 {
                let large = list.to_vec();
                assert!(matches!(large, Err(Error::TooLarge { limit: 10_000, .. })), "{large:?}");
            }
            let large = list.append(vec![1; 20_000]);
            assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
            assert_eq!(list.len().unwrap(), 4);
            guard.unlock().unwrap();
        };
        process.spawn(act, manager.address().to_string()).unwrap().join().unwrap();
        let connections = Manager::builder().max_connections(1).in_thread().unwrap();
        let none = client.connect_manager(connections.address());
        assert!(matches!(none, Err(Error::ServerFull)), "{none:?}");
        connections.ping().unwrap();
    });
}
