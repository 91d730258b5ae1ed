//! All that is known of the workers of a pool at one moment.

use super::{
    area::InsightsArea,
    record::{Record, read_records},
    row::RowTimes,
};

/// The records of one row of one set of workers.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) worker: usize,
    /// What its times count from.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
}

/// All that is known of a pool's workers at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) workers: Vec<RowTimes>,
    pub(super) streams: Vec<Stream>,
    /// When it was taken.
    pub(super) now: u64,
}

impl Stream {
    pub(super) fn read(area: &InsightsArea, worker: usize) -> Option<Self> {
        let records = read_records(area.row(worker)?, area.shape().stream());
        (!records.is_empty()).then(|| Self { worker, epoch: area.epoch(), records })
    }
}
