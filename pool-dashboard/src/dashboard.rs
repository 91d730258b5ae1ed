//! A dashboard of this program, or its connection to that of another one.
//!
//! Invariant: a process has one of them at most; a forked child begins without.

use std::{
    mem,
    ops::{Bound, RangeBounds},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pool_core::{Service, WatchAll, watch_all};

use crate::{DashboardError, address::Address, client::Client, own::OwnProgram, server::Server};

/// The ports that are tried by default, as MPIRE tries them.
const PORTS: (u16, u16) = (8080, 8099);
/// The most bytes of a name.
const MAX_NAME: usize = 100;

/// A page in the browser that shows what the pools of this program are doing, as long as this value
/// lives.
///
/// The address has a token in it: all who know it, and only they, can look, and cancel calls. Only
/// this machine can reach it.
///
/// ```
/// use pool_dashboard::Dashboard;
///
/// let dashboard = Dashboard::builder().ports(0..=0).announce(false).start()?;
/// assert!(dashboard.address().starts_with("http://127.0.0.1:"));
/// dashboard.shutdown();
/// # Ok::<(), pool_dashboard::DashboardError>(())
/// ```
#[derive(Debug)]
#[must_use = "the dashboard ends when this value is dropped"]
pub struct Dashboard {
    /// A forked child leaves its copy alone.
    inner: Option<Inner>,
    process: u32,
    address: String,
}

#[derive(Debug)]
struct Inner {
    /// Ended first.
    service: Option<Service>,
    side: Side,
    /// While it lives, all pools of this program record their calls.
    _watch: Option<WatchAll>,
}

#[derive(Debug)]
enum Side {
    Server(Arc<Server>),
    Client(Arc<Client>),
}

/// What this process has.
static PRESENT: Mutex<Option<Present>> = Mutex::new(None);

#[derive(Debug)]
struct Present {
    process: u32,
    is_client: bool,
    /// Without its token.
    address: String,
}

fn present() -> MutexGuard<'static, Option<Present>> {
    let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
    if present.as_ref().is_some_and(|present| present.process != process::id()) {
        *present = None;
    }
    present
}

impl Dashboard {
    /// Starts a dashboard at the first port from 8080 to 8099 that is free, and prints its address
    /// on the standard error.
    ///
    /// # Errors
    ///
    /// [`DashboardError::AlreadyRunning`] and
    /// [`AlreadyConnected`](DashboardError::AlreadyConnected) where this program has one,
    /// [`NoPortFree`](DashboardError::NoPortFree).
    pub fn start() -> Result<Self, DashboardError> {
        Self::builder().start()
    }

    /// Connects this program to the dashboard of another one, or to that of the command
    /// `pool-dashboard`: that page shows the pools of both.
    ///
    /// # Errors
    ///
    /// [`DashboardError::InvalidInput`] for what is no address of a dashboard,
    /// [`Connect`](DashboardError::Connect) where none listens, or none answers within 5 seconds,
    /// [`Refused`](DashboardError::Refused) for a wrong token, and
    /// [`AlreadyRunning`](DashboardError::AlreadyRunning) or
    /// [`AlreadyConnected`](DashboardError::AlreadyConnected) where this program has one.
    pub fn connect(address: &str) -> Result<Self, DashboardError> {
        Self::builder().connect(address)
    }

    /// Options of a dashboard.
    pub fn builder() -> DashboardBuilder {
        DashboardBuilder::default()
    }

    /// The address with its token, for a browser and for [`connect`](Self::connect).
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it, as a drop does: pages get the last state, then nothing listens any more.
    pub fn shutdown(self) {}
}

impl Dashboard {
    fn new(
        slot: &mut Option<Present>,
        service: Service,
        (side, watch): (Side, Option<WatchAll>),
        address: &Address,
    ) -> Self {
        let process = process::id();
        let is_client = matches!(side, Side::Client(_));
        *slot = Some(Present { process, is_client, address: address.public_text() });
        let inner = Some(Inner { service: Some(service), side, _watch: watch });
        Self { inner, process, address: address.text() }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let inner = self.inner.take();
        if self.process != process::id() {
            mem::forget(inner);
            return;
        }
        let Some(mut inner) = inner else { return };
        // Locked until the end, so that the next one finds the port free.
        let mut present = present();
        inner.service = None;
        match &inner.side {
            Side::Server(server) => server.close(),
            Side::Client(client) => client.close(),
        }
        drop(inner);
        *present = None;
    }
}

