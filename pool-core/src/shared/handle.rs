//! The value that a pool is given to share, before its start method is known.

use std::{fmt, sync::Arc};

use pool_ipc::{SealError, SealedArchive, SharedObject, Wire};

use super::{
    SharedValue,
    source::{ConstructorCall, Source},
    spec::{Constructor, build, decode, view},
};
use crate::{
    error::{Error, OrResources, full_text},
    start_method::StartMethod,
    task::SharedType,
};

/// The value that a pool shares with its workers. Tasks of the form [`OnWorker`](crate::OnWorker)
/// see it.
///
/// | | Fork | ForkServer | Spawn | Threads |
/// | --- | --- | --- | --- | --- |
/// | [`Shared::value`] | inherited | decoded in the template | decoded by each worker | as it is |
/// | [`Shared::view`] | read in place | read in place | read in place | read in place |
/// | [`Shared::built`] | made in the template | made in the template | made by each worker | made |
///
/// The template is a process from which all workers are forked; under Fork it is itself forked from
/// the snapshot. Workers read a view in one archive in shared memory. Threads make the value once,
/// at its first use.
#[derive(Clone)]
pub struct Shared {
    content: Content,
    kind: SharedType,
}

#[derive(Clone)]
enum Content {
    Nothing,
    /// The value, and how it is encoded and decoded where it has to be.
    Value(SharedValue, fn(&SharedValue) -> Result<SealedArchive, SealError>, Constructor),
    View(Result<SealedArchive, Arc<SealError>>, Constructor),
    /// A function, by its address.
    Built(usize, Constructor),
}

impl Shared {
    /// Shares nothing: tasks see a `()`.
    #[must_use]
    pub fn nothing() -> Self {
        Self { content: Content::Nothing, kind: SharedType::of::<()>() }
    }

    /// Shares a value: encoded where processes do not inherit it.
    #[must_use]
    pub fn value<S: Wire + Sync>(value: S) -> Self {
        let seal = |value: &SharedValue| {
            let value = value.downcast_ref::<S>().expect("made together with this function");
            SealedArchive::new(value)
        };
        let content = Content::Value(Arc::new(value), seal, decode::<S>);
        Self { content, kind: SharedType::of::<S>() }
    }

    /// Shares the archive of a value, which all workers read in place, as a [`SharedObject`].
    #[must_use]
    pub fn view<S: Wire<Archived: Sync>>(value: S) -> Self {
        let archive = SealedArchive::new(&value).map_err(Arc::new);
        let content = Content::View(archive, view::<S>);
        Self { content, kind: SharedType::of::<SharedObject<S>>() }
    }

    /// Shares what `function` returns, called where workers are started.
    #[must_use]
    pub fn built<S: Send + Sync + 'static>(function: fn() -> S) -> Self {
        let content = Content::Built(function as usize, build::<S>);
        Self { content, kind: SharedType::of::<S>() }
    }

    pub(crate) fn kind(&self) -> SharedType {
        self.kind
    }

    /// Prepares the value for a start method; encodes it where it has to be.
    pub(crate) fn prepare(self, method: StartMethod) -> Result<Source, Error> {
        let inherits = matches!(method, StartMethod::Fork | StartMethod::Threads);
        let call = match self.content {
            Content::Nothing => return Ok(Source::Nothing),
            Content::Value(value, ..) if inherits => return Ok(Source::Value(value)),
            Content::Value(value, seal, maker) => ConstructorCall::new(
                maker,
                0,
                Some(seal(&value).map_err(Arc::new).or_refused()?),
                false,
            ),
            Content::View(archive, maker) => {
                let archive = archive.or_refused()?;
                if method == StartMethod::Spawn {
                    archive.touch(); // elsewhere a template does
                }
                ConstructorCall::new(maker, 0, Some(archive), true)
            }
            Content::Built(function, maker) => ConstructorCall::new(maker, function, None, false),
        };
        Ok(Source::Constructed(Arc::new(call)))
    }
}

trait OrRefused {
    fn or_refused(self) -> Result<SealedArchive, Error>;
}

impl OrRefused for Result<SealedArchive, Arc<SealError>> {
    fn or_refused(self) -> Result<SealedArchive, Error> {
        match self {
            Err(error) if matches!(*error, SealError::Encode(_)) => {
                Err(Error::InvalidInput(format!("shared: {}", full_text(&*error))))
            }
            other => other.or_resources("getting memory for what the pool shares"),
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::nothing()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.kind.name).finish()
    }
}
