//! Every form of call carries handles of every kind, made when the workers were already running.

use std::time::Duration;

use pool_api::{
    CancelToken, Error, SharedArray, SharedBarrier, SharedCondvar, SharedEvent, SharedMutex,
    SharedObject, SharedReentrantMutex, SharedRwLock, SharedSemaphore, SharedValue, StartMethod,
    TryError, chunk_tasks, wire,
};

use crate::case::{Case, Outcome, builder, pool, sized};

pub(crate) const CASES: &[Case] = &[
    Case::new("handles_by_every_form", by_every_form),
    Case::new("handles_with_a_context_by_every_form", with_a_context),
    Case::new("handles_beside_views", beside_views),
    Case::new("handles_by_scoped_maps", by_scoped_maps),
    Case::new("handles_of_every_kind", of_every_kind),
    Case::new("handles_of_every_kind_as_results", kinds_as_results),
    Case::new("handles_in_errors", in_errors),
    Case::new("handles_from_worker_to_worker", from_worker_to_worker),
    Case::new("handles_in_what_is_shared", in_what_is_shared),
    Case::new("handles_of_a_lock_counted_by_all_workers", counted_under_a_lock),
];

/// So many elements that an array has a segment of its own.
const LARGE: usize = 50_000;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

type Array = SharedArray<u64>;
/// Sums by position, and how many there were.
type Tally = (Array, Option<SharedValue<u64>>);

fn filled(len: usize, value: u64) -> Array {
    let array = SharedArray::new(len).expect("an array");
    array.fill(value);
    array
}

/// Adds one everywhere and gives a part back.
fn touch(array: Array) -> Array {
    array.fetch_add(0, 1);
    array.slice(1..)
}

fn by_every_form(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(5u64).build()?;
    pool.map(0..10u64, |x| x)?;
    for len in [3, LARGE] {
        let (array, items) = (filled(len, 0), 12);
        let handles = || std::iter::repeat_n(array.clone(), items);
        let mut parts = pool.map(handles(), touch)?;
        parts.extend(pool.map_unordered(handles(), touch)?);
        for part in pool.imap(handles(), touch) {
            parts.push(part?);
        }
        for part in pool.imap_unordered(handles(), touch) {
            parts.push(part?);
        }
        for part in pool.tasks(handles()).imap_results(touch) {
            parts.push(part?);
        }
        for part in pool.tasks(handles()).chunk_size(5).map_results(touch)? {
            parts.push(part?);
        }
        parts.extend(pool.try_map(handles(), |array| Ok::<_, String>(touch(array)))?);
        parts.extend(pool.tasks(handles()).with_worker().map(|w, array| {
            assert_eq!(*w.shared, 5);
            touch(array)
        })?);
        for chunk in chunk_tasks(handles()).chunk_size(4).chunks()? {
            parts.extend(pool.map(chunk, touch)?);
        }
        for _ in 0..items {
            parts.push(pool.apply(array.clone(), touch)?);
        }
        let token = CancelToken::new()?;
        parts.extend(pool.tasks(handles()).retry(2).cancel_token(&token).map(touch)?);
        assert_eq!(array.get(0), parts.len() as u64);
        parts.iter().for_each(|part| part.fill(9));
        assert_eq!((parts.len(), array.get(len - 1)), (11 * items, 9));
    }
    Ok(())
}

fn with_a_context(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10u64, |x| x)?;
    for len in [3, LARGE] {
        let (sums, count) = (filled(len, 0), SharedValue::new(0u64)?);
        let context = (sums.clone(), Some(count.clone()));
        let add: fn(&Tally, Array) -> Array = |(sums, count), array| {
            sums.fetch_add(1, array.get(2));
            count.as_ref().expect("a counter").fetch_add(1);
            array
        };
        let tasks = || {
            let items = (0..10u64).map(move |n| filled(len, n));
            pool.tasks(items).chunk_size(3).with(context.clone())
        };
        let mut back = tasks().map(add)?;
        back.extend(tasks().map_unordered(add)?);
        back.extend(tasks().map_results(add)?.into_iter().flatten());
        for array in tasks().imap(add).chain(tasks().imap_unordered(add)) {
            back.push(array?);
        }
        for array in tasks().imap_results(add) {
            back.push(array?);
        }
        back.extend(tasks().try_map(|context, array| {
            context.0.fetch_add(1, array.get(2));
            context.1.as_ref().expect("a counter").fetch_add(1);
            Ok::<_, String>(array)
        })?);
        assert_eq!((back.len(), count.get(), sums.get(1)), (70, 70, 7 * 45));
        assert_eq!(back.iter().map(|array| array.get(0)).sum::<u64>(), 7 * 45);
    }
    Ok(())
}

wire! {
    struct Page {
        text: String,
        words: SharedArray<u64>,
        seen: SharedValue<u64>,
    }
}

