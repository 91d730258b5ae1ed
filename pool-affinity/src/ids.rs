//! `CpuIds`: the CPU ids as users write them, before they are checked.
//!
//! Five forms: none; `[a]`; `[a, b, ..]`; `[[a, b, ..]]`; `[[..], [..], ..]`. One id is a set of
//! one, so all of them are "no pinning" or a list of sets. A `Placement`, or a `Plan` made earlier,
//! is accepted as well. `plan` checks the ids and lays them out per worker. Only `usize` is
//! accepted, so an integer literal has a single possible type, and a negative one does not compile.

use std::ops::{Range, RangeInclusive};

use crate::{CpuSet, Error, Machine, Placement, Plan, Topology, usable_cpus};

/// CPU ids for the workers of a pool, in any of the five forms, or a rule by which they follow from
/// the machine:
///
/// | written | meaning |
/// | --- | --- |
/// | `CpuIds::none()` | no pinning |
/// | `[3]` | all workers share CPU 3 |
/// | `[2, 3]`, `40..60` | one CPU per worker |
/// | `[[4, 5, 6]]` | all workers share these CPUs |
/// | `[[0, 1], [2, 3]]` | one set of CPUs per worker |
/// | [`Placement::Spread`] and the like | what the rule says for this number of workers |
/// | a [`Plan`] | what the plan says; it must be for this number of workers |
///
/// ```
/// # use pool_affinity::{self as pool_api, Machine};
/// use pool_api::{CpuIds, Placement};
///
/// fn cpu_ids(ids: impl Into<CpuIds>) -> CpuIds {
///     ids.into()
/// }
///
/// // On a machine of eight CPUs:
/// # let machine = Machine::new("0-7".parse()?);
/// let plan = cpu_ids([[0, 1], [2, 3]]).plan(2, &machine)?;
/// assert_eq!(plan.cpus_of(1), Some(&"2-3".parse()?));
///
/// let plan = cpu_ids(Placement::Compact).plan(2, &machine)?;
/// assert_eq!(plan.cpus_of(1), Some(&"1".parse()?));
///
/// let error = cpu_ids(0..4).plan(2, &machine).unwrap_err();
/// assert_eq!(error.to_string(), "Number of CPU IDs (4) does not match number of jobs (2)");
/// # Ok::<(), pool_affinity::Error>(())
/// ```
///
/// A negative id does not compile.
///
/// ```compile_fail,E0600
/// # use pool_affinity as pool_api;
/// pool_api::CpuIds::from([-1]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuIds {
    wish: Wish,
}

/// The wish of the user; unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    Nothing,
    ForAll(Vec<usize>),
    ForEach(Vec<Vec<usize>>),
    /// One CPU per worker, of more CPUs than any machine has: not written out, since `plan` refuses
    /// at least one of them.
    TooMany(RangeInclusive<usize>),
    Placed(Placement),
}

impl CpuIds {
    /// No pinning: workers run wherever the kernel puts them. The default.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is nothing to pin.
    pub fn is_none(&self) -> bool {
        self.wish == Wish::Nothing
    }

    /// Checks every id, and lays out the CPUs of each of `n_workers` workers.
    ///
    /// # Errors
    ///
    /// * [`Error::NoCpuIds`] for an empty list, [`Error::EmptyCpuSet`] for an empty set in it.
    /// * [`Error::CountMismatch`] unless the list has one entry, or one per worker.
    /// * [`Error::CpuIdExceedsMaximum`], [`Error::CpuOffline`] or [`Error::CpuNotAllowed`] for an
    ///   id that cannot be used.
    /// * For a [`Placement`], the errors of [`Placement::plan`] and [`Machine::topology`].
    pub fn plan(&self, n_workers: usize, machine: &Machine) -> Result<Plan, Error> {
        let sets = match &self.wish {
            Wish::Nothing => return Ok(Plan::unpinned(n_workers)),
            Wish::Placed(placement) => return placement.plan(n_workers, &machine.topology()?),
            Wish::ForAll(ids) => std::slice::from_ref(ids),
            Wish::ForEach(sets) if sets.is_empty() => return Err(Error::NoCpuIds),
            Wish::ForEach(sets) if sets.len() == n_workers => sets,
            Wish::ForEach(sets) => {
                return Err(Error::CountMismatch { ids: sets.len(), workers: n_workers });
            }
            Wish::TooMany(ids) => {
                let count = (ids.end() - ids.start()).saturating_add(1);
                if count != n_workers {
                    return Err(Error::CountMismatch { ids: count, workers: n_workers });
                }
                return plan_of(n_workers, ids.clone().map(|id| [id]), machine);
            }
        };
        plan_of(n_workers, sets, machine)
    }

