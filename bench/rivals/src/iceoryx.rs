//! iceoryx2: publishers and subscribers of a service.
//!
//! A publisher waits while a subscriber's buffer is full, as a sender of a channel does, so that no
//! message is lost. A subscriber polls, the fastest way to wait that the library has.
//!
//! Every message reaches every subscriber: several of them do not share the work, as receivers of a
//! channel do.

use std::{fmt::Debug, hint, thread};

use iceoryx2::{
    port::{
        publisher::Publisher,
        subscriber::Subscriber,
        update_connections::{ConnectionFailure, UpdateConnections},
    },
    prelude::{
        BackpressureStrategy, Config, IceoryxSend, LogLevel, NodeBuilder, SignalHandlingMode, ipc,
        set_log_level,
    },
    service::builder::publish_subscribe::Builder,
};
use pool_bench::{
    Outcome,
    channels::{CAPACITY, LARGE, LARGE_CAPACITY, Sides, large_rate, nanos, rate},
    peer::Peer,
};

type Ipc = ipc::Service;

/// A service, which the first process that opens it creates.
#[derive(Clone, Copy)]
struct Topic<'a> {
    config: &'a Config,
    name: &'static str,
    /// How many publishers there are, and how many subscribers.
    ends: usize,
    /// Messages between a publisher and a subscriber.
    capacity: usize,
}

impl Topic<'_> {
    fn builder<P: Debug + IceoryxSend + ?Sized>(self) -> Outcome<Builder<P, (), Ipc>> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new()
            .config(self.config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<Ipc>()?;
        let builder = node.service_builder(&self.name.try_into()?).publish_subscribe::<P>();
        Ok(builder
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(self.capacity)
            .max_publishers(self.ends)
            .max_subscribers(self.ends)
            .max_nodes(2 * self.ends))
    }

    fn publisher(self) -> Outcome<Publisher<Ipc, u64, ()>> {
        let service = self.builder::<u64>()?.open_or_create()?;
        let strategy = BackpressureStrategy::RetryUntilDelivered;
        Ok(service.publisher_builder().backpressure_strategy(strategy).create()?)
    }

    fn subscriber(self) -> Outcome<Subscriber<Ipc, u64, ()>> {
        let service = self.builder::<u64>()?.open_or_create()?;
        Ok(service.subscriber_builder().buffer_size(self.capacity).create()?)
    }

    fn publisher_of_large(self) -> Outcome<Publisher<Ipc, [u8], ()>> {
        let service = self.builder::<[u8]>()?.open_or_create()?;
        let strategy = BackpressureStrategy::RetryUntilDelivered;
        let builder = service.publisher_builder().backpressure_strategy(strategy);
        Ok(builder.initial_max_slice_len(LARGE).create()?)
    }

    fn subscriber_of_large(self) -> Outcome<Subscriber<Ipc, [u8], ()>> {
        let service = self.builder::<[u8]>()?.open_or_create()?;
        Ok(service.subscriber_builder().buffer_size(self.capacity).create()?)
    }
}

/// Publishes a number.
fn send(publisher: &Publisher<Ipc, u64, ()>, number: u64) {
    let sample = publisher.loan_uninit().expect("a sample is free").write_payload(number);
    sample.send().expect("the subscribers live");
}

/// Waits for a number.
fn receive(subscriber: &Subscriber<Ipc, u64, ()>) -> u64 {
    *poll(|| subscriber.receive().expect("the publishers live"))
}

/// Asks until there is something. There may be more processes than CPUs.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    const SPINS: usize = 1000;
    loop {
        for _ in 0..SPINS {
            if let Some(value) = ask() {
                return value;
            }
            hint::spin_loop();
        }
        thread::yield_now();
    }
}

/// A process that opens its ports when it is asked for the first time, joins them with those of
/// other processes when it is asked twice more, and then works with them: each process needs a node
/// of its own, so that it cannot inherit ports.
fn peer<P>(
    cpu: Option<usize>,
    open: impl Fn() -> Outcome<P>,
    join: impl Fn(&P) -> Joined,
    mut work: impl FnMut(&P),
) -> Outcome<Peer> {
    let mut ports = None;
    let mut joins = 0..JOINS;
    Peer::working(cpu, move || match &ports {
        None => ports = Some(open().expect("ports can be opened")),
        Some(ports) if joins.next().is_some() => join(ports).expect("ports can be joined"),
        Some(ports) => work(ports),
    })
}

type Joined = Result<(), ConnectionFailure>;

