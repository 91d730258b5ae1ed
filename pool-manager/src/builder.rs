//! The options of a server, and how it is started.
//!
//! Invariant: what cannot be used is refused by name before anything is started.

use std::{io, sync::Arc, time::Duration};

use pool_core::{Process, StartMethod};
use pool_ipc::{
    Wire,
    channel::{RecvError, Sender, channel},
    wire,
};

use crate::{
    Address, AuthKey, ConnectionOptions, Error, ManagedType, Manager, ManagerClient, check_time,
    client::Session,
    manager::Server,
    server::{self, Limits, Registry, Running},
    sys,
    transport::Socket,
};

/// Sets up a [`Manager`]; made by [`Manager::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ManagerBuilder {
    address: Option<Address>,
    limits: Limits,
    shutdown_timeout: Duration,
    registry: Registry,
    method: Option<StartMethod>,
}

impl Default for ManagerBuilder {
    fn default() -> Self {
        Self {
            address: None,
            limits: Limits {
                options: ConnectionOptions::default(),
                max_connections: 4096,
                max_unauthenticated: 64,
            },
            shutdown_timeout: Duration::from_secs(1),
            registry: Registry::default(),
            method: None,
        }
    }
}

impl ManagerBuilder {
    /// Where the server listens; without it at an abstract Unix socket with a random name. TCP
    /// needs a [key](Self::key).
    pub fn address(mut self, address: Address) -> Self {
        self.address = Some(address);
        self
    }

    /// The key that clients prove. Without one, a Unix socket serves all processes of this user.
    pub fn key(mut self, key: AuthKey) -> Self {
        self.limits.options.key = Some(key);
        self
    }

    /// The largest call or reply in bytes, from 64 to 2^40; without it 64 MiB. Refused
    /// ([`Error::InvalidInput`]): all else.
    pub fn max_message_bytes(mut self, bytes: u64) -> Self {
        self.limits.options.max_message_bytes = bytes;
        self
    }