    /// Makes the [`plan`](CpuIds::plan) for this machine and the mask of the calling thread; reads
    /// them only if there is something to pin.
    ///
    /// # Errors
    ///
    /// The errors of [`plan`](CpuIds::plan) and [`Machine::read`].
    pub fn plan_here(&self, n_workers: usize) -> Result<Plan, Error> {
        if self.is_none() {
            return Ok(Plan::unpinned(n_workers));
        }
        self.plan(n_workers, &Machine::read()?)
    }

    /// A default number of workers: [`usable_cpus`], but no more than the physical cores if each
    /// worker is to have one.
    pub fn suitable_workers(&self) -> usize {
        let usable = usable_cpus();
        let Wish::Placed(placement) = self.wish else { return usable };
        // A machine that cannot be read is an error of the plan.
        Topology::read()
            .map_or(usable, |topology| usable.min(placement.most_workers(&topology)).max(1))
    }

    /// One for each worker, from `first` to `last`.
    fn from_run(first: usize, last: usize) -> Self {
        // If the ids are more than a set holds, one of them exists on no machine.
        if last - first < CpuSet::CAPACITY {
            return Self::from_list((first..=last).map(|id| [id]));
        }
        Self { wish: Wish::TooMany(first..=last) }
    }

    /// A list of one is for all workers.
    fn from_list<Set: IntoIterator<Item = usize>>(sets: impl IntoIterator<Item = Set>) -> Self {
        let mut sets: Vec<Vec<usize>> =
            sets.into_iter().map(|ids| ids.into_iter().collect()).collect();
        let wish = match sets.len() {
            1 => Wish::ForAll(sets.remove(0)),
            _ => Wish::ForEach(sets),
        };
        Self { wish }
    }
}

/// Gives each worker one of `sets`, or all of them the only one; the first set that cannot be used
/// is the error.
fn plan_of<Set: AsRef<[usize]>>(
    n_workers: usize,
    sets: impl IntoIterator<Item = Set>,
    machine: &Machine,
) -> Result<Plan, Error> {
    let sets = sets.into_iter().enumerate();
    let sets = sets.map(|(index, ids)| checked(index, ids.as_ref(), machine));
    Ok(Plan::cycling(n_workers, &sets.collect::<Result<Vec<_>, _>>()?))
}

fn checked(index: usize, ids: &[usize], machine: &Machine) -> Result<CpuSet, Error> {
    if ids.is_empty() {
        return Err(Error::EmptyCpuSet { index });
    }
    for &id in ids {
        machine.check(id)?;
    }
    CpuSet::from_ids(ids.iter().copied())
}

/// One id per worker, or one for all.
macro_rules! from_ids {
    ($([$($generics:tt)*] $from:ty),* $(,)?) => {$(
        impl<$($generics)*> From<$from> for CpuIds {
            fn from(ids: $from) -> Self {
                Self::from_list(ids.into_iter().map(|id| [id.to_owned()]))
            }
        }
    )*};
}

/// One set per worker, or one for all.
macro_rules! from_sets {
    ($([$($generics:tt)*] $from:ty),* $(,)?) => {$(
        impl<$($generics)*> From<$from> for CpuIds {
            fn from(sets: $from) -> Self {
                Self::from_list(sets.into_iter().map(|set| set.to_owned()))
            }
        }
    )*};
}

