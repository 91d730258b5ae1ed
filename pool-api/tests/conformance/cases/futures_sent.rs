//! Calls whose item is being encoded, for the workers, while other things happen.

use std::sync::{Mutex, PoisonError, mpsc};

use pool_api::{
    Error, StartMethod,
    rkyv::{Archive, Deserialize, Place, Serialize, rancor::Fallible},
};

use super::futures_told::{begun_until_told, until_told};
use crate::{
    case::{Case, Outcome, pool},
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] =
    &[Case::new("futures_cancelled_while_they_are_sent", cancelled).processes()];

/// What the encoding of a [`Slow`] tells, and waits for.
static ENCODING: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>> = Mutex::new(None);

/// An item whose encoding says that it has begun, and waits until it is told to go on.
#[derive(Debug)]
struct Slow;

impl Archive for Slow {
    type Archived = u8;
    type Resolver = u8;

    fn resolve(&self, encoded: u8, out: Place<u8>) {
        out.write(encoded);
    }
}

impl<S: Fallible + ?Sized> Serialize<S> for Slow {
    fn serialize(&self, _: &mut S) -> Result<u8, S::Error> {
        let told = ENCODING.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((begun, go_on)) = told {
            let _ = begun.send(());
            let _ = go_on.recv();
        }
        Ok(1)
    }
}

impl<D: Fallible + ?Sized> Deserialize<Slow, D> for u8 {
    fn deserialize(&self, _: &mut D) -> Result<Slow, D::Error> {
        Ok(Slow)
    }
}

/// No worker has begun the call: it is taken back, and never runs. Later calls do not wait for its
/// encoding.
fn cancelled(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (gate, begun) = (Scratch::new(), Scratch::new());
    let holds = pool.apply_async((begun.path(), gate.path()), begun_until_told)?;
    wait_until("the worker holds", || !begun.numbers().is_empty());
    // So many that the last one stands in line.
    let before = (0..200).map(|n| pool.apply_async((gate.path(), n), until_told));
    let before = before.collect::<Result<Vec<_>, _>>()?;
    let (begin, encodes) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    *ENCODING.lock().unwrap_or_else(PoisonError::into_inner) = Some((begin, told));
    let slow = pool.apply_async(Slow, |Slow| -> u8 { std::process::abort() })?;
    append(&gate.path(), 1);
    encodes.recv()?; // in the thread that works for the futures
    let later = pool.apply_async(7u32, |n| n)?;
    assert_eq!(later.get()?, 7);
    assert!(slow.cancel());
    assert!(!slow.cancel(), "it has ended");
    assert!(matches!(slow.get(), Err(Error::Cancelled)));
    go_on.send(())?;
    assert_eq!(holds.get()?, 7);
    for (n, call) in (0..).zip(before) {
        assert_eq!(call.get()?, n);
    }
    pool.stop_and_join()?;
    assert_eq!(pool.apply(8u32, |n| n)?, 8);
    Ok(())
}
