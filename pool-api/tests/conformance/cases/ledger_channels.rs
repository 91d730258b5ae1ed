//! The examples of guides to `multiprocessing`'s queues and pipes, in the terms of this crate:
//! between a process or thread and this one.

use std::time::Duration;

use pool_api::{
    Process, SharedEvent, SharedValue, StartMethod, Wire,
    channel::{
        ChannelBuilder, Duplex, JoinableQueue, NothingInHand, Receiver, RecvError, Select,
        SendError, Sender, channel, duplex,
    },
};

use super::processes::{SOON, builder};
use crate::{
    case::{Case, Outcome},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("guide_queues_have_so_much_room", room),
    Case::new("guide_queues_are_waited_at_when_empty", empty),
    Case::new("guide_queues_keep_the_order_of_each_process", order),
    Case::new("guide_queues_share_out_their_messages", shared_out),
    Case::new("guide_queues_hold_up_no_join", no_flush),
    Case::new("guide_queues_end_with_those_that_put", ends_with_senders),
    Case::new("guide_queues_end_with_those_that_get", ends_with_receivers),
    Case::new("guide_queues_of_killed_processes", killed).processes(),
    Case::new("guide_queues_give_back_what_does_not_fit", too_large),
    Case::new("guide_queues_in_closures", closures).captures(),
    Case::new("guide_joinable_queues_are_joined", joined),
    Case::new("guide_joinable_queues_of_killed_processes", joined_without_the_dead).processes(),
    Case::new("guide_pipes_talk", pipes_talk),
    Case::new("guide_pipes_end_with_the_other_end", pipes_end),
    Case::new("guide_pipes_of_large_messages_both_ways", large_both_ways),
    Case::new("guide_pipes_and_processes_are_waited_for_together", wait_for_any),
];

/// What is over before it could have become true.
const SHORT: Duration = Duration::from_millis(5);

/// Starts a process that gets ends of channels as its argument.
fn start<A: Wire, R: Wire>(
    method: StartMethod,
    function: fn(A) -> R,
    ends: A,
) -> pool_api::Result<Process<R>> {
    builder(method).spawn(function, ends)
}

/// Waits to be killed.
fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

/// `maxsize`, `Full` at once and after a time, `put_nowait`, `qsize`, `empty`, `full`.
fn room(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<String>(2)?;
    assert_eq!((sender.capacity(), receiver.len()), (2, 0));
    assert!(receiver.is_empty() && !receiver.is_full());
    sender.send("one".into())?;
    sender.try_send("two".into())?;
    assert!(!receiver.is_empty() && receiver.is_full());
    assert_eq!(receiver.len(), 2);
    let full = sender.try_send("three".into());
    let Err(SendError::Full(back)) = full else { panic!("{full:?}") };
    let late = sender.send_timeout(back, SHORT);
    let Err(SendError::TimedOut(back)) = late else { panic!("{late:?}") };
    assert_eq!(back, "three");

    let gate = SharedEvent::new()?;
    let take = |(gate, receiver): (SharedEvent, Receiver<String>)| {
        gate.wait();
        receiver.iter().take(3).collect::<Result<Vec<_>, _>>().expect("they are texts")
    };
    let process = start(method, take, (gate.clone(), receiver))?;
    assert!(matches!(sender.try_send(String::new()), Err(SendError::Full(_))));
    gate.set();
    sender.send_timeout(back, SOON)?;
    assert_eq!(process.join()?, ["one", "two", "three"]);
    Ok(())
}

/// `Empty` at once and after a time, `get_nowait`, and a `get` that waits.
fn empty(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<u64>(2)?;
    let gate = SharedEvent::new()?;
    let put = |(gate, sender): (SharedEvent, Sender<u64>)| {
        gate.wait();
        sender.send(7).is_ok()
    };
    let process = start(method, put, (gate.clone(), sender))?;
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(receiver.recv_timeout(SHORT), Err(RecvError::TimedOut)));
    gate.set();
    assert_eq!(receiver.recv_timeout(SOON)?, 7);
    assert!(process.join()?);
    Ok(())
}

