//! What can go wrong with a dashboard.

use std::{fmt, io, sync::Arc};

/// Why a dashboard was not started, or a program not connected to one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DashboardError {
    /// An option that cannot be used, named in the text. Nothing was started.
    InvalidInput(String),
    /// This program has a dashboard already, here: use that one, or shut it down first.
    AlreadyRunning {
        /// The address of that one.
        address: String,
    },
    /// This program is connected to a dashboard already: shut that connection down first.
    AlreadyConnected {
        /// The address of that dashboard.
        address: String,
    },
    /// All of these ports are in use: choose others, or 0 for any free one.
    NoPortFree {
        /// The first port that was tried.
        first: u16,
        /// The last port that was tried.
        last: u16,
        /// What the system said of the last one.
        source: Arc<io::Error>,
    },
    /// No dashboard is at this address (any more), or its program is stopped: it does not answer.
    Connect {
        /// The address, without its token.
        address: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The dashboard did not take the connection: the token in the address is that of another
    /// dashboard, it has as many programs as it may have, or it is of another version. The text is
    /// its answer.
    Refused(String),
    /// No thread could be started for the dashboard.
    Start(pool_core::Error),
    /// An error of the system.
    Io(Arc<io::Error>),
}

impl From<io::Error> for DashboardError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl fmt::Display for DashboardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(what) => f.write_str(what),
            Self::AlreadyRunning { address } => {
                write!(f, "this program has a dashboard already, at {address}")
            }
            Self::AlreadyConnected { address } => {
                write!(f, "this program is already connected to the dashboard at {address}")
            }
            Self::NoPortFree { first, last, .. } => {
                write!(f, "no port from {first} to {last} is free for the dashboard")
            }
            Self::Connect { address, .. } => write!(f, "no dashboard answers at {address}"),
            Self::Refused(answer) => write!(f, "the dashboard refused the connection: {answer}"),
            Self::Start(_) => f.write_str("no thread could be started for the dashboard"),
            Self::Io(_) => f.write_str("an error of the system at a dashboard"),
        }
    }
}

impl std::error::Error for DashboardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoPortFree { source, .. } | Self::Connect { source, .. } | Self::Io(source) => {
                Some(&**source)
            }
            Self::Start(error) => Some(error),
            _ => None,
        }
    }
}
