//! The compiler checks which types may cross threads, and which may be boxed.

use std::error::Error as StdError;

use pool_api::{
    Builder, CancelToken, Error, Process, StartMethod, TaskError, TryError, View, WorkerPool,
    channel,
};

fn crosses<T: Send + Sync + 'static>() {}
fn is_error<T: StdError + Send + Sync + 'static>() {}

#[test]
fn pools_are_shared_and_errors_boxed() {
    crosses::<WorkerPool>();
    crosses::<WorkerPool<String, Vec<u8>, u64>>();
    // The parameters only name types: whether those may cross does not matter.
    crosses::<WorkerPool<std::rc::Rc<u8>>>();
    crosses::<Builder>();
    crosses::<View<Vec<String>>>();
    crosses::<CancelToken>();
    is_error::<TryError<String>>();
    crosses::<StartMethod>();
    crosses::<Process<u64>>();
    crosses::<pool_api::ProcessBuilder>();
    is_error::<pool_api::ProcessError>();
    is_error::<Error>();
    is_error::<TaskError>();
    is_error::<pool_api::ParseStartMethodError>();
}

#[test]
fn ends_of_channels_are_shared_and_their_errors_boxed() {
    crosses::<channel::Sender<String>>();
    crosses::<channel::Receiver<String>>();
    crosses::<channel::Duplex<String, u64>>();
    crosses::<channel::JoinableQueue<String>>();
    is_error::<channel::ChannelError>();
    is_error::<channel::SendError<String>>();
    is_error::<channel::RecvError>();
    is_error::<channel::ProcessFault>();
    is_error::<channel::NothingInHand>();
}

#[test]
fn errors_go_through_the_question_mark() {
    fn boxed() -> Result<(), Box<dyn StdError + Send + Sync>> {
        WorkerPool::new(0)?;
        Ok(())
    }
    let error = boxed().expect_err("no workers");
    let error = error.downcast::<Error>().expect("the type is kept");
    assert!(matches!(*error, Error::InvalidInput(_)), "{error}");
}

#[test]
fn an_error_of_a_task_is_no_source_of_itself() {
    let pool = WorkerPool::builder().n_jobs(1).start_method(StartMethod::Threads).build();
    let failed = pool.expect("a pool").apply((), |()| -> u8 { panic!("bad") });
    let error = failed.expect_err("it panics");
    let Error::Task(task) = &error else { panic!("{error}") };
    assert_eq!((task.index(), task.to_string()), (0, error.to_string()));
    // All of it is in the text, so a report that prints the chain says it once.
    assert!(error.source().is_none());
}
