//! A plain pool of threads over two crossbeam channels, as one writes it without a library.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Threads that run one function on chunks of items.
pub(crate) struct ThreadPool<A, R> {
    work: Option<Sender<(usize, Vec<A>)>>,
    done: Receiver<(usize, Vec<R>)>,
    threads: Vec<JoinHandle<()>>,
}

impl<A: Send + 'static, R: Send + 'static> ThreadPool<A, R> {
    pub(crate) fn new(threads: usize, f: fn(A) -> R) -> Self {
        let (work, todo) = unbounded::<(usize, Vec<A>)>();
        let (report, done) = unbounded();
        let threads = (0..threads).map(|_| {
            let (todo, report) = (todo.clone(), report.clone());
            thread::spawn(move || {
                for (index, items) in todo {
                    let results = items.into_iter().map(f).collect();
                    if report.send((index, results)).is_err() {
                        break;
                    }
                }
            })
        });
        Self { work: Some(work), done, threads: threads.collect() }
    }

    /// The results in input order.
    pub(crate) fn map(&self, items: impl IntoIterator<Item = A>, chunk: usize) -> Vec<R> {
        let work = self.work.as_ref().expect("taken only by drop");
        let mut items = items.into_iter();
        let mut sent = 0;
        loop {
            let next: Vec<A> = items.by_ref().take(chunk).collect();
            if next.is_empty() {
                break;
            }
            work.send((sent, next)).expect("the threads end after the channel");
            sent += 1;
        }
        let mut chunks: Vec<Vec<R>> = Vec::new();
        chunks.resize_with(sent, Vec::new);
        for (index, results) in self.done.iter().take(sent) {
            chunks[index] = results;
        }
        chunks.into_iter().flatten().collect()
    }
}

impl<A, R> Drop for ThreadPool<A, R> {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed where it happened.
            let _ = thread.join();
        }
    }
}
