//! A server and the client of the process that owns it.
//!
//! Invariant: the server ends with its owner: in order, or killed when the limit is over.

use std::{fmt, ops::Deref, time::Duration};

use pool_core::Process;

use crate::{Error, ManagerBuilder, ManagerClient, client::Session, server::Running};

/// A server for shared objects, owned by this process.
///
/// It derefs to [`ManagerClient`], which makes the objects. The server is a process of its own
/// ([`start`](Self::start)) or some threads of this one ([`in_thread`](Self::in_thread)), and ends
/// when this is dropped.
///
/// ```
/// use pool_manager::{DictProxy, Error, Manager};
/// use pool_core::Process;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let manager = Manager::start()?;
///     let scores = manager.dict::<String, u64>()?;
///     let process = Process::builder().spawn(
///         |scores: DictProxy<String, u64>| scores.insert("Ada".into(), 3).is_ok(),
///         scores.clone(),
///     )?;
///     assert!(process.join()?);
///     assert_eq!(scores.get(&"Ada".into())?, Some(3));
///     manager.shutdown()?;
///     Ok(())
/// }
/// ```
pub struct Manager {
    client: ManagerClient,
    server: Option<Server>,
    shutdown_timeout: Duration,
    pid: u32,
}

/// What runs the server.
pub(crate) enum Server {
    Threads(Running),
    Process { process: Process<()>, owner: [u64; 2] },
}

impl Manager {
    pub(crate) fn new(client: ManagerClient, server: Server, shutdown_timeout: Duration) -> Self {
        Self { client, server: Some(server), shutdown_timeout, pid: std::process::id() }
    }

    /// Sets up a manager.
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder::default()
    }

    /// Starts a server in a process of its own, at a Unix socket that only this user's processes
    /// can connect to.
    ///
    /// # Errors
    ///
    /// The errors of [`ManagerBuilder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Starts a server in threads of this process, at a Unix socket that only this user's processes
    /// can connect to.
    ///
    /// # Errors
    ///
    /// The errors of [`ManagerBuilder::in_thread`].
    pub fn in_thread() -> Result<Self, Error> {
        Self::builder().in_thread()
    }

    /// A client of this server, to be sent to others.
    #[must_use]
    pub fn client(&self) -> ManagerClient {
        self.client.clone()
    }

    /// The process of the server; `None` if that is threads of this process.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        match &self.server {
            Some(Server::Process { process, .. }) => process.pid(),
            _ => None,
        }
    }

    /// Ends the server: what waits there gets [`Error::ShutDown`], calls that run may end within
    /// the [limit](ManagerBuilder::shutdown_timeout). A process that takes longer is killed; a
    /// thread that does goes on with the method that it is in.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the process of the server had ended otherwise.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(server) = self.server.take() else { return Ok(()) };
        match server {
            Server::Threads(mut running) => {
                Session::forget(self.client.server());
                running.stop(self.shutdown_timeout);
                Ok(())
            }
            Server::Process { process, .. } if self.pid != std::process::id() => {
                // A fork has copied the handle; the process is the parent's.
                std::mem::forget(process);
                Ok(())
            }
            Server::Process { mut process, owner } => {
                let limit = self.shutdown_timeout + Duration::from_secs(1);
                let asked = self.client.shut_down(owner, limit);
                Session::forget(self.client.server());
                // The server itself gives calls that run their time; then it ends. One that does
                // not answer may have ended already.
                let limit = if asked.is_ok() { limit } else { Duration::from_millis(100) };
                match process.join_timeout(limit) {
                    Ok(()) => return Ok(()),
                    Err(error) if !process.is_alive() => return Err(Error::Ended(error)),
                    Err(_) => {}
                }
                let was_alive = process.is_alive();
                let _ = process.kill();
                let end = process.join();
                if was_alive { Ok(()) } else { end.map_err(Error::Ended) }
            }
        }
    }
}

impl Deref for Manager {
    type Target = ManagerClient;

    fn deref(&self) -> &ManagerClient {
        &self.client
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Manager");
        text.field("address", self.client.address()).field("server_pid", &self.server_pid());
        text.finish_non_exhaustive()
    }
}