/// Handles in values that are read in place stay closed: the text beside them can be read.
fn beside_views(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10u64, |x| x)?;
    for len in [3, LARGE] {
        let seen = SharedValue::new(0u64)?;
        let page = |n: u64| Page {
            text: "word ".repeat(n as usize),
            words: filled(len, n),
            seen: seen.clone(),
        };
        let lens = pool.tasks((0..20).map(page)).view().map(|page| page.text.len() as u64)?;
        assert_eq!(lens, (0..20).map(|n| 5 * n).collect::<Vec<_>>());
        let (mut total, make) = (0, |(n, seen): (u64, SharedValue<u64>)| {
            seen.fetch_add(n);
            Page { text: "x".repeat(n as usize), words: filled(40_000, n), seen }
        });
        let items = (0..20).map(|n| (n, seen.clone()));
        pool.tasks(items).for_each_view(make, |_, page| total += page.text.len())?;
        assert_eq!((total as u64, seen.get()), (190, 190));
    }
    Ok(())
}

/// A scoped map carries handles as captures and as items.
fn by_scoped_maps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10u64, |x| x)?;
    for len in [3, LARGE] {
        let (captured, given) = (filled(len, 0), filled(len, 0));
        let items = (0..12).map(|_| given.clone());
        let made = pool.tasks(items).map_scoped(|array| {
            captured.fetch_add(2, 1);
            array.fetch_add(1, 1);
            (array.slice(1..), filled(len, 7))
        });
        if let Err(Error::NotSupported { .. }) = made {
            assert!(matches!(method, StartMethod::ForkServer | StartMethod::Spawn));
            return Ok(());
        }
        let made = made?;
        assert_eq!((made.len(), captured.get(2), given.get(1)), (12, 12, 12));
        // The map's processes are gone, and the objects that they made are not.
        assert!(made.iter().all(|(part, own)| part.get(0) == 12 && own.get(len - 1) == 7));
        assert_eq!(pool.map(made, |(part, own)| part.get(0) + own.get(0))?, [19; 12]);
    }
    Ok(())
}

wire! {
    #[derive(Clone)]
    struct Everything {
        array: SharedArray<f32>,
        part: SharedArray<f32>,
        value: SharedValue<i16>,
        mutex: SharedMutex<[u32; 2]>,
        slice: SharedMutex<[f64]>,
        reentrant: SharedReentrantMutex<[u64]>,
        table: SharedRwLock<u64>,
        rows: SharedRwLock<[u8]>,
        permits: SharedSemaphore,
        begun: SharedEvent,
        changed: SharedCondvar,
        meeting: SharedBarrier,
        object: SharedObject<(String, SharedArray<f32>)>,
    }
}

impl Everything {
    fn make(len: usize) -> Self {
        let array = SharedArray::<f32>::new(len).expect("an array");
        let object = (String::from("object"), array.slice(1..));
        Self {
            part: array.slice(1..3),
            object: SharedObject::new(&object).expect("an object"),
            array,
            value: SharedValue::new(-1).expect("a value"),
            mutex: SharedMutex::new([0, 5]).expect("a lock"),
            slice: SharedMutex::zeroed(len).expect("a lock"),
            reentrant: SharedReentrantMutex::zeroed(len).expect("a lock"),
            table: SharedRwLock::new(0).expect("a lock"),
            rows: SharedRwLock::zeroed(8, len).expect("a lock"),
            permits: SharedSemaphore::new(2).expect("permits"),
            begun: SharedEvent::new().expect("an event"),
            changed: SharedCondvar::new().expect("a condition"),
            meeting: SharedBarrier::new(2).expect("a barrier"),
        }
    }

    /// The work of each of two tasks that meet.
    fn work(self, number: u32) -> bool {
        if number == 0 {
            self.begun.set();
        }
        assert!(self.begun.wait_timeout(LONG), "a task has begun");
        let leads = self.meeting.wait_timeout(LONG).expect("both come").is_leader();
        let permit = self.permits.acquire_timeout(LONG).expect("a permit");
        self.array.fetch_add(1, 1.0);
        self.part.fetch_add(1, 0.5);
        self.value.fetch_add(2);
        self.slice.lock().expect("whole").iter_mut().for_each(|x| *x += 1.5);
        let outer = self.reentrant.lock().expect("whole");
        let inner = self.reentrant.lock().expect("held already");
        inner[1].set(outer[1].get() + 1);
        drop((outer, inner));
        *self.table.write().expect("whole") += 1;
        assert!(*self.table.read().expect("whole") > 0);
        self.rows.write().expect("whole")[1] += 1;
        let (name, part) = self.object.decode().expect("the value");
        assert_eq!(name, "object");
        part.fetch_add(2, 1.0);
        drop(permit);
        // One task waits until the other has been there too.
        let mut guard = self.mutex.lock_timeout(LONG).expect("whole");
        guard[0] += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(guard, LONG, |counts| counts[0] < 2);
        let (counts, timed_out) = waited.expect("both were there");
        assert_eq!((counts[1], timed_out), (5, false));
        leads
    }

