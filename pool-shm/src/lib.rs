//! pool-shm
