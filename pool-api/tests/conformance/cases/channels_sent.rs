//! Endpoints of channels as parts of items, results, arguments and of what is shared.

use std::time::Duration;

use pool_api::{CancelToken, Process, SharedEvent, StartMethod};
use pool_ipc::channel::{
    ChannelBuilder, Duplex, JoinableQueue, Receiver, RecvError, Sender, channel, duplex,
};

use crate::case::{Case, Outcome, builder, pool, tenth_of};

pub(crate) const CASES: &[Case] = &[
    Case::new("channels_sent_in_items", in_items),
    Case::new("channels_sent_as_results", as_results),
    Case::new("channels_sent_count_on_their_way", on_their_way),
    Case::new("channels_sent_end_with_their_worker", end_with_their_worker).processes(),
    Case::new("channels_sent_end_with_their_item", end_with_their_item),
    Case::new("channels_sent_end_with_an_overdue_item", end_with_an_overdue_item).processes(),
    Case::new("channels_sent_end_with_a_cancelled_item", end_with_a_cancelled_item).processes(),
    Case::new("channels_sent_end_with_a_retired_worker", end_with_a_retired_worker).processes(),
    Case::new("channels_sent_end_where_a_process_drops_them", end_where_dropped),
    Case::new("channels_sent_in_a_shared_value", in_a_shared_value),
    Case::new("channels_sent_both_ways", both_ways),
    Case::new("channels_sent_as_joinable_queues", joinable_queues),
    Case::new("channels_sent_to_processes", to_processes),
    Case::new("channels_sent_with_large_messages", large_messages),
    Case::new("channels_sent_again_and_again", again_and_again),
    Case::new("channels_sent_from_worker_to_worker", from_worker_to_worker),
];

/// How long what comes soon may take.
const SOON: Duration = Duration::from_secs(60);
/// Long enough for a thorough look.
const MOMENT: Duration = Duration::from_millis(50);

/// All messages until the other side is gone.
fn rest<T: pool_ipc::Wire>(receiver: &Receiver<T>) -> Vec<T> {
    let next = || match receiver.recv_timeout(SOON) {
        Ok(message) => Some(message),
        Err(RecvError::Disconnected) => None,
        Err(error) => panic!("{error}"),
    };
    std::iter::from_fn(next).collect()
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

fn in_items(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for _ in 0..3 {
        let (sender, receiver) = channel::<u64>(32)?;
        let items = (0..20).map(|n| (n, sender.clone()));
        pool.tasks(items).chunk_size(3).map(|(n, sender)| sender.send(n).expect("it is open"))?;
        sender.send(20)?;
        drop(sender);
        assert_eq!(sorted(rest(&receiver)), (0..=20).collect::<Vec<_>>());
    }
    Ok(())
}

fn as_results(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let numbered = |count: u64| {
        let (sender, receiver) = channel::<u64>(8).expect("a channel");
        (0..count).for_each(|n| sender.send(n).expect("there is room"));
        receiver
    };
    let receivers = pool.map(0..6u64, numbered)?;
    for (count, receiver) in receivers.iter().enumerate() {
        assert_eq!(rest(receiver), (0..count as u64).collect::<Vec<_>>());
    }
    // And back again into other workers.
    let (sender, receiver) = channel::<String>(4)?;
    sender.send("there".into())?;
    let back = pool.apply((sender, receiver), |(sender, receiver)| {
        sender.send(format!("{} and back", receiver.recv().expect("it was sent"))).expect("room");
        receiver
    })?;
    assert_eq!(rest(&back), ["there and back"]);
    Ok(())
}

fn on_their_way(method: StartMethod) -> Outcome {
    let (pool, go) = (pool(method, 1)?, SharedEvent::new()?);
    let (sender, receiver) = channel::<u64>(4)?;
    let first = pool.apply_async(go.clone(), |go| go.wait())?;
    let second = pool.apply_async(sender, |sender| sender.send(7).expect("it is open"))?;
    // No process has a sender now but the item that waits.
    assert!(matches!(receiver.recv_timeout(MOMENT), Err(RecvError::TimedOut)));
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    go.set();
    first.get()?;
    second.get()?;
    assert_eq!(rest(&receiver), [7]);
    Ok(())
}

fn end_with_their_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (sender, receiver) = channel::<u64>(4)?;
    let results = pool.tasks([sender]).map_results(|sender| -> () {
        sender.send(1).expect("it is open");
        std::process::abort()
    })?;
    assert!(results[0].is_err());
    assert_eq!(rest(&receiver), [1]);
    Ok(())
}

