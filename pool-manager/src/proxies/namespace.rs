//! A namespace at a server: values of different types by name.

use pool_ipc::Wire;

use super::proxy_type;
use crate::{
    Error, Proxy,
    protocol::{dict, names},
};

proxy_type! {
    /// Values of different types by name, at a server.
    ///
    /// ```
    /// use pool_manager::{Error, Manager};
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::in_thread()?;
    ///     let settings = manager.namespace()?;
    ///     settings.set("rounds", 3u32)?;
    ///     settings.set("title", String::from("tea"))?;
    ///     assert_eq!(settings.get::<u32>("rounds")?, Some(3));
    ///     assert_eq!(settings.names()?, ["rounds", "title"]);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Which type a name has is for its users to know: what is read is checked as an archive of
    /// the type that is asked for ([`Error::Decode`]), and small types may pass for each other.
    NamespaceProxy<>, names::NAMESPACE
}

impl NamespaceProxy {
    /// The value of a name.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Decode`].
    pub fn get<T: Wire>(&self, name: &str) -> Result<Option<T>, Error> {
        self.ask(dict::GET, self.arguments().value(&name.to_owned())?)?.value()
    }

    /// Sets the value of a name.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`].
    pub fn set<T: Wire>(&self, name: &str, value: T) -> Result<(), Error> {
        let arguments = self.arguments().value(&name.to_owned())?.value(&value)?;
        self.ask(dict::INSERT, arguments).map(drop)
    }

    /// Removes a name. Says whether it was there.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        let reply = self.ask(dict::REMOVE, self.arguments().value(&name.to_owned())?)?;
        Ok(reply.len() > 0)
    }

    /// Whether the name has a value.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn contains(&self, name: &str) -> Result<bool, Error> {
        Ok(self.ask(dict::CONTAINS, self.arguments().value(&name.to_owned())?)?.number()? == 1)
    }

    /// All names, in the order in which they came.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        self.ask(dict::KEYS, self.arguments())?.values()
    }
}
