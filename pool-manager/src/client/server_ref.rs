//! What leads to a server.

use std::sync::Arc;

use crate::{Address, protocol::ServerId, transport::ConnectionOptions};

/// Where a server is, which one it is there, and with which key and limits it is spoken to.
#[derive(Debug)]
pub(crate) struct ServerRef {
    pub(crate) address: Address,
    pub(crate) options: ConnectionOptions,
    pub(crate) id: ServerId,
}

impl ServerRef {
    pub(crate) fn new(address: Address, options: ConnectionOptions, id: ServerId) -> Arc<Self> {
        Arc::new(Self { address, options, id })
    }
}
