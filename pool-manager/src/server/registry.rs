//! Own types: how a server makes objects of them, and calls their methods.

use std::{collections::HashMap, fmt, sync::Arc};

use pool_ipc::Wire;

use super::{
    call::{Answer, Arguments, Caller},
    item::Item,
    shared::{Object, Shared},
};
use crate::{
    Error, Proxy, context,
    protocol::{Blob, Fault},
};

/// The proxy of an own type; implemented by [`manager!`](crate::manager).
pub trait ManagedType: Proxy {
    /// What the server has: a trait object of the trait in [`manager!`](crate::manager).
    type Object: ?Sized + Send + Sync + 'static;

    /// Calls the method of this number.
    #[doc(hidden)]
    fn dispatch(object: &Self::Object, method: u32, call: &mut MethodCall<'_>)
    -> Result<(), Error>;
}

/// A call of a method of an own type, at the server.
#[doc(hidden)]
pub struct MethodCall<'a> {
    arguments: Arc<Item>,
    shared: &'a Arc<Shared>,
    answer: Option<Blob>,
}

impl MethodCall<'_> {
    /// The arguments, as a tuple.
    #[doc(hidden)]
    pub fn arguments<T: Wire>(&self) -> Result<T, Error> {
        let own = self.shared.own.get().ok_or(Error::ShutDown)?;
        let objects = self.arguments.objects().to_vec();
        context::decode_value(self.arguments.bytes(), objects, own, None)
    }

    /// Sets what the method returned.
    #[doc(hidden)]
    pub fn answer<T: Wire>(&mut self, value: &T) -> Result<(), Error> {
        self.answer = Some(context::encode_value(value, self.shared.id)?);
        Ok(())
    }
}

impl fmt::Debug for MethodCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodCall").finish_non_exhaustive()
    }
}

/// An object of an own type.
struct Managed<P: ManagedType>(Box<P::Object>);

impl<P: ManagedType> Object for Managed<P> {
    fn call(
        &self,
        method: u32,
        mut arguments: Arguments,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Fault> {
        let arguments = arguments.item()?;
        let mut call = MethodCall { arguments, shared: caller.shared, answer: None };
        P::dispatch(&self.0, method, &mut call).map_err(fault_of)?;
        Ok(Answer { blobs: call.answer.into_iter().collect(), ..Answer::default() })
    }
}

fn fault_of(error: Error) -> Fault {
    match error {
        Error::Decode(_) => Fault::Decode,
        Error::Encode(_) => Fault::Encode,
        Error::NoSuchObject => Fault::NoSuchObject,
        _ => Fault::Malformed,
    }
}

type Constructor = dyn Fn(Arc<Item>, &Arc<Shared>) -> Result<Arc<dyn Object>, Fault> + Send + Sync;

/// The own types of a server.
#[derive(Default, Clone)]
pub(crate) struct Registry {
    /// By name; with the name of the constructor's argument.
    types: HashMap<&'static str, (String, Arc<Constructor>)>,
    twice: Option<&'static str>,
}

impl Registry {
    pub(crate) fn add<P: ManagedType, A: Wire>(
        &mut self,
        constructor: impl Fn(A) -> Box<P::Object> + Send + Sync + 'static,
    ) {
        let make = move |arguments: Arc<Item>, shared: &Arc<Shared>| {
            let call = MethodCall { arguments, shared, answer: None };
            let value = call.arguments().map_err(fault_of)?;
            Ok(Arc::new(Managed::<P>(constructor(value))) as Arc<dyn Object>)
        };
        if self.types.insert(P::TYPE_NAME, (context::short_name::<A>(), Arc::new(make))).is_some() {
            self.twice = Some(P::TYPE_NAME);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.twice {
            Some(name) => Err(Error::InvalidInput(format!("{name} was registered twice"))),
            None => Ok(()),
        }
    }

    pub(super) fn create(
        &self,
        name: &str,
        arguments: &mut Arguments,
        shared: &Arc<Shared>,
    ) -> Result<Arc<dyn Object>, Fault> {
        let known = self.types.get(name).ok_or_else(|| Fault::NotRegistered(name.into()))?;
        let (expected, make) = known;
        let found = arguments.text()?;
        if found != *expected {
            return Err(Fault::WrongArgument(expected.clone(), found));
        }
        make(arguments.item()?, shared)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types.keys()).finish()
    }
}
