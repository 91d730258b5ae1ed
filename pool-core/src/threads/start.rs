//! The start of the threads of a backend, and what each of them does until its end.
//!
//! Invariant: a backend that is returned has begun each of its threads; the first thread that the
//! system refuses is missing in it, and so are those behind that one.

use std::{
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use crossbeam_channel::unbounded;
use pool_affinity::CpuSet;
use pool_shm::ForkMark;

use super::{
    backend::{BACKEND, GOES_ON, ORDERLY, ThreadBackend, Work},
    claims::Claims,
    exiting::Exiting,
    work_queue::{WorkReceiver, work_queue},
    worker::ThreadWorker,
};
use crate::{
    config::PoolConfig,
    error::{Error, OrResources},
    hooks::become_daemon_thread,
    ids::WorkerId,
    insights::{InsightsArea, RowWriter},
    mutex::lock,
    os,
    panic::{end_quietly, in_task, learn_locations, take_panic},
    reentrancy::{InCall, Inside},
    stack,
};

/// For the error when a thread cannot be started.
const STARTING: &str = "starting a worker thread";

/// Threads meet at locks, each of which may hold one up for as long as a sleep takes: their caller
/// looks for news for longer than one of processes before it sleeps. (Without that, chunks of one
/// tiny item are a tenth slower.)
const LONGER_SPIN: u32 = 2;

impl ThreadBackend {
    pub(crate) fn start(plan: &PoolConfig) -> Result<Self, Error> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        learn_locations(false);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("mapping a page of memory")?;
        let mark = Arc::new(mark);
        let (senders, ends) = work_queue(plan.n_jobs);
        let mut backend = Self {
            work_queue: Arc::new(Mutex::new(Some(senders))),
            busy: Arc::default(),
            threads: Mutex::new(Vec::new()),
            jobs: Mutex::new(Vec::new()),
            claims: Claims::default(),
            number,
            missing: None,
            end: Arc::new(AtomicU8::new(GOES_ON)),
            exits: plan.exits.clone(),
            lifespan: plan.life.span,
            keep_alive: plan.keep_alive.into(),
            retired: false.into(),
            spin: LONGER_SPIN * os::spin_rounds(plan.n_jobs),
            init_limit: plan.bounds.init,
            exiting: Arc::new(Exiting::new(plan.n_jobs, plan.bounds.exit)),
            insights: plan.insights.as_ref().map(|collection| {
                collection.open(InsightsArea::in_this_process(collection.shape()))
            }),
            mark,
        };
        let (failed, failures) = unbounded();
        for (id, work_queue) in (0..).map(WorkerId::new).zip(ends) {
            let (mark, failed) = (backend.mark.clone(), failed.clone());
            let cpus = plan.cpus.cpus_of(id.index()).copied();
            let (plan, end, exiting) = (plan.clone(), backend.end.clone(), backend.exiting.clone());
            let (senders, busy) = (backend.work_queue.clone(), backend.busy.clone());
            let stack = stack::size(plan.bounds.stack);
            let insights = backend.insights.as_ref().and_then(|insights| {
                insights.area().worker_ordered(id.index());
                RowWriter::new(insights.area().clone(), id.index(), std::process::id())
            });
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .stack_size(stack)
                .spawn(move || {
                    let _ends = exiting.ends(id);
                    BACKEND.set(number);
                    if plan.bounds.daemon {
                        become_daemon_thread();
                    }
                    if let Err(error) = begin(cpus, &plan.first, plan.id) {
                        // The thread that starts the backend listens until every thread has got
                        // past here.
                        let _ = failed.send(error);
                        return;
                    }
                    drop(failed);
                    let handback = work_queue.handback(senders, busy);
                    let mut thread_worker = ThreadWorker::new(id, &plan, exiting.clone(), handback);
                    thread_worker.insights = insights;
                    if let Some(insights) = &mut thread_worker.insights {
                        insights.ready();
                    }
                    work(work_queue, number, &mark, &mut thread_worker);
                    let _inside = InCall::enter(number, Inside::Task);
                    thread_worker.leave(end.load(Ordering::SeqCst) == ORDERLY);
                });
            match thread {
                Ok(thread) => lock(&backend.threads).push(thread),
                // Threads that the system refuses are missing, as with processes.
                Err(error) if id > WorkerId::FIRST => {
                    if let Some(insights) = &backend.insights {
                        insights.area().worker_ended(id.index(), libc::SIGKILL, None);
                    }
                    backend.missing = Some((id, stack::refusal(STARTING, error, stack)));
                    break;
                }
                Err(error) => return Err(stack::refusal(STARTING, error, stack)),
            }
        }
        drop(failed);
        failures.recv().map_or(Ok(backend), Err)
    }
}

/// What a thread does before its first work: it is pinned, and calls the start functions.
fn begin(cpus: Option<CpuSet>, first: &[fn()], plan: u64) -> Result<(), Error> {
    if let Some(cpus) = cpus {
        cpus.pin_current_thread().or_resources("pinning a worker thread (cpu_ids)")?;
    }
    let _inside = InCall::enter(plan as usize, Inside::Start);
    for function in first {
        let called = in_task(|| catch_unwind(AssertUnwindSafe(function)));
        called.map_err(|panic| Error::WorkerStartFailed(take_panic(panic).into()))?;
    }
    Ok(())
}

fn work(
    work_queue: WorkReceiver<Work>,
    number: usize,
    mark: &ForkMark,
    thread_worker: &mut ThreadWorker,
) {
    for work in work_queue {
        // Calls of the task to other pools are inside of this one.
        let _inside = InCall::enter(number, Inside::Task);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(thread_worker))) {
            take_panic(payload);
        }
        if mark.get() == 0 {
            end_quietly(); // a task has forked and come back: the child is no worker
        }
    }
}