    /// How long a client may take for its handshake, from 1 ms to 366 days; without it 5 seconds.
    /// Refused ([`Error::InvalidInput`]): all else.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.limits.options.handshake_timeout = limit;
        self
    }

    /// The most connections that have not completed their handshake, from 1 to 65 536; without it
    /// 64. A further one ends the oldest of them. Refused ([`Error::InvalidInput`]): all else.
    pub fn max_unauthenticated(mut self, count: usize) -> Self {
        self.limits.max_unauthenticated = count;
        self
    }

    /// The most connections of clients, from 1 to 65 536; without it 4096. A further one gets
    /// [`Error::ServerFull`]. A process has one for each thread that calls at the same time.
    /// Refused ([`Error::InvalidInput`]): all else.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.limits.max_connections = count;
        self
    }

    /// How long calls may still run at the end of the server, up to 366 days; without it 1 second.
    /// Refused ([`Error::InvalidInput`]): more.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.shutdown_timeout = limit;
        self
    }

    /// How the process of [`start`](Self::start) is started; without it as a
    /// [`Process`] is.
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Lets clients [create](ManagerClient::create) objects of an own type, for a server
    /// [in threads](Self::in_thread). A type that is registered twice is refused at the start
    /// ([`Error::InvalidInput`]).
    pub fn register<P: ManagedType, A: Wire>(
        mut self,
        constructor: impl Fn(A) -> Box<P::Object> + Send + Sync + 'static,
    ) -> Self {
        self.registry.add::<P, A>(constructor);
        self
    }

    /// Starts the server in threads of this process.
    ///
    /// # Errors
    ///
    /// Options that cannot be used ([`Error::InvalidInput`], [`Error::KeyRequired`]);
    /// [`Error::Bind`]; resources that the system refuses.
    pub fn in_thread(&self) -> Result<Manager, Error> {
        let running = self.run()?;
        let server = running.server();
        let session = Session::open(&server.address, &server.options)?.keep();
        let client = ManagerClient::of_session(&session)?;
        Ok(Manager::new(client, Server::Threads(running), self.shutdown_timeout))
    }

    /// Starts the server in a process of its own, which ends with this one. For own types use
    /// [`start_with`](Self::start_with).
    ///
    /// # Errors
    ///
    /// Options that cannot be used ([`Error::InvalidInput`], [`Error::KeyRequired`], and
    /// [`Error::NotSupported`] with registered types); [`Error::Bind`]; [`Error::Start`].
    pub fn start(&self) -> Result<Manager, Error> {
        self.start_with(ServerProcess::serve)
    }

    /// Starts `function` in a process of its own, which registers the own types there and serves.
    ///
    /// ```
    /// use pool_manager::{Error, Manager, manager};
    /// use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    ///
    /// manager! {
    ///     /// Counts.
    ///     pub trait Counter => CounterProxy {
    ///         /// Adds to the count, and returns it.
    ///         fn add(&self, n: u64) -> u64;
    ///     }
    /// }
    ///
    /// impl Counter for AtomicU64 {
    ///     fn add(&self, n: u64) -> u64 {
    ///         self.fetch_add(n, SeqCst) + n
    ///     }
    /// }
    ///
    /// fn main() -> Result<(), Error> {
    ///     let manager = Manager::builder().start_with(|server| {
    ///         server.register::<CounterProxy, u64>(|from| Box::new(AtomicU64::new(from))).serve();
    ///     })?;
    ///     let counter: CounterProxy = manager.create(5u64)?;
    ///     assert_eq!(counter.add(2)?, 7);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn start_with(&self, function: fn(ServerProcess)) -> Result<Manager, Error> {
        self.check()?;
        if !self.registry.is_empty() {
            let text = "types registered here for another process: register them in `start_with`";
            return Err(Error::NotSupported(text));
        }
        let (sender, receiver) =
            channel::<Started>(1).map_err(|error| Error::Io(Arc::new(io::Error::other(error))))?;
        let options = &self.limits.options;
        let address = self.own_address()?;
        let parts = ServerProcess {
            address: address.to_string(),
            key: options.key.as_ref().map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
            max_message_bytes: options.max_message_bytes,
            handshake_timeout: options.handshake_timeout,
            max_connections: self.limits.max_connections as u64,
            max_unauthenticated: self.limits.max_unauthenticated as u64,
            shutdown_timeout: self.shutdown_timeout,
            parent: std::process::id(),
            started: sender,
        };
        let mut builder = Process::builder().name("manager").daemon(true);
        if let Some(method) = self.method {
            builder = builder.start_method(method);
        }
        let process = builder.spawn(function, parts).map_err(Error::Start)?;
        let started = loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(started) => break started,
                Err(RecvError::TimedOut) if process.is_alive() => {}
                Err(RecvError::TimedOut | RecvError::Disconnected) => {
                    let end = process.join();
                    let text = "the function of the server's process did not call `serve`";
                    return Err(
                        end.map_or_else(Error::Start, |()| Error::InvalidInput(text.into()))
                    );
                }
                Err(error) => return Err(Error::Io(Arc::new(io::Error::other(error)))),
            }
        };
        if let Some(error) = started.error {
            let _ = process.join();
            let source = Arc::new(io::Error::from_raw_os_error(error));
            return Err(Error::Bind { address, source });
        }
        let session = Session::open(&started.address.parse()?, options)?.keep();
        let client = ManagerClient::of_session(&session)?;
        let server = Server::Process { process, owner: started.owner };
        Ok(Manager::new(client, server, self.shutdown_timeout))
    }

    fn own_address(&self) -> Result<Address, Error> {
        self.address.clone().map_or_else(Address::unique, Ok)
    }

    fn check(&self) -> Result<(), Error> {
        let Limits { options, max_connections, max_unauthenticated } = &self.limits;
        options.check()?;
        self.registry.check()?;
        for (name, count) in
            [("max_connections", max_connections), ("max_unauthenticated", max_unauthenticated)]
        {
            if !(1..=65_536).contains(count) {
                let text = format!("{name} is from 1 to 65536, not {count}");
                return Err(Error::InvalidInput(text));
            }
        }
        if !self.shutdown_timeout.is_zero() {
            check_time("shutdown_timeout", self.shutdown_timeout)?;
        }
        if options.key.is_none() && self.address.as_ref().is_some_and(|name| !name.is_local()) {
            return Err(Error::KeyRequired);
        }
        Ok(())
    }

    fn run(&self) -> Result<Running, Error> {
        self.check()?;
        let socket = Socket::bind(&self.own_address()?, &self.limits.options)?;
        server::start(socket, self.limits.clone(), self.registry.clone())
    }
}

