//! A table of the jobs under way. Jobs are few, and come and go with every call, so the table is a
//! list that keeps its memory.

/// One call of the map family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(pub(crate) u64);

/// A value for each job under way.
#[derive(Debug)]
pub(crate) struct JobTable<T>(Vec<(JobId, T)>);

impl<T> JobTable<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a job that is not in the table.
    pub(crate) fn insert(&mut self, job: JobId, value: T) {
        debug_assert!(self.get(job).is_none());
        self.0.push((job, value));
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&T> {
        self.0.iter().find(|(id, _)| *id == job).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, job: JobId) -> Option<&mut T> {
        self.0.iter_mut().find(|(id, _)| *id == job).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Option<T> {
        let at = self.0.iter().position(|(id, _)| *id == job)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &T)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_and_go() {
        let mut table = JobTable::new();
        (1..5).for_each(|id| table.insert(JobId(id), id * 10));
        assert_eq!(table.remove(JobId(2)), Some(20));
        assert_eq!((table.get(JobId(2)), table.get(JobId(4))), (None, Some(&40)));
        table.values_mut().for_each(|value| *value += 1);
        assert_eq!(table.iter().map(|(id, value)| id.0 * 10 + 1 - value).sum::<u64>(), 0);
    }
}