from_ids! {
    [] Vec<usize>,
    [] &Vec<usize>,
    [] &[usize],
    [const N: usize] [usize; N],
    [const N: usize] &[usize; N],
}

/// One id per worker.
impl From<RangeInclusive<usize>> for CpuIds {
    fn from(ids: RangeInclusive<usize>) -> Self {
        if ids.is_empty() {
            return Self::from(&[0usize; 0][..]);
        }
        let (first, last) = ids.into_inner();
        Self::from_run(first, last)
    }
}

/// One id per worker.
impl From<Range<usize>> for CpuIds {
    fn from(ids: Range<usize>) -> Self {
        match ids.end.checked_sub(1) {
            Some(last) => Self::from(ids.start..=last),
            None => Self::from(&[0usize; 0][..]),
        }
    }
}

from_sets! {
    [] Vec<Vec<usize>>,
    [] &Vec<Vec<usize>>,
    [] &[Vec<usize>],
    [const N: usize] [Vec<usize>; N],
    [const N: usize] Vec<[usize; N]>,
    [const N: usize, const M: usize] [[usize; M]; N],
    [const N: usize, const M: usize] &[[usize; M]; N],
    [] Vec<CpuSet>,
    [] &[CpuSet],
    [const N: usize] [CpuSet; N],
}

/// All workers share the set.
impl From<CpuSet> for CpuIds {
    fn from(set: CpuSet) -> Self {
        Self::from_list([set])
    }
}

/// Takes the plan over; it is checked again for this machine and its number of workers.
impl From<Plan> for CpuIds {
    fn from(plan: Plan) -> Self {
        if !plan.is_pinned() {
            return Self::none();
        }
        let sets = plan.iter().flatten().map(|cpus| cpus.iter().collect());
        Self { wish: Wish::ForEach(sets.collect()) }
    }
}