/// A worker that goes on with another item keeps nothing of the last one.
fn end_with_their_item(method: StartMethod) -> Outcome {
    let (pool, go) = (pool(method, 1)?, SharedEvent::new()?);
    let (sender, receiver) = channel::<u64>(4)?;
    let sent = pool.apply_async(sender, |sender| sender.send(1).expect("it is open"))?;
    let busy = pool.apply_async(go.clone(), |go| go.wait())?;
    sent.get()?;
    assert_eq!(rest(&receiver), [1]);
    go.set();
    busy.get()?;
    // And one that a task drops at once.
    let (go, gone) = (SharedEvent::new()?, SharedEvent::new()?);
    let (sender, receiver) = channel::<u64>(4)?;
    let item = (sender, gone.clone(), go.clone());
    let running = pool.apply_async(item, |(sender, gone, go)| {
        drop(sender);
        gone.set();
        go.wait();
    })?;
    gone.wait();
    // Until its item has ended it may count.
    let _ = receiver.recv_timeout(MOMENT);
    go.set();
    running.get()?;
    assert!(rest(&receiver).is_empty());
    Ok(())
}

/// Sends a message, and goes on for ever.
fn send_and_stay(sender: Sender<u64>) {
    sender.send(1).expect("it is open");
    loop {
        std::thread::park();
    }
}

/// No further call reads that the worker was killed.
fn end_with_an_overdue_item(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for call in 0..3 {
        let (sender, receiver) = channel::<u64>(4)?;
        let limit = Duration::from_millis(100);
        let overdue = match call {
            0 => pool.task(sender).task_timeout(limit).apply(send_and_stay),
            1 => pool.task(sender).task_timeout(limit).apply_async(send_and_stay)?.get(),
            _ => pool.tasks([sender]).task_timeout(limit).map(send_and_stay).map(drop),
        };
        assert!(overdue.is_err());
        assert_eq!(rest(&receiver), [1]);
    }
    Ok(())
}

fn end_with_a_cancelled_item(method: StartMethod) -> Outcome {
    let (pool, token) = (pool(method, 2)?, CancelToken::new()?);
    let (sender, receiver) = channel::<u64>(4)?;
    let calls = pool.tasks([sender]).cancel_token(&token).kill_running(Duration::ZERO);
    let running = calls.map_async(send_and_stay)?;
    assert_eq!(receiver.recv_timeout(SOON)?, 1);
    token.cancel();
    assert!(running.get().is_err());
    assert!(rest(&receiver).is_empty());
    Ok(())
}

/// A worker that has returned an endpoint ends, and no further call reads that.
fn end_with_a_retired_worker(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).worker_lifespan(1).build()?;
    for _ in 0..2 {
        let (sender, receiver) = channel::<u64>(4)?;
        drop(pool.apply(sender, |sender: Sender<u64>| sender)?);
        assert!(rest(&receiver).is_empty());
    }
    Ok(())
}

/// The program has a further copy while the process begins.
fn end_where_dropped(method: StartMethod) -> Outcome {
    let (go, (sender, receiver)) = (SharedEvent::new()?, channel::<u64>(4)?);
    let act = |(sender, go): (Sender<u64>, SharedEvent)| {
        sender.send(1).expect("it is open");
        drop(sender);
        go.wait();
    };
    let argument = (sender.clone(), go.clone());
    let mut process = Process::builder().start_method(method).spawn(act, argument)?;
    drop(sender);
    assert_eq!(rest(&receiver), [1]);
    go.set();
    process.join_timeout(SOON)?;
    Ok(())
}

fn in_a_shared_value(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<u64>(64)?;
    let (requests, taken) = channel::<u64>(64)?;
    (0..20).try_for_each(|n| requests.send(n))?;
    let pool = builder(method, 3).shared((taken, sender)).build()?;
    pool.tasks(0..20u64).chunk_size(1).with_worker().map(|w, _| {
        let (taken, sender) = w.shared;
        sender.send(2 * taken.recv().expect("there are twenty")).expect("there is room");
    })?;
    let doubled: Vec<u64> = receiver.try_iter().collect::<Result<_, _>>()?;
    assert_eq!(sorted(doubled), (0..20).map(|n| 2 * n).collect::<Vec<_>>());
    Ok(())
}

fn both_ways(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (ours, theirs) = duplex::<u32, String>(4)?;
    let talk = pool.apply_async(theirs, |theirs: Duplex<String, u32>| {
        while let Ok(number) = theirs.recv() {
            theirs.send(number.to_string()).expect("it listens");
        }
    })?;
    for number in 0..100u32 {
        ours.send(number)?;
        assert_eq!(ours.recv_timeout(SOON)?, number.to_string());
    }
    drop(ours);
    talk.get()?;
    Ok(())
}

