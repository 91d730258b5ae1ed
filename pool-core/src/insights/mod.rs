//! What workers spend their time with, and what each of them is at.
//!
//! A worker writes times to its row of an area of memory: that lies behind the task board in the
//! same segment, so each process that has the board has it, too; a set of threads has one of its
//! own. A pool without insights has no area, and its workers read no clock for it.
//!
//! * `options.rs`: what is recorded.
//! * `layout.rs`, `stage.rs`, `histogram.rs`, `record.rs`: the words of a row.
//! * `area.rs`: the memory, and what the parent writes there; `writer.rs`: what a worker writes.
//! * `row.rs`: reads a row; `activity.rs`: what a worker is at.
//! * `describe.rs`: the texts of arguments.
//! * `snapshot.rs`: all rows at one moment.
//! * `collection.rs`: the areas of a pool, one for each set of workers.
//! * `report.rs`, `task_times.rs`, `clock_text.rs`: the times as users get them.
//! * `serialise.rs`: for serde.
//! * `timeline.rs`: what each worker was at from when to when; `trace.rs`: as events for tracing
//!   tools; `picture.rs`: as a picture, with `columns.rs`, `axis.rs`; `escape.rs`: texts in both.

mod activity;
mod area;
mod axis;
mod clock_text;
mod collection;
mod columns;
mod describe;
mod escape;
mod histogram;
mod layout;
mod options;
mod picture;
mod record;
mod report;
mod row;
#[cfg(feature = "serde")]
mod serialise;
mod snapshot;
mod stage;
mod task_times;
mod timeline;
mod trace;
mod writer;

pub use activity::{Activity, WorkerActivity};
pub(crate) use area::InsightsArea;
pub(crate) use collection::{Collection, OpenArea};
pub(crate) use describe::{Describer, MakeDescriber, TextOf, text_function};
pub use options::InsightsOptions;
pub use report::{Insights, LongTask};
pub use task_times::TaskTimes;
pub(crate) use writer::RowWriter;