/// Takes the rule over; the plan is made when the number of workers and the machine are known.
impl From<Placement> for CpuIds {
    fn from(placement: Placement) -> Self {
        Self { wish: Wish::Placed(placement) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpus: &str) -> Machine {
        Machine::new(cpus.parse().unwrap())
    }

    fn planned(ids: impl Into<CpuIds>, n_workers: usize) -> Vec<String> {
        let plan = ids.into().plan(n_workers, &machine("0-7")).unwrap();
        plan.iter().map(|cpus| cpus.map_or("-".to_owned(), CpuSet::to_string)).collect()
    }

    fn refused(ids: impl Into<CpuIds>, n_workers: usize) -> Error {
        ids.into().plan(n_workers, &machine("0-3,6-7")).unwrap_err()
    }

    #[test]
    fn the_five_forms() {
        assert_eq!(planned(CpuIds::none(), 2), ["-", "-"]);
        assert_eq!(planned([3], 2), ["3", "3"]);
        assert_eq!(planned([3, 2], 2), ["3", "2"]);
        assert_eq!(planned([[4, 5, 6]], 2), ["4-6", "4-6"]);
        assert_eq!(planned([[0, 1], [2, 3]], 2), ["0-1", "2-3"]);
    }

    #[test]
    fn all_sources_say_the_same() {
        let each = CpuIds::from([0, 1]);
        assert_eq!(CpuIds::from(vec![0, 1]), each);
        assert_eq!(CpuIds::from(&vec![0, 1]), each);
        assert_eq!(CpuIds::from(&[0, 1]), each);
        assert_eq!(CpuIds::from(&[0, 1][..]), each);
        assert_eq!(CpuIds::from(0..2), each);
        assert_eq!(CpuIds::from(0..=1), each);
        assert_eq!(CpuIds::from([[0], [1]]), each);
        assert_eq!(CpuIds::from(&[[0], [1]]), each);
        assert_eq!(CpuIds::from([vec![0], vec![1]]), each);
        assert_eq!(CpuIds::from(&[vec![0], vec![1]][..]), each);
        assert_eq!(CpuIds::from(vec![vec![0], vec![1]]), each);
        assert_eq!(CpuIds::from(&vec![vec![0], vec![1]]), each);
        assert_eq!(CpuIds::from(vec![[0], [1]]), each);
        let sets = [CpuSet::from_ids([0]).unwrap(), CpuSet::from_ids([1]).unwrap()];
        assert_eq!(CpuIds::from(sets), each);
        assert_eq!(CpuIds::from(&sets[..]), each);
        assert_eq!(CpuIds::from(sets.to_vec()), each);
        assert_eq!(CpuIds::from(sets[1]), CpuIds::from([1]));
    }

    #[test]
    fn lists_of_the_wrong_length() {
        let error = refused([0, 1, 2], 2);
        assert_eq!(error.to_string(), "Number of CPU IDs (3) does not match number of jobs (2)");
        assert!(matches!(refused([[0], [1]], 3), Error::CountMismatch { ids: 2, workers: 3 }));
        assert!(matches!(refused(Vec::<usize>::new(), 2), Error::NoCpuIds));
        for empty in [0..0, 3..3, Range { start: 3, end: 2 }] {
            assert!(matches!(refused(empty, 2), Error::NoCpuIds));
        }
        assert!(matches!(refused(vec![vec![0], vec![]], 2), Error::EmptyCpuSet { index: 1 }));
    }

    #[test]
    fn ids_that_no_worker_can_have() {
        let error = refused([0, 8], 2);
        let text = "CPU ID 8 exceeds the maximum CPU ID available on your system: 7";
        assert_eq!(error.to_string(), text);
        assert!(matches!(refused([[0, 5000]], 2), Error::CpuIdExceedsMaximum { id: 5000, max: 7 }));
        assert!(matches!(refused([4], 1), Error::CpuOffline { id: 4 }));
        let error = CpuIds::from([1]).plan(1, &machine("0-3").allowed("2-3".parse().unwrap()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "CPU ID 1 is not among the CPUs that may be used here: 2-3"
        );
    }

    #[test]
    fn ranges_of_more_than_there_can_be() {
        for (last, ids) in [(1 << 40, 1 << 40), (usize::MAX, usize::MAX)] {
            assert!(
                matches!(refused(1..=last, 2), Error::CountMismatch { ids: n, workers: 2 } if n == ids)
            );
            assert!(matches!(refused(1..=last, ids), Error::CpuOffline { id: 4 }));
        }
        assert!(matches!(refused(0..=usize::MAX, 2), Error::CountMismatch { .. }));
        assert!(matches!(refused(0..1024, 1024), Error::CpuOffline { id: 4 }));
        let far = 1 << 20;
        assert!(matches!(refused(far..2 * far, far), Error::CpuIdExceedsMaximum { max: 7, .. }));
    }

    #[test]
    fn a_plan_reads_back_as_ids() {
        let ids = CpuIds::from([[0, 1], [2, 3]]);
        assert_eq!(CpuIds::from(ids.plan(2, &machine("0-3")).unwrap()), ids);
        assert_eq!(CpuIds::from(Plan::unpinned(3)), CpuIds::none());
    }

    #[test]
    fn a_plan_is_for_its_own_number_of_workers() {
        for workers in [1, 3] {
            let plan = CpuIds::from([2]).plan(workers, &machine("0-3")).unwrap();
            assert_eq!(planned(plan.clone(), workers), vec!["2"; workers]);
            let error = refused(plan, 2);
            assert!(matches!(error, Error::CountMismatch { ids, workers: 2 } if ids == workers));
        }
    }

    #[test]
    fn workers_that_suit_can_be_placed_here() {
        for placement in Placement::ALL {
            let ids = CpuIds::from(placement);
            ids.plan_here(ids.suitable_workers()).unwrap();
        }
        assert_eq!(CpuIds::from([0]).suitable_workers(), usable_cpus());
    }

    #[test]
    fn a_placement_waits_for_the_machine() {
        assert_eq!(planned(Placement::Compact, 2), ["0", "1"]);
        assert_eq!(planned(Placement::OneCoreEach, 3), ["0", "1", "2"]);
        assert!(matches!(refused(Placement::OneCoreEach, 7), Error::TooFewCores { cores: 6, .. }));
    }
}
