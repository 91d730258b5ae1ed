//! Programs and tasks that put files, sockets and event counters of their own at the numbers of the
//! pool's descriptors: the pool neither writes to, reads from nor closes them.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use pool_api::{CancelToken, Error, Result, SharedArray, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::Scratch,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("taken_descriptors_of_an_idle_pool", idle),
    Case::new("taken_descriptors_of_a_pool_and_a_later_one", and_a_later_pool),
    Case::new("taken_descriptors_beside_a_call", beside_a_call),
    Case::new("taken_descriptors_in_a_task", in_a_task).processes(),
];

const SIGTERM: i32 = 15;

#[derive(Clone, Copy)]
enum Kind {
    File,
    Socket,
    Counter,
}

const KINDS: [Kind; 3] = [Kind::File, Kind::Socket, Kind::Counter];

/// A descriptor of the program at a number that was the pool's.
enum Taken {
    File(File),
    Socket(UnixDatagram, UnixDatagram),
    Counter(File),
}

impl Taken {
    fn is_untouched(&mut self) -> bool {
        match self {
            Self::File(file) => file.metadata().is_ok_and(|data| data.len() == 0),
            Self::Socket(socket, peer) => {
                let mut bytes = [0; 64];
                let came = peer.recv(&mut bytes).map_err(|error| error.kind());
                came == Err(ErrorKind::WouldBlock)
                    && socket.recv(&mut bytes).is_ok_and(|len| bytes[..len] == *b"own")
            }
            Self::Counter(counter) => {
                let mut bytes = [0; 8];
                counter.read_exact(&mut bytes).is_ok() && u64::from_ne_bytes(bytes) == 3
            }
        }
    }
}

/// The numbers of the descriptors of this process.
fn open_now() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a list of descriptors");
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // The descriptor of the list itself is closed.
    open.retain(|number| Path::new(&format!("/proc/self/fd/{number}")).exists());
    open
}

/// Puts a descriptor of this kind at each number that is open and not among `before`.
fn take_all(kind: Kind, before: &[i32], path: &str) -> Vec<Taken> {
    let numbers: Vec<i32> =
        open_now().into_iter().filter(|n| *n > 2 && !before.contains(n)).collect();
    // All are made before the first is moved, so none has one of these numbers.
    let made: Vec<(OwnedFd, Option<UnixDatagram>)> =
        numbers.iter().map(|_| make(kind, path).expect("a descriptor")).collect();
    let put = |(number, (descriptor, peer)): (i32, (OwnedFd, Option<UnixDatagram>))| {
        let put = sys::put_at(descriptor, number);
        match (kind, peer) {
            (Kind::Socket, Some(peer)) => Taken::Socket(put.into(), peer),
            (Kind::Counter, _) => Taken::Counter(put.into()),
            _ => Taken::File(put.into()),
        }
    };
    numbers.into_iter().zip(made).map(put).collect()
}

fn make(kind: Kind, path: &str) -> std::io::Result<(OwnedFd, Option<UnixDatagram>)> {
    Ok(match kind {
        Kind::File => (OpenOptions::new().append(true).create(true).open(path)?.into(), None),
        Kind::Socket => {
            let (ours, peer) = UnixDatagram::pair()?;
            ours.set_nonblocking(true)?;
            peer.set_nonblocking(true)?;
            peer.send(b"own")?;
            (ours.into(), Some(peer))
        }
        Kind::Counter => (sys::counter(3), None),
    })
}

fn all_untouched(taken: &mut [Taken]) -> bool {
    taken.iter_mut().all(Taken::is_untouched)
}

/// A call may need nothing but a look at memory, or it returns that the pool is gone.
fn ends(pool: &WorkerPool, method: StartMethod) {
    match pool.map(0..4u64, |x| x + 1) {
        Ok(values) => assert_eq!(values, [1, 2, 3, 4]),
        Err(Error::PoolBroken) if method != StartMethod::Threads => {}
        other => panic!("{other:?}"),
    }
}

