//! pool-affinity