/// # Errors
///
/// There is one.
fn refuse_second(present: &Option<Present>) -> Result<(), DashboardError> {
    let Some(Present { is_client, address, .. }) = present else { return Ok(()) };
    let address = address.clone();
    Err(if *is_client {
        DashboardError::AlreadyConnected { address }
    } else {
        DashboardError::AlreadyRunning { address }
    })
}

/// Options of a [`Dashboard`].
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `start` or `connect`"]
pub struct DashboardBuilder {
    ports: Result<(u16, u16), String>,
    may_cancel: bool,
    announces: bool,
    name: Option<String>,
    is_alone: bool,
}

impl Default for DashboardBuilder {
    fn default() -> Self {
        Self { ports: Ok(PORTS), may_cancel: true, announces: true, name: None, is_alone: false }
    }
}

impl DashboardBuilder {
    /// The ports to try, the lowest first: 8080 to 8099 by default. `0..=0` asks for any free one.
    ///
    /// [`start`](Self::start) refuses an empty range, one without a beginning or an end, and 0
    /// beside others, by [`DashboardError::InvalidInput`].
    pub fn ports(mut self, ports: impl RangeBounds<u16>) -> Self {
        let first = match ports.start_bound() {
            Bound::Included(first) => Some(*first),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => None,
        };
        let last = match ports.end_bound() {
            Bound::Included(last) => Some(*last),
            Bound::Excluded(behind) => behind.checked_sub(1),
            Bound::Unbounded => None,
        };
        self.ports = match (first, last) {
            (Some(first), Some(last)) if first <= last && (first > 0 || last == 0) => {
                Ok((first, last))
            }
            (Some(0), Some(last)) if last > 0 => {
                Err("port 0 asks for any free port: it cannot stand beside others".to_owned())
            }
            _ => Err("the ports of a dashboard are a range with a beginning and an end, and not \
                      empty"
                .to_owned()),
        };
        self
    }

    /// Whether calls can be cancelled from the page; they can by default. Of a program that
    /// connects to a dashboard, calls can be cancelled where both sides allow it.
    pub fn allow_cancel(mut self, allowed: bool) -> Self {
        self.may_cancel = allowed;
        self
    }

    /// Whether [`start`](Self::start) prints the address on the standard error; it does by default.
    pub fn announce(mut self, announced: bool) -> Self {
        self.announces = announced;
        self
    }

    /// What the page calls this program: the name of its executable by default.
    ///
    /// An empty name, one of more than 100 bytes, and one with control characters are refused by
    /// [`DashboardError::InvalidInput`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Shows only programs that connect: the process that has the dashboard has no pools.
    #[doc(hidden)]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Starts a dashboard.
    ///
    /// # Errors
    ///
    /// Those of [`Dashboard::start`], and [`DashboardError::InvalidInput`] for an option.
    pub fn start(self) -> Result<Dashboard, DashboardError> {
        let ports = self.ports.clone().map_err(DashboardError::InvalidInput)?;
        self.check_name()?;
        let mut present = present();
        refuse_second(&present)?;
        let own = (!self.is_alone).then(|| OwnProgram::new(self.name, self.may_cancel));
        let server = Server::new(ports, self.may_cancel, own)?;
        let watch = (!self.is_alone).then(watch_all);
        let service = Service::start(&server).map_err(DashboardError::Start)?;
        let address = server.address();
        if self.announces {
            eprintln!("Dashboard: {}", address.text());
        }
        Ok(Dashboard::new(&mut present, service, (Side::Server(server), watch), &address))
    }

    /// Connects to the dashboard at `address`; the ports are of no use here.
    ///
    /// # Errors
    ///
    /// Those of [`Dashboard::connect`], and [`DashboardError::InvalidInput`] for an option.
    pub fn connect(self, address: &str) -> Result<Dashboard, DashboardError> {
        let address = Address::parse(address)?;
        self.check_name()?;
        let mut present = present();
        refuse_second(&present)?;
        let client = Client::connect(&address, OwnProgram::new(self.name, self.may_cancel))?;
        let service = Service::start(&client).map_err(DashboardError::Start)?;
        Ok(Dashboard::new(
            &mut present,
            service,
            (Side::Client(client), Some(watch_all())),
            &address,
        ))
    }

    fn check_name(&self) -> Result<(), DashboardError> {
        let Some(name) = &self.name else { return Ok(()) };
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            let complaint = "the name of a program has 1 to 100 bytes and no control characters";
            return Err(DashboardError::InvalidInput(complaint.to_owned()));
        }
        Ok(())
    }
}
