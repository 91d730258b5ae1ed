//! The macro that makes an own type one that a server can host.

/// Makes a trait one whose objects a server can host, and a proxy for them.
///
/// ```
/// use pool_manager::{Error, Manager, manager};
/// use std::sync::Mutex;
///
/// manager! {
///     /// A record of the best score.
///     pub trait Record => RecordProxy {
///         /// Offers a score, and says whether it is the best one now.
///         fn offer(&self, name: String, score: u64) -> bool;
///         /// The best one.
///         fn best(&self) -> Option<(String, u64)>;
///     }
/// }
///
/// #[derive(Default)]
/// struct Board(Mutex<Option<(String, u64)>>);
///
/// impl Record for Board {
///     fn offer(&self, name: String, score: u64) -> bool {
///         let mut best = self.0.lock().expect("no method panics");
///         let is_best = best.as_ref().is_none_or(|(_, best)| score > *best);
///         if is_best {
///             *best = Some((name, score));
///         }
///         is_best
///     }
///
///     fn best(&self) -> Option<(String, u64)> {
///         self.0.lock().expect("no method panics").clone()
///     }
/// }
///
/// fn main() -> Result<(), Error> {
///     let builder = Manager::builder().register::<RecordProxy, ()>(|()| Box::new(Board::default()));
///     let manager = builder.in_thread()?;
///     let record: RecordProxy = manager.create(())?;
///     assert!(record.offer("Ada".into(), 3)?);
///     assert!(!record.offer("Alan".into(), 2)?);
///     assert_eq!(record.best()?, Some(("Ada".into(), 3)));
///     Ok(())
/// }
/// ```
///
/// Methods take `&self` and at most 12 arguments that are [`Wire`](pool_ipc::Wire), and return such
/// a value. The proxy has a method of the same name for each, which returns a `Result`. Several
/// clients may call at the same time, so an object synchronises itself; a method that waits holds
/// up its caller only. A panic is [`Error::Panicked`](crate::Error::Panicked) for the caller.
///
/// Both sides have to know the same methods: a proxy of a trait with others is refused by
/// [`create`](crate::ManagerClient::create) and [`lookup`](crate::ManagerClient::lookup).
#[macro_export]
macro_rules! manager {
    ($(
        $(#[$($attribute:tt)*])*
        $vis:vis trait $Trait:ident => $Proxy:ident {
            $(
                $(#[$($method_attribute:tt)*])*
                fn $method:ident(&self $(, $argument:ident: $Argument:ty)* $(,)?) $(-> $Return:ty)?;
            )*
        }
    )*) => {$(
        $(#[$($attribute)*])*
        $vis trait $Trait: Send + Sync + 'static {
            $(
                $(#[$($method_attribute)*])*
                fn $method(&self $(, $argument: $Argument)*) $(-> $Return)?;
            )*
        }

        $crate::__wire! {
            #[doc = concat!("The proxy of a [`", stringify!($Trait), "`] at a server.")]
            #[derive(Clone, Debug)]
            $vis struct $Proxy {
                raw: $crate::__private::RawProxy,
            }
        }

        impl $crate::Proxy for $Proxy {
            const TYPE_NAME: &'static str = concat!(
                stringify!($Trait),
                $("; ", stringify!($method), "(", $(stringify!($Argument), ",",)* ")",
                    $("->", stringify!($Return),)?)*
            );

            fn from_raw(raw: $crate::__private::RawProxy) -> Self {
                Self { raw }
            }

            fn raw(&self) -> &$crate::__private::RawProxy {
                &self.raw
            }
        }

        impl $crate::ManagedType for $Proxy {
            type Object = dyn $Trait;

            fn dispatch(
                object: &Self::Object,
                method: u32,
                call: &mut $crate::__private::MethodCall<'_>,
            ) -> ::std::result::Result<(), $crate::Error> {
                $(
                    if method == const { $crate::__private::method_id(stringify!($method)) } {
                        let ($($argument,)*): ($($Argument,)*) = call.arguments()?;
                        return call.answer(&object.$method($($argument),*));
                    }
                )*
                let _ = (object, call);
                ::std::result::Result::Err($crate::Error::Malformed("no such method"))
            }
        }

        #[allow(dead_code)]
        impl $Proxy {
            $(
                $(#[$($method_attribute)*])*
                ///
                /// # Errors
                ///
                /// Those of a connection; `Panicked` if the method panics.
                $vis fn $method(
                    &self
                    $(, $argument: $Argument)*
                ) -> ::std::result::Result<$crate::__return!($($Return)?), $crate::Error> {
                    $crate::Proxy::invoke(
                        self,
                        const { $crate::__private::method_id(stringify!($method)) },
                        ($($argument,)*),
                    )
                }
            )*
        }
    )*};
}

/// The type that a method returns.
#[doc(hidden)]
#[macro_export]
macro_rules! __return {
    () => {
        ()
    };
    ($Return:ty) => {
        $Return
    };
}
