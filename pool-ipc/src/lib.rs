//! pool-ipc
