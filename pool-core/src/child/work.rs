//! The function of a process, without its types.
//!
//! Invariant: `run` of a portable function was made together with its function's address, for that
//! function's type, and both come from the process that has asked for it, which runs this image.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pool_ipc::{AlignedBytes, Decoder, Encoder, Wire};
use pool_shm::SharedSegment;

use super::messages::Message;
use crate::{
    compact::Compact,
    error::{Error, FailureKind},
    hooks::FunctionOffsets,
    panic::{in_task, take_panic},
    stack::with_room,
};

/// What the function has returned, encoded.
pub(crate) struct Returned {
    pub(crate) bytes: AlignedBytes,
    pub(crate) segments: Vec<SharedSegment>,
}

/// Runs the function, and encodes what it returns.
pub(crate) type Work = Box<dyn FnOnce() -> Result<Returned, FailureKind>>;

type RunPortable = fn(usize, Message) -> Result<Returned, FailureKind>;

/// A function and what runs it, by their offsets in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable(pub(super) FunctionOffsets);

impl Portable {
    /// # Errors
    ///
    /// [`Error::ForeignFunction`].
    pub(crate) fn new<A: Wire, R: Wire>(function: fn(A) -> R) -> Result<Self, Error> {
        let run: RunPortable = run_portable::<A, R>;
        let function = (function as *const ()).expose_provenance();
        FunctionOffsets::new(run as usize, function).map(Self)
    }

    /// What runs it in this process, once its argument is there; `None`: the offsets lead nowhere.
    pub(super) fn into_work(self, argument: Message) -> Option<Work> {
        let (run, function) = self.0.addresses()?;
        // SAFETY: see the module: the offset is that of a `RunPortable`.
        let run = unsafe { std::mem::transmute::<usize, RunPortable>(run) };
        Some(Box::new(move || run(function, argument)))
    }
}

fn run_portable<A: Wire, R: Wire>(
    function: usize,
    argument: Message,
) -> Result<Returned, FailureKind> {
    // SAFETY: see the module: the address is that of a `fn(A) -> R`.
    let function = unsafe {
        std::mem::transmute::<*const (), fn(A) -> R>(std::ptr::with_exposed_provenance(function))
    };
    run_decoded(function, argument)
}

/// What runs `function` in a process that has inherited its argument, encoded.
pub(crate) fn inherited_message<A: Wire, R: Wire>(function: fn(A) -> R, argument: Message) -> Work {
    Box::new(move || run_decoded(function, argument))
}

fn run_decoded<A: Wire, R: Wire>(
    function: fn(A) -> R,
    mut argument: Message,
) -> Result<Returned, FailureKind> {
    with_room::<A, R, _>(move || {
        // Kept until the handles of the argument have them.
        let kept = argument.open_segments().map_err(|fault| FailureKind::Handle { fault })?;
        let mut decoder = Decoder::new();
        decoder.set_segments(&argument.ids);
        let decoded = decoder.decode::<A>(&argument.bytes).map(Compact::new);
        let decoded = decoded.map_err(FailureKind::of_item)?;
        drop((kept, argument));
        run(move || function(decoded.into_inner()))
    })
}

/// What runs `function` with its argument in a process that has inherited both.
pub(crate) fn inherited<A: Send + 'static, R: Wire>(
    function: impl FnOnce(A) -> R + 'static,
    argument: Compact<A>,
) -> Work {
    Box::new(move || with_room::<A, R, _>(move || run(move || function(argument.into_inner()))))
}

/// What runs a closure in a process that has inherited it.
pub(crate) fn inherited_closure<R: Wire>(closure: Box<dyn FnOnce() -> R + Send>) -> Work {
    Box::new(move || with_room::<(), R, _>(move || run(closure)))
}

/// Runs code of the user, and encodes what it returns. A large value is moved through few
/// functions, each of which may have a copy of it.
fn run<R: Wire>(act: impl FnOnce() -> R) -> Result<Returned, FailureKind> {
    let act = AssertUnwindSafe(|| Compact::new(act()));
    let value = in_task(|| catch_unwind(act)).map_err(take_panic)?;
    let mut encoder = Encoder::new();
    let encoded = catch_unwind(AssertUnwindSafe(|| encoder.to_bytes(&*value)));
    let bytes = encoded.map_err(take_panic)?.map_err(FailureKind::of_result)?;
    let segments = encoder.take_segments();
    // The value's end may be user code, too; it belongs to the function.
    in_task(|| catch_unwind(AssertUnwindSafe(|| drop(value)))).map_err(take_panic)?;
    Ok(Returned { bytes, segments })
}