fn joinable_queues(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let queue = JoinableQueue::<u64>::new(100)?;
    (0..40).try_for_each(|n| queue.send(n))?;
    let sums = pool.tasks([queue.clone(), queue.clone()]).chunk_size(1).map_async(|queue| {
        let mut sum = 0;
        for _ in 0..20 {
            sum += queue.recv().expect("there are forty");
            queue.task_done().expect("it has one in hand");
        }
        sum
    })?;
    queue.join();
    assert_eq!(sums.get()?.iter().sum::<u64>(), (0..40).sum::<u64>());
    assert!(queue.is_empty() && queue.lost() == 0);
    Ok(())
}

/// Three processes in a row.
fn to_processes(method: StartMethod) -> Outcome {
    let builder = || Process::builder().start_method(method);
    let count = tenth_of(20_000);
    let (numbers, squared) = (channel::<u64>(64)?, channel::<u64>(64)?);
    let source = |(count, out): (u64, Sender<u64>)| {
        (0..count).for_each(|n| out.send(n).expect("it is taken"));
    };
    let square = |(from, to): (Receiver<u64>, Sender<u64>)| {
        from.iter().for_each(|n| to.send(n.expect("it is whole").pow(2)).expect("it is taken"));
    };
    let sum = |from: Receiver<u64>| from.iter().map(|n| n.expect("it is whole")).sum::<u64>();
    let mut last = builder().spawn(sum, squared.1)?;
    let mut middle = builder().spawn(square, (numbers.1, squared.0))?;
    let mut first = builder().spawn(source, (count, numbers.0))?;
    assert_eq!(last.join_timeout(SOON)?, (0..count).map(|n| n * n).sum::<u64>());
    first.join_timeout(SOON)?;
    middle.join_timeout(SOON)?;
    Ok(())
}

fn large_messages(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (sender, receiver) = ChannelBuilder::new(4).max_bytes(1 << 30).build::<Vec<u8>>()?;
    let items = (0..8u8).map(|n| (n, sender.clone()));
    let sent = pool.tasks(items).chunk_size(1).map_async(|(n, sender)| {
        sender.send(vec![n; 1 << 20]).expect("it is taken");
    })?;
    drop(sender);
    let mut seen = Vec::new();
    let view = || {
        receiver.recv_view_timeout(SOON, |bytes| {
            assert!(bytes.len() == 1 << 20 && bytes.iter().all(|byte| *byte == bytes[0]));
            bytes[0]
        })
    };
    while let Ok(number) = view() {
        seen.push(number);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>());
    sent.get()?;
    // From the region of this process to that of the others.
    let (sender, receiver) = ChannelBuilder::new(4).max_bytes(1 << 30).build::<Vec<u8>>()?;
    let sums = pool.tasks([receiver]).map_async(|receiver| {
        receiver.iter().map(|bytes| bytes.expect("it is whole").len() as u64).sum::<u64>()
    })?;
    (0..20).try_for_each(|_| sender.send(vec![1; 1 << 20]))?;
    drop(sender);
    assert_eq!(sums.get()?, [20 << 20]);
    Ok(())
}

/// One and the same channel for one item after the other: no place of a process is used up.
fn again_and_again(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).worker_lifespan(50).build()?;
    let (sender, receiver) = channel::<String>(16)?;
    let count = tenth_of(5000);
    let sent =
        pool.tasks((0..count).map(|_| sender.clone())).chunk_size(1).map_async(|sender| {
            sender.send("one".to_string()).expect("it is taken");
        })?;
    drop(sender);
    assert_eq!(rest(&receiver).len() as u64, count);
    sent.get()?;
    Ok(())
}

fn from_worker_to_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (sender, receiver) = channel::<u64>(2)?;
    let count = tenth_of(20_000);
    let ends = [(Some(sender), None), (None, Some(receiver))];
    let sums =
        pool.tasks(ends.map(|ends| (count, ends))).chunk_size(1).map(
            |(count, ends)| match ends {
                (Some(sender), _) => {
                    (0..count).for_each(|n| sender.send(n).expect("it is taken"));
                    0
                }
                (_, Some(receiver)) => {
                    let receiver: Receiver<u64> = receiver;
                    receiver.iter().map(|n| n.expect("it is whole")).sum()
                }
                _ => unreachable!("each has one"),
            },
        )?;
    assert_eq!(sums, [0, (0..count).sum::<u64>()]);
    Ok(())
}