/// First publishers learn of subscribers, and then these of the connections: before that, what does
/// not fit into a buffer is lost, since no subscriber is there to be waited for.
const JOINS: usize = 2;

/// Lets peers open their ports, and joins all of them and those of this process.
fn connect(peers: &[Peer], join: impl Fn() -> Joined) -> Outcome {
    let ask_all = || {
        for peer in peers {
            peer.ask();
            peer.wait();
        }
    };
    ask_all();
    for _ in 0..JOINS {
        join()?;
        ask_all();
    }
    Ok(())
}

/// `count` numbers from this process to another one.
pub(crate) fn one_to_one(config: &Config, count: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let topic = Topic { config, name: "one", ends: 1, capacity: CAPACITY };
    let peers = [peer(
        None,
        || topic.subscriber(),
        UpdateConnections::update_connections,
        |subscriber| {
            for number in 0..count as u64 {
                assert_eq!(receive(subscriber), number);
            }
        },
    )?];
    let publisher = topic.publisher()?;
    connect(&peers, || publisher.update_connections())?;
    Ok(move || {
        Ok(rate(count, || {
            peers[0].ask();
            (0..count as u64).for_each(|number| send(&publisher, number));
            peers[0].wait();
        }))
    })
}

/// `each` numbers taken by each of two processes, half of them from each of two others.
pub(crate) fn two_by_two(config: &Config, each: usize) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let topic = Topic { config, name: "two", ends: 2, capacity: CAPACITY };
    let publishing = || {
        peer(
            None,
            || topic.publisher(),
            UpdateConnections::update_connections,
            |publisher| (0..each as u64 / 2).for_each(|number| send(publisher, number)),
        )
    };
    let subscribed = || {
        peer(
            None,
            || topic.subscriber(),
            UpdateConnections::update_connections,
            |subscriber| {
                let sum: u64 = (0..each / 2 * 2).map(|_| receive(subscriber)).sum();
                assert_eq!(sum, (0..each as u64 / 2).sum::<u64>() * 2);
            },
        )
    };
    let peers = [subscribed()?, subscribed()?, publishing()?, publishing()?];
    connect(&peers, || Ok(()))?;
    Ok(move || {
        Ok(rate(2 * each, || {
            peers.iter().for_each(Peer::ask);
            peers.iter().for_each(Peer::wait);
        }))
    })
}

/// `count` large messages from this process to another one, which reads them in place.
pub(crate) fn large(
    config: &Config,
    count: usize,
    source: &'static [u8],
) -> Outcome<impl FnMut() -> Outcome<f64>> {
    let topic = Topic { config, name: "large", ends: 1, capacity: LARGE_CAPACITY };
    let peers = [peer(
        None,
        || topic.subscriber_of_large(),
        UpdateConnections::update_connections,
        |subscriber| {
            for _ in 0..count {
                let sample = poll(|| subscriber.receive().expect("the publisher lives"));
                assert_eq!(sample[LARGE - 1], 7);
            }
        },
    )?];
    let publisher = topic.publisher_of_large()?;
    connect(&peers, || publisher.update_connections())?;
    Ok(move || {
        Ok(large_rate(count, || {
            peers[0].ask();
            for _ in 0..count {
                let sample = publisher.loan_slice_uninit(LARGE).expect("a sample is free");
                sample.write_from_slice(source).send().expect("the subscriber lives");
            }
            peers[0].wait();
        }))
    })
}

/// A message that goes to another process and back, `count` times.
pub(crate) fn to_and_fro(
    config: &Config,
    count: usize,
    sides: Sides,
) -> Outcome<impl FnMut() -> Outcome<f64>> {
    /// Ends a sample: a peer polls only while it is measured.
    const LAST: u64 = 0;
    let there = Topic { config, name: "there", ends: 1, capacity: 1 };
    let back = Topic { name: "back", ..there };
    let peers = [peer(
        Some(sides.theirs),
        || Ok((there.subscriber()?, back.publisher()?)),
        |(todo, back)| todo.update_connections().and_then(|()| back.update_connections()),
        |(todo, back)| {
            loop {
                match receive(todo) {
                    LAST => break,
                    ball => send(back, ball + 1),
                }
            }
        },
    )?];
    let (there, answers) = (there.publisher()?, back.subscriber()?);
    connect(&peers, || there.update_connections().and_then(|()| answers.update_connections()))?;
    Ok(move || {
        peers[0].ask();
        let sample = nanos(count, || {
            send(&there, 1);
            assert_eq!(receive(&answers), 2);
        });
        send(&there, LAST);
        peers[0].wait();
        Ok(sample)
    })
}