    fn check(&self) {
        assert_eq!(self.array.slice(..4).to_vec(), [0.0, 2.0, 1.0, 2.0]);
        assert_eq!(self.value.get(), 3);
        assert!(self.slice.lock().expect("whole").iter().all(|x| *x == 3.0));
        assert_eq!((*self.table.read().expect("whole"), self.permits.available()), (2, 2));
        assert_eq!(self.reentrant.lock().expect("given back")[1].get(), 2);
        assert_eq!(self.rows.read().expect("whole")[1], 2);
    }
}

fn of_every_kind(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..10u64, |x| x)?;
    for len in [4, LARGE] {
        let all = Everything::make(len);
        let items = (0..2).map(|number| (all.clone(), number));
        let leads = pool.tasks(items).chunk_size(1).map(|(all, number)| all.work(number))?;
        assert_eq!(leads.iter().filter(|leads| **leads).count(), 1);
        all.check();
    }
    Ok(())
}

/// A worker makes the handles; the caller and other workers use them.
fn kinds_as_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [4, LARGE] {
        let all = pool.apply(len, Everything::make)?;
        let again = pool.apply(all.clone(), |all| all)?;
        let items = (0..2).map(|number| (again.clone(), number));
        pool.tasks(items).chunk_size(1).map(|(all, number)| all.work(number))?;
        all.check();
        drop((all, again));
    }
    Ok(())
}

fn in_errors(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for len in [3, LARGE] {
        let items = || (0..20u64).map(|n| (n, filled(len, n)));
        let split: fn((u64, Array)) -> Result<Array, Array> = |(n, array)| {
            if n == 7 { Err(array.slice(1..)) } else { Ok(array) }
        };
        let answers: Vec<Result<Array, Array>> = pool.map(items(), split)?;
        assert!(answers[7].as_ref().is_err_and(|array| array.get(0) == 7));
        assert!((0..7).all(|n| answers[n].as_ref().is_ok_and(|array| array.get(0) == n as u64)));
        match pool.try_map(items(), split) {
            Err(TryError::Task { index: 7, error }) => {
                assert_eq!((error.len(), error.get(1)), (len - 1, 7));
            }
            other => panic!("{:?}", other.map(|values| values.len())),
        }
    }
    Ok(())
}

fn from_worker_to_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for len in [3, LARGE] {
        // The caller only hands them on.
        let make = |(len, n): (usize, u64)| filled(len, n);
        let mut arrays = pool.tasks((0..30).map(|n| (len, n))).chunk_size(2).map(make)?;
        for round in 1..5 {
            arrays.rotate_left(7);
            arrays = pool.tasks(arrays).chunk_size(round).map(|array| {
                array.fetch_add(1, 100);
                array
            })?;
        }
        let mut sums: Vec<_> = arrays.iter().map(|array| array.get(1)).collect();
        sums.sort_unstable();
        assert_eq!(sums, (400..430).collect::<Vec<_>>());
    }
    Ok(())
}

fn in_what_is_shared(method: StartMethod) -> Outcome {
    let (early, count) = (filled(LARGE, 1), SharedMutex::new(0u64)?);
    let pool = builder(method, 2).shared((early.clone(), count.clone())).build()?;
    pool.map(0..10u64, |x| x)?;
    // Shared handles and handles that came later, in the same task.
    let late = (0..20).map(|n| filled(LARGE, n));
    let sums = pool.tasks(late).with_worker().map(|w, late| {
        *w.shared.1.lock().expect("whole") += 1;
        w.shared.0.fetch_add(5, late.get(0));
        late.slice(3..4)
    })?;
    assert_eq!((early.get(5), *count.lock().expect("whole")), (191, 20));
    assert!((0..).zip(&sums).all(|(n, part)| part.to_vec() == [n]));
    // The same handle by both ways is the same object.
    let same =
        pool.tasks([early.clone()]).with_worker().map(|w, array| array.ptr_eq(&w.shared.0))?;
    assert_eq!(same, [true]);
    let second = builder(method, 2).shared_view((String::from("a"), late_table())).build()?;
    let seen = second.tasks(0..4usize).with_worker().map(|w, n| (w.shared.0.len(), n))?;
    assert_eq!(seen, [(1, 0), (1, 1), (1, 2), (1, 3)]);
    Ok(())
}

fn late_table() -> Vec<Array> {
    (0..3).map(|n| filled(LARGE, n)).collect()
}

fn counted_under_a_lock(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    pool.map(0..10u64, |x| x)?;
    let each = sized(1_000_000, 20_000) as u64;
    let count = SharedMutex::new(0u64)?;
    let items = (0..4).map(|_| (count.clone(), each));
    pool.tasks(items).chunk_size(1).map(|(count, each)| {
        for _ in 0..each {
            *count.lock().expect("no holder died") += 1;
        }
    })?;
    assert_eq!(*count.lock().expect("no holder died"), 4 * each);
    Ok(())
}
