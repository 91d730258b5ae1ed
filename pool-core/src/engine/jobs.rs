//! What tells the jobs under way apart, and a table of them. Most of the time there are few, which
//! come and go with every call, so the table is a list that keeps its memory.

/// One call of the map family. Numbers grow: a later job has a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(pub(crate) u64);

/// A value for each job under way, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct JobTable<T> {
    /// The last entry has a value, and at least half of all have.
    entries: Vec<(JobId, Option<T>)>,
    len: usize,
}

impl<T> JobTable<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), len: 0 }
    }

    /// Adds a job that is later than all that are in the table.
    #[inline]
    pub(crate) fn insert(&mut self, job: JobId, value: T) {
        debug_assert!(self.entries.last().is_none_or(|(last, _)| *last < job));
        self.entries.push((job, Some(value)));
        self.len += 1;
    }

    #[inline]
    fn place(&self, job: JobId) -> Option<usize> {
        match self.entries.last() {
            Some((last, _)) if *last == job => Some(self.entries.len() - 1),
            _ => self.entries.binary_search_by_key(&job, |(job, _)| *job).ok(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, job: JobId) -> Option<&T> {
        self.entries[self.place(job)?].1.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, job: JobId) -> Option<&mut T> {
        let place = self.place(job)?;
        self.entries[place].1.as_mut()
    }

    #[inline]
    pub(crate) fn remove(&mut self, job: JobId) -> Option<T> {
        let place = self.place(job)?;
        let value = self.entries[place].1.take()?;
        self.len -= 1;
        while self.entries.pop_if(|(_, value)| value.is_none()).is_some() {}
        if self.entries.len() > 2 * self.len {
            self.entries.retain(|(_, value)| value.is_some());
        }
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &T)> {
        self.entries.iter().filter_map(|(job, value)| Some((*job, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(table: &JobTable<u64>) -> Vec<u64> {
        table.iter().map(|(job, _)| job.0).collect()
    }

    #[test]
    fn jobs_come_and_go() {
        let mut table = JobTable::new();
        (1..=6).for_each(|id| table.insert(JobId(id), id * 10));
        for (id, left) in [(2, vec![1, 3, 4, 5, 6]), (6, vec![1, 3, 4, 5]), (1, vec![3, 4, 5])] {
            assert_eq!(table.remove(JobId(id)), Some(id * 10));
            assert_eq!((table.remove(JobId(id)), table.get(JobId(id))), (None, None));
            assert_eq!((jobs(&table), table.len()), (left.clone(), left.len()));
        }
        *table.get_mut(JobId(4)).unwrap() += 1;
        assert_eq!((table.get(JobId(4)), table.get(JobId(7))), (Some(&41), None));
        table.insert(JobId(9), 90);
        assert_eq!((table.remove(JobId(5)), table.remove(JobId(4))), (Some(50), Some(41)));
        assert_eq!((table.remove(JobId(9)), jobs(&table)), (Some(90), vec![3]));
        assert_eq!((table.remove(JobId(3)), table.len()), (Some(30), 0));
    }

    #[test]
    fn removed_jobs_take_no_more_places_than_those_that_are_left() {
        let mut table = JobTable::new();
        (0..1000).for_each(|id| table.insert(JobId(id), id));
        for id in 0..999 {
            table.remove(JobId(id));
            assert!(table.entries.len() <= 2 * table.len());
        }
        assert_eq!(jobs(&table), [999]);
    }
}
