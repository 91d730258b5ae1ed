//! A server for shared objects, with typed proxies, and typed messages over sockets.
//!
//! [`Manager`] starts a server; proxies of the objects there may be items, results and arguments.
//! The chapter [a server for shared objects](crate::guide::manager) says when it is the right tool,
//! and when it is not. (A pool that is fed with single items is
//! [`PoolManager`](crate::PoolManager).)
//!
//! ```
//! use pool_api::{WorkerPool, managers::{DictProxy, Manager}};
//!
//! let manager = Manager::start()?;
//! let lengths = manager.dict::<String, usize>()?;
//! let words = ["tea", "cake"].map(String::from);
//! let pool = WorkerPool::new(2)?;
//! pool.tasks(words).with(lengths.clone()).map(|lengths: &DictProxy<String, usize>, word| {
//!     lengths.insert(word.clone(), word.len()).is_ok()
//! })?;
//! assert_eq!(lengths.get(&"cake".into())?, Some(4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use pool_manager::{
    Address, AuthKey, ByteStream, Client, ClientBuilder, Connection, ConnectionOptions, DictProxy,
    Error, EventProxy, Forwarder, ListProxy, Listener, ListenerBuilder, LockError, LockProxy,
    ManagedGuard, ManagedPermit, ManagedType, Manager, ManagerBuilder, ManagerClient,
    NamespaceProxy, Proxy, QueueProxy, ReentrantLockProxy, SemaphoreProxy, ServerProcess,
    ServerTypes, ValueProxy, forward, manager,
};