/// What one process puts stays in its order, and nothing is lost or comes twice.
fn order(method: StartMethod) -> Outcome {
    const SENDERS: u64 = 3;
    const EACH: u64 = 500;
    let (sender, receiver) = channel::<(u64, u64)>(8)?;
    let put = |(from, sender): (u64, Sender<(u64, u64)>)| {
        (0..EACH).all(|n| sender.send((from, n)).is_ok())
    };
    let processes = (0..SENDERS)
        .map(|from| start(method, put, (from, sender.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    drop(sender);
    let mut next = [0; SENDERS as usize];
    for message in &receiver {
        let (from, n) = message?;
        assert_eq!(n, next[from as usize], "from {from}");
        next[from as usize] += 1;
    }
    assert_eq!(next, [EACH; SENDERS as usize]);
    for process in processes {
        assert!(process.join()?);
    }
    Ok(())
}

/// Each message goes to one of those that wait.
fn shared_out(method: StartMethod) -> Outcome {
    const COUNT: u64 = 1000;
    let (work, items) = channel::<u64>(8)?;
    let (answers, results) = channel::<u64>(8)?;
    let square = |(items, answers): (Receiver<u64>, Sender<u64>)| {
        items.iter().all(|item| {
            let item = item.expect("a number");
            answers.send(item * item).is_ok()
        })
    };
    let processes = (0..3)
        .map(|_| start(method, square, (items.clone(), answers.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    drop((items, answers));
    let mut sum = 0;
    for item in 1..=COUNT {
        work.send(item)?;
        // Taken meanwhile: both queues are short.
        for result in results.try_iter() {
            sum += result?;
        }
    }
    drop(work);
    for result in &results {
        sum += result?;
    }
    assert_eq!(sum, COUNT * (COUNT + 1) * (2 * COUNT + 1) / 6);
    for process in processes {
        assert!(process.join()?);
    }
    Ok(())
}

/// A process that has put much ends before any of it is read: it can be joined first.
fn no_flush(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<Vec<u64>>(8)?;
    let put = |sender: Sender<Vec<u64>>| (0..8).all(|n| sender.send(vec![n; 1 << 17]).is_ok());
    let process = start(method, put, sender)?;
    assert!(process.join()?);
    for n in 0..8 {
        let words = receiver.recv_timeout(SOON)?;
        assert_eq!((words.len(), words[0], words[words.len() - 1]), (1 << 17, n, n));
    }
    assert!(matches!(receiver.recv_timeout(SOON), Err(RecvError::Disconnected)));
    Ok(())
}

/// The end comes after the last message, and stays.
fn ends_with_senders(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<u64>(8)?;
    let other = sender.clone();
    let put = |(numbers, sender): (Vec<u64>, Sender<u64>)| {
        numbers.into_iter().all(|n| sender.send(n).is_ok())
    };
    let first = start(method, put, (vec![0, 1, 2], sender))?;
    assert!(first.join()?);
    let got = (0..3).map(|_| receiver.recv()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(got, [0, 1, 2]);
    assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)), "this process can send");
    let second = start(method, put, (vec![3], other))?;
    assert!(second.join()?);
    assert_eq!(receiver.recv_timeout(SOON)?, 3);
    for _ in 0..2 {
        assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
        assert!(matches!(receiver.recv_timeout(SOON), Err(RecvError::Disconnected)));
    }
    assert_eq!(receiver.iter().count(), 0);
    Ok(())
}

fn ends_with_receivers(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<String>(1)?;
    let take = |receiver: Receiver<String>| receiver.recv().is_ok_and(|text| text == "first");
    let process = start(method, take, receiver)?;
    sender.send("first".into())?;
    // Waits while the queue is full, and is told when the other process ends.
    let refused = (0..).find_map(|n| sender.send(format!("number {n}")).err()).ok_or("endless")?;
    assert!(matches!(&refused, SendError::Disconnected(_)), "{refused:?}");
    assert!(refused.into_message().starts_with("number "));
    assert!(process.join()?);
    assert!(matches!(sender.try_send(String::new()), Err(SendError::Disconnected(_))));
    Ok(())
}

/// What a process has put before it was killed is there; then the queue ends.
fn killed(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<u64>(4)?;
    let put = |sender: Sender<u64>| {
        (0..4).for_each(|n| sender.send(n).expect("there is room"));
        sleep()
    };
    let process: Process<()> = start(method, put, sender)?;
    assert_eq!(receiver.recv_timeout(SOON)?, 0);
    wait_until("all are put", || receiver.len() == 3);
    process.kill()?;
    let rest = receiver.iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!((rest, receiver.lost()), (vec![1, 2, 3], 0));
    assert!(process.join().is_err_and(|error| error.to_string().contains("SIGKILL")));
    Ok(())
}

/// A message that is refused comes back, and takes no room.
fn too_large(method: StartMethod) -> Outcome {
    let (sender, receiver) = ChannelBuilder::new(1).max_bytes(64 << 16).build::<Vec<u64>>()?;
    let take = |receiver: Receiver<Vec<u64>>| receiver.recv().expect("the second one").len();
    let process = start(method, take, receiver)?;
    let refused = sender.send(vec![7; 1 << 14]);
    let Err(SendError::TooLarge { message, bytes, most }) = refused else { panic!("{refused:?}") };
    assert!(message.len() == 1 << 14 && bytes > most && most >= 1 << 16);
    sender.send_timeout(vec![7; 1 << 10], SOON)?;
    assert_eq!(process.join()?, 1 << 10);
    Ok(())
}

/// Closures take ends along that they have captured.
fn closures(method: StartMethod) -> Outcome {
    let (sender, receiver) = channel::<u64>(4)?;
    let (answers, answered) = channel::<u64>(4)?;
    let process = builder(method).spawn_closure(move || {
        // Under Fork this process has a copy of `sender`, so the messages do not end.
        let messages = receiver.iter().map(|n| n.expect("a number"));
        messages.take(3).all(|n| answers.send(n + 1).is_ok())
    })?;
    (0..3).try_for_each(|n| sender.send(n))?;
    assert_eq!(answered.iter().collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    assert!(process.join()?);
    assert!(matches!(sender.send(3), Err(SendError::Disconnected(3))));
    Ok(())
}

/// `task_done` and `join`; too many of the one are an error.
fn joined(method: StartMethod) -> Outcome {
    let queue = JoinableQueue::<u64>::new(16)?;
    queue.join(); // nothing was put
    assert_eq!(queue.task_done(), Err(NothingInHand));
    let (gate, sum) = (SharedEvent::new()?, SharedValue::new(0u64)?);
    let work = |(queue, gate, sum): (JoinableQueue<u64>, SharedEvent, SharedValue<u64>)| {
        for _ in 0..10 {
            let item = queue.recv().expect("a number");
            gate.wait();
            sum.fetch_add(item);
            queue.task_done().expect("it has one in hand");
        }
        queue.task_done() == Err(NothingInHand)
    };
    let process = start(method, work, (queue.clone(), gate.clone(), sum.clone()))?;
    (0..10).try_for_each(|n| queue.send(n))?;
    assert!(!queue.join_timeout(SHORT), "none is done");
    gate.set();
    queue.join();
    assert_eq!(sum.get(), 45, "all are done");
    assert!(queue.is_empty());
    assert!(process.join()?);
    Ok(())
}

/// A message in the hands of a process that is killed is lost, and no `join` waits for it.
fn joined_without_the_dead(method: StartMethod) -> Outcome {
    let queue = JoinableQueue::<u64>::new(4)?;
    let taken = SharedEvent::new()?;
    let take = |(queue, taken): (JoinableQueue<u64>, SharedEvent)| {
        let _item = queue.recv();
        taken.set();
        sleep()
    };
    let process: Process<()> = start(method, take, (queue.clone(), taken.clone()))?;
    queue.send(1)?;
    taken.wait();
    assert!(!queue.join_timeout(SHORT), "it is in hand");
    process.kill()?;
    assert!(queue.join_timeout(SOON));
    assert_eq!(queue.lost(), 1);
    assert!(process.join().is_err());
    Ok(())
}

/// `send` and `recv` in turn, `poll` without and with an answer.
fn pipes_talk(method: StartMethod) -> Outcome {
    let (ours, theirs) = duplex::<(String, u32), Vec<String>>(4)?;
    let repeat = |theirs: Duplex<Vec<String>, (String, u32)>| {
        for message in theirs.receiver() {
            let (word, times) = message.expect("a word");
            theirs.send(vec![word; times as usize]).expect("the other end is there");
        }
    };
    let process = start(method, repeat, theirs)?;
    assert!(matches!(ours.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(ours.recv_timeout(SHORT), Err(RecvError::TimedOut)));
    for times in 1..4 {
        ours.send(("tea".into(), times))?;
        assert_eq!(ours.recv_timeout(SOON)?, vec!["tea"; times as usize]);
    }
    drop(ours);
    process.join()?;
    Ok(())
}

/// `EOFError` after the last message, and a broken pipe for what is sent.
fn pipes_end(method: StartMethod) -> Outcome {
    let (ours, theirs) = duplex::<u64, u64>(4)?;
    let count = |theirs: Duplex<u64, u64>| {
        let first = theirs.recv().expect("a number");
        (first..first + 3).all(|n| theirs.send(n).is_ok())
    };
    let process = start(method, count, theirs)?;
    ours.send(5)?;
    assert!(process.join()?);
    let got = (0..3).map(|_| ours.recv()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(got, [5, 6, 7]);
    assert!(matches!(ours.recv(), Err(RecvError::Disconnected)));
    assert!(matches!(ours.send(8), Err(SendError::Disconnected(8))));
    Ok(())
}

/// Both ends send more than a pipe of the system holds, and read only then.
fn large_both_ways(method: StartMethod) -> Outcome {
    const WORDS: usize = 1 << 19;
    let (ours, theirs) = duplex::<Vec<u64>, Vec<u64>>(1)?;
    let both = |theirs: Duplex<Vec<u64>, Vec<u64>>| {
        theirs.send(vec![2; WORDS]).expect("there is room");
        theirs.recv().is_ok_and(|words| words.len() == WORDS && words.iter().all(|w| *w == 1))
    };
    let process = start(method, both, theirs)?;
    ours.send(vec![1; WORDS])?;
    let words = ours.recv_timeout(SOON)?;
    assert!(words.len() == WORDS && words.iter().all(|w| *w == 2));
    assert!(process.join()?);
    Ok(())
}

/// `connection.wait` for pipes and for the end of a process.
fn wait_for_any(method: StartMethod) -> Outcome {
    let gates = [SharedEvent::new()?, SharedEvent::new()?, SharedEvent::new()?];
    let ((numbers, of_numbers), (texts, of_texts)) = (channel::<u64>(4)?, channel::<String>(4)?);
    let put = |(gates, numbers, texts): (Vec<SharedEvent>, Sender<u64>, Sender<String>)| {
        gates[0].wait();
        texts.send("first".into()).expect("there is room");
        gates[1].wait();
        numbers.send(2).expect("there is room");
        gates[2].wait();
    };
    // Kept here, too: the pipes do not end with the process.
    let ends = (gates.to_vec(), numbers.clone(), texts.clone());
    let process = start(method, put, ends)?;
    let mut select = Select::new();
    let indices = [select.recv(&of_numbers), select.recv(&of_texts), select.readable(&process)];
    assert_eq!(select.ready_timeout(SHORT)?, None);
    gates[0].set();
    assert_eq!(select.ready_timeout(SOON)?, Some(indices[1]));
    assert_eq!(of_texts.try_recv()?, "first");
    gates[1].set();
    assert_eq!(select.ready_timeout(SOON)?, Some(indices[0]));
    assert_eq!(of_numbers.try_recv()?, 2);
    gates[2].set();
    assert_eq!(select.ready_timeout(SOON)?, Some(indices[2]));
    drop(select);
    process.join()?;
    Ok(())
}
