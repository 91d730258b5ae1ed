//! A page in the browser that shows what the pools of this and other programs are doing.
//!
//! The chapter [a dashboard](crate::guide::dashboard) says what is on it, and who can look.
//!
//! ```
//! use pool_api::{InsightsOptions, WorkerPool, dashboard::Dashboard};
//!
//! // `Dashboard::start()?` prints its address; here any free port will do.
//! let dashboard = Dashboard::builder().ports(0..=0).announce(false).start()?;
//! let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
//! assert_eq!(pool.map(0..3u64, |n| n + 1)?, [1, 2, 3]);
//! dashboard.shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use pool_dashboard::{Dashboard, DashboardBuilder, DashboardError};
