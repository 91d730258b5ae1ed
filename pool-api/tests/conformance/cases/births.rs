//! Workers that are killed (SIGKILL) while they have no task: they held no item, so no call fails
//! by their death unless too many in a row are killed before they could take one.

use std::time::Duration;

use pool_api::{
    Cause, Error, ExitStatus, StartMethod,
    rkyv::{self, Archive, Deserialize, Serialize, rancor::Fallible},
};

use crate::{
    case::{Case, Outcome, builder},
    scratch::{Scratch, append, read_numbers, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("killed_while_decoding_what_is_shared", decoding).processes(),
    Case::new("killed_at_worker_start", at_start).processes(),
    Case::new("killed_at_each_init_of_the_worker_of_a_direct_call", at_init).processes(),
    Case::new("killed_while_forking_for_a_template", forking).processes(),
    Case::new("killed_while_idle", idle).processes(),
    Case::new("killed_while_idle_again_and_again", idle_again_and_again).processes(),
];

const KILLED: Cause = Cause::Death(ExitStatus::Signal(sys::SIGKILL));
/// The number of births that fail: fewer than make a pool of two give up.
const KILLS: usize = 4;

/// Kills the calling process if it is among the first.
fn be_hunted(path: &str) {
    append(path, std::process::id().into());
    if read_numbers(path).len() <= KILLS {
        sys::raise(sys::SIGKILL);
    }
}

/// The path of the file that lists the processes that decoded the value.
#[derive(Archive, Serialize)]
#[rkyv(crate = rkyv)]
struct Hunted(String);

impl<D: Fallible + ?Sized> Deserialize<Hunted, D> for ArchivedHunted {
    fn deserialize(&self, _: &mut D) -> Result<Hunted, D::Error> {
        be_hunted(&self.0);
        Ok(Hunted(self.0.to_string()))
    }
}

fn decoding(method: StartMethod) -> Outcome {
    if method != StartMethod::Spawn {
        return Ok(()); // no worker decodes it itself
    }
    let scratch = Scratch::new();
    let pool = builder(method, 2).shared(Hunted(scratch.path())).build()?;
    let seen = pool.tasks(0..40usize).with_worker().map(|w, n| w.shared.0.len() + n)?;
    assert_eq!(seen[39], scratch.path().len() + 39);
    assert!(scratch.numbers().len() > KILLS);
    Ok(())
}

/// The short-lived process that a template forks through is killed before and after its fork.
fn forking(method: StartMethod) -> Outcome {
    extern "C" fn before() {
        be_killed_if_first("0");
    }
    extern "C" fn behind() {
        be_killed_if_first("1");
    }
    fn be_killed_if_first(number: &str) {
        let path = std::env::var("POOL_FORKING").expect("set below") + number;
        if !std::path::Path::new(&path).exists() {
            append(&path, 1);
            sys::kill(std::process::id(), sys::SIGKILL);
        }
    }
    let scratch = Scratch::new();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("POOL_FORKING", scratch.path()) };
    let built = || {
        sys::around_forks(before, behind);
        std::process::id()
    };
    let pool = builder(method, 2).shared_built(built).build()?;
    let seen = pool.broadcast(|w| (*w.shared, std::process::id()))?;
    assert_eq!(seen.len(), 2);
    if method != StartMethod::Spawn {
        let kills = ["0", "1"].map(|number| read_numbers(scratch.path() + number).len());
        assert_eq!(kills, [1, 1]);
        for number in ["0", "1"] {
            std::fs::remove_file(scratch.path() + number)?;
        }
    }
    // The workers that the pool knows are the only ones.
    let mut pids: Vec<_> =
        (0..200).map(|_| pool.apply((), |()| std::process::id())).collect::<Result<_, _>>()?;
    pids.retain(|pid| !pool.worker_pids().contains(pid));
    assert!(pids.is_empty(), "{pids:?}");
    Ok(())
}

fn at_start(method: StartMethod) -> Outcome {
    fn start() {
        be_hunted(&std::env::var("POOL_HUNTED").expect("set below"));
    }
    let scratch = Scratch::new();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("POOL_HUNTED", scratch.path()) };
    let pool = builder(method, 2).at_worker_start(start).build()?;
    assert_eq!(pool.map(0..40u8, |n| n)?.len(), 40);
    let pool = builder(method, 2).at_worker_start(|| sys::raise(sys::SIGKILL)).build()?;
    let ended = pool.map(0..40u8, |n| n);
    assert!(matches!(&ended, Err(Error::WorkerStartFailed(c)) if *c == KILLED), "{ended:?}");
    Ok(())
}

fn at_init(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).worker_init(|_| sys::raise(sys::SIGKILL)).build()?;
    let ended = pool.task(()).retry(20).on_worker(0).apply(|()| ());
    let told =
        matches!(&ended, Err(Error::WorkerInitFailed { worker: 0, cause }) if *cause == KILLED);
    assert!(told, "{ended:?}");
    Ok(())
}

fn idle(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    for killed in 0..6 {
        let workers = pool.broadcast(|_| std::process::id())?;
        // One, or both of them.
        workers[..1 + killed % 2].iter().for_each(|pid| assert!(sys::kill(*pid, sys::SIGKILL)));
        let values = pool.map(0..100u64, |x| x + 1)?;
        assert!(values.into_iter().eq(1..101));
    }
    Ok(())
}

/// While one worker is busy, each worker that is started beside it dies as soon as it sleeps.
fn idle_again_and_again(method: StartMethod) -> Outcome {
    fn start() {
        let path = std::env::var("POOL_IDLE").expect("set below");
        if !std::path::Path::new(&(path.clone() + "busy")).exists() {
            return;
        }
        append(&path, 1);
        let main = std::process::id();
        std::thread::spawn(move || {
            let is_asleep = || {
                let stat = std::fs::read_to_string(format!("/proc/self/task/{main}/stat"));
                stat.is_ok_and(|stat| stat.contains(") S "))
            };
            while !is_asleep() {
                std::thread::yield_now();
            }
            sys::kill(main, sys::SIGKILL);
        });
    }
    let scratch = Scratch::new();
    let (path, busy, end) = (scratch.path(), scratch.path() + "busy", scratch.path() + "end");
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("POOL_IDLE", &path) };
    let pool = builder(method, 2).at_worker_start(start).build()?;
    let both = pool.broadcast(|_| std::process::id())?;
    let handle = pool.apply_async(path.clone(), |path| {
        append(&(path.clone() + "busy"), std::process::id().into());
        wait_until("the end", || std::path::Path::new(&(path.clone() + "end")).exists());
        std::process::id()
    })?;
    wait_until("the task has begun", || !read_numbers(&busy).is_empty());
    let at_work = read_numbers(&busy)[0];
    let idle = both.into_iter().find(|pid| u64::from(*pid) != at_work).expect("two workers");
    assert!(sys::kill(idle, sys::SIGKILL));
    // Without rests between births there would be some hundred.
    assert!(!handle.wait_timeout(Duration::from_millis(600))?);
    let births = scratch.numbers().len();
    assert!((1..60).contains(&births), "{births} were started");
    append(&end, 1);
    assert_eq!(u64::from(handle.get()?), at_work);
    std::fs::remove_file(busy)?;
    std::fs::remove_file(end)?;
    // A call does not wait for the end of a rest.
    assert_eq!(pool.broadcast(|_| ())?.len(), 2);
    Ok(())
}