fn idle(method: StartMethod) -> Outcome {
    for (kind, gently) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let scratch = Scratch::new();
        let before = open_now();
        let (pool, token) = (pool(method, 2)?, CancelToken::new()?);
        let array = SharedArray::<u64>::new(4)?;
        assert_eq!(pool.tasks([array.clone()]).map(|array| array.len())?, [4]);
        let mut taken = take_all(kind, &before, &scratch.path());
        assert!(!taken.is_empty());
        token.cancel();
        // The zygote would have to be told of a handle, unless a worker has it already.
        let sent = pool.tasks([array]).map(|array| array.len());
        assert!(sent.is_err() || matches!(&sent, Ok(len) if *len == [4]), "{sent:?}");
        assert!(sent.is_ok() || method != StartMethod::Threads);
        ends(&pool, method);
        ends(&pool, method);
        let ended = if gently { pool.stop_and_join() } else { pool.terminate() };
        assert!(matches!(ended, Ok(()) | Err(Error::PoolBroken)), "{ended:?}");
        drop((pool, token));
        assert!(all_untouched(&mut taken));
    }
    Ok(())
}

/// The descriptors of a later pool at these numbers are its own, too.
fn and_a_later_pool(method: StartMethod) -> Outcome {
    let before = open_now();
    let (first, token) = (pool(method, 2)?, CancelToken::new()?);
    assert_eq!(first.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    sys::close_all_but(&before);
    let (second, other) = (pool(method, 2)?, CancelToken::new()?);
    assert_eq!(second.map(0..4u64, |x| x + 2)?, [2, 3, 4, 5]);
    token.cancel();
    ends(&first, method);
    drop((first, token));
    for _ in 0..3 {
        let seen = second.tasks(0..4u64).cancel_token(&other).map(|x| x + 2)?;
        assert_eq!(seen, [2, 3, 4, 5]);
    }
    second.stop_and_join()?;
    assert!(!other.is_cancelled());
    Ok(())
}

fn beside_a_call(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let before = open_now();
    let pool = pool(method, 2)?;
    assert_eq!(pool.map(0..4u64, |x| x + 1)?, [1, 2, 3, 4]);
    let (tell, heard) = std::sync::mpsc::channel();
    let (seen, mut taken) = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let items = (0..200u64).inspect(move |n| {
                if *n == 20 {
                    tell.send(()).expect("the other side waits");
                }
            });
            pool.tasks(items).chunk_size(1).map(|n| {
                std::thread::sleep(Duration::from_micros(500));
                n
            })
        });
        heard.recv().expect("the call goes on");
        let taken = take_all(Kind::File, &before, &scratch.path());
        (call.join().expect("no panic"), taken)
    });
    match seen {
        Ok(values) => assert!(values.into_iter().eq(0..200)),
        Err(Error::PoolBroken) if method != StartMethod::Threads => {}
        other => panic!("{other:?}"),
    }
    ends(&pool, method);
    drop(pool);
    assert!(all_untouched(&mut taken));
    Ok(())
}

static TAKEN: Mutex<Vec<Taken>> = Mutex::new(Vec::new());

fn in_a_task(method: StartMethod) -> Outcome {
    for kind in 0..KINDS.len() {
        let scratch = Scratch::new();
        let pool = builder(method, 2)
            .worker_exit(|_| {
                let mut taken = TAKEN.lock().expect("no panic");
                (taken.len() as u64, all_untouched(&mut taken))
            })
            .build()?;
        let items = (0..6u64).map(|n| (n == 0, kind, n, scratch.path()));
        let results: Result<Vec<u64>> =
            pool.tasks(items).chunk_size(1).map(|(takes, kind, n, path)| {
                if takes {
                    let taken = take_all(KINDS[kind], &[], &path);
                    *TAKEN.lock().expect("no panic") = taken;
                    // Otherwise the handler would have a socket to the zygote.
                    sys::kill(std::process::id(), SIGTERM);
                }
                // Long enough for the parent to sleep, so that it has to be woken.
                std::thread::sleep(Duration::from_millis(2));
                n
            });
        assert_eq!(results?, [0, 1, 2, 3, 4, 5], "{kind}");
        pool.stop_and_join()?;
        let exits = pool.exit_results();
        assert!(exits.iter().all(|(_, untouched)| *untouched), "{kind}: {exits:?}");
        assert!(exits.iter().any(|(taken, _)| *taken > 1), "{kind}: {exits:?}");
    }
    Ok(())
}
