//! Items that come over time, put by one thread and taken by another.
//!
//! The workers keep a state of their own: each counts the words that it has seen. One item makes
//! its worker abort: its `get` says so, and the others go on.

use std::{collections::HashSet, process, sync::mpsc, thread};

use pool_api::{ManagerError, PoolManager, PoolProcess};

struct Vocabulary {
    seen: HashSet<String>,
    longest: usize,
}

impl PoolProcess for Vocabulary {
    type Args = usize;
    type Item = String;
    type Output = usize;

    fn init(longest: &usize) -> Self {
        Self { seen: HashSet::new(), longest: *longest }
    }

    /// How many different words this worker has seen.
    fn run(&mut self, line: String) -> usize {
        for word in line.split_whitespace() {
            if word.len() > self.longest {
                process::abort();
            }
            self.seen.insert(word.to_owned());
        }
        self.seen.len()
    }
}

fn main() -> Result<(), ManagerError> {
    let lines = ["tea and cake", "tea", "incomprehensibilities", "more cake"];
    let manager = PoolManager::process::<Vocabulary>(12).size(1).ordered(true).start()?;
    let (put, is_put) = mpsc::channel();
    let answers: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            let put = put; // dropped after the last line, which ends the loop below
            for line in lines {
                manager.put(line.to_owned())?;
                let _ = put.send(()); // received as long as this thread runs
            }
            Ok::<(), ManagerError<String>>(())
        });
        is_put.iter().map(|()| manager.get()).collect()
    });
    for (line, answer) in lines.iter().zip(&answers) {
        match answer {
            Ok(words) => println!("{line:?}: {words} words so far"),
            Err(error) => println!("{line:?}: {error}"),
        }
    }
    assert!(matches!(&answers[..], [Ok(3), Ok(3), Err(ManagerError::Failed(_)), Ok(2)]));
    manager.join()
}
