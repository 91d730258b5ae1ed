//! What the codec says of a value, in words.

use std::fmt;

use crate::SerdeFault;

/// Why a value does not cross by serde, with what its type says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerdeError {
    pub(super) fault: SerdeFault,
    pub(super) message: Option<String>,
}

impl SerdeError {
    /// The reason.
    #[must_use]
    pub fn fault(&self) -> SerdeFault {
        self.fault
    }

    /// What the type's own `Serialize` or `Deserialize` said, if it said something.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for SerdeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
    }
}

impl std::error::Error for SerdeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}
