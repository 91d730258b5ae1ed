//! Where a listener is found.
//!
//! Invariant: what `Display` prints, `FromStr` reads back as the same address.

use std::{
    fmt,
    os::{linux::net::SocketAddrExt, unix::net},
    path::PathBuf,
    str::FromStr,
};

use crate::{Error, key::random_bytes};

/// The address of a listener or a server, as a value and as text.
///
/// | text | what it is |
/// | --- | --- |
/// | `unix:/run/jobs.sock` | a Unix socket in the file system |
/// | `abstract:jobs` | a Unix socket with a name of its own, which leaves no file behind |
/// | `tcp:127.0.0.1:5000` | TCP; port 0 asks for any free one |
///
/// ```
/// use pool_manager::Address;
///
/// let address: Address = "tcp:127.0.0.1:5000".parse()?;
/// assert_eq!(address, Address::tcp("127.0.0.1:5000"));
/// assert_eq!(address.to_string(), "tcp:127.0.0.1:5000");
/// # Ok::<(), pool_manager::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace. It goes with its listener.
    Abstract(String),
    /// A host and a port, `host:port`.
    Tcp(String),
}

impl Address {
    /// A Unix socket at `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into())
    }

    /// A Unix socket in the abstract namespace.
    pub fn abstract_name(name: impl Into<String>) -> Self {
        Self::Abstract(name.into())
    }

    /// A host and a port.
    pub fn tcp(host_and_port: impl Into<String>) -> Self {
        Self::Tcp(host_and_port.into())
    }

    /// An abstract name that no other listener has.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] without `/dev/urandom`.
    pub fn unique() -> Result<Self, Error> {
        let mut name = String::from("pool-manager-");
        for byte in random_bytes::<16>()? {
            name += &format!("{byte:02x}");
        }
        Ok(Self::Abstract(name))
    }

    /// Whether peers are processes of this host, whose user the kernel tells.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    pub(crate) fn socket_address(&self) -> std::io::Result<net::SocketAddr> {
        match self {
            Self::Unix(path) => net::SocketAddr::from_pathname(path),
            Self::Abstract(name) => net::SocketAddr::from_abstract_name(name),
            Self::Tcp(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "abstract:{name}"),
            Self::Tcp(host) => write!(f, "tcp:{host}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a text without one of the three words, and with nothing behind
    /// it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let help = "expected unix:PATH, abstract:NAME or tcp:HOST:PORT";
            Error::InvalidInput(format!("{text:?} is no address: {help}"))
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            _ if rest.is_empty() => Err(wrong()),
            "unix" => Ok(Self::Unix(rest.into())),
            "abstract" => Ok(Self::Abstract(rest.into())),
            "tcp" if rest.contains(':') => Ok(Self::Tcp(rest.into())),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_from_their_text() {
        for text in ["unix:/a b/c", "abstract:x", "tcp:[::1]:9", "tcp:localhost:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "tcp:", "tcp:9", "udp:a:1", "/path", "abstract"] {
            assert!(matches!(text.parse::<Address>(), Err(Error::InvalidInput(_))), "{text}");
        }
        assert_ne!(Address::unique().unwrap(), Address::unique().unwrap());
    }
}