wire! {
    /// What a server's process says to its parent once it serves, or cannot.
    #[derive(Debug)]
    struct Started {
        address: String,
        owner: [u64; 2],
        /// The number of the error that the system answered with.
        error: Option<i32>,
    }

    /// The process of a server, in which [`ManagerBuilder::start_with`] calls its function.
    #[derive(Debug)]
    pub struct ServerProcess {
        address: String,
        /// Empty for none. It crosses in memory of this host.
        key: Vec<u8>,
        max_message_bytes: u64,
        handshake_timeout: Duration,
        max_connections: u64,
        max_unauthenticated: u64,
        shutdown_timeout: Duration,
        parent: u32,
        started: Sender<Started>,
    }
}

impl ServerProcess {
    /// Lets clients create objects of an own type.
    pub fn register<P: ManagedType, A: Wire>(
        self,
        constructor: impl Fn(A) -> Box<P::Object> + Send + Sync + 'static,
    ) -> ServerTypes {
        ServerTypes { process: self, registry: Registry::default() }.register::<P, A>(constructor)
    }

    /// Serves until the owner of the server ends it.
    pub fn serve(self) {
        ServerTypes { process: self, registry: Registry::default() }.serve();
    }

    fn builder(&self, registry: Registry) -> Result<ManagerBuilder, Error> {
        let key = (!self.key.is_empty()).then(|| AuthKey::new(&self.key)).transpose()?;
        let options = ConnectionOptions {
            key,
            max_message_bytes: self.max_message_bytes,
            handshake_timeout: self.handshake_timeout,
        };
        Ok(ManagerBuilder {
            address: Some(self.address.parse()?),
            limits: Limits {
                options,
                max_connections: self.max_connections as usize,
                max_unauthenticated: self.max_unauthenticated as usize,
            },
            shutdown_timeout: self.shutdown_timeout,
            registry,
            method: None,
        })
    }
}

/// The process of a server, with own types registered.
#[derive(Debug)]
#[must_use = "call `serve`"]
pub struct ServerTypes {
    process: ServerProcess,
    registry: Registry,
}

impl ServerTypes {
    /// Lets clients create objects of one more own type.
    pub fn register<P: ManagedType, A: Wire>(
        mut self,
        constructor: impl Fn(A) -> Box<P::Object> + Send + Sync + 'static,
    ) -> Self {
        self.registry.add::<P, A>(constructor);
        self
    }

    /// Serves until the owner of the server ends it.
    ///
    /// # Panics
    ///
    /// If a type was registered twice.
    pub fn serve(self) {
        let Self { process, registry } = self;
        if process.parent != std::process::id() {
            // Ctrl-C is for the owner, which ends this process when it is done with it.
            sys::ignore_interrupts();
        }
        let running = process.builder(registry).and_then(|builder| builder.run());
        let started = match &running {
            Ok(running) => Started {
                address: running.server().address.to_string(),
                owner: running.owner(),
                error: None,
            },
            Err(Error::Bind { source, .. } | Error::Io(source)) => Started {
                address: String::new(),
                owner: [0; 2],
                error: Some(source.raw_os_error().unwrap_or(0)),
            },
            Err(error) => panic!("the server cannot start: {error}"),
        };
        let told = process.started.send(started);
        drop(process.started);
        if let (Ok(mut running), Ok(())) = (running, told) {
            running.wait();
            running.stop(process.shutdown_timeout);
        }
    }
}
