//! Plans that follow from the topology.
//!
//! The machine is a tree: sockets, their NUMA nodes, their cores (fast ones first), their CPUs.
//! `compact` reads it leaf by leaf; `spread` takes one CPU of every core, from every branch in
//! turn, then the second of every core, and so on.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{Core, CpuSet, Error, Plan, Topology};

/// A rule by which the CPUs of each worker follow from the machine; [`Plan`] has the rules
/// themselves.
///
/// ```
/// # use pool_affinity as pool_api;
/// use pool_api::Placement;
/// # use pool_affinity::{Core, CpuSet, Topology};
/// # let machine = Topology::from_cores([
/// #     Core::new(CpuSet::from_ids([0, 2])?),
/// #     Core::new(CpuSet::from_ids([1, 3])?),
/// # ])?;
/// # let cpus = |placement: Placement| -> Result<Vec<String>, pool_affinity::Error> {
/// #     let plan = placement.plan(2, &machine)?;
/// #     Ok(plan.iter().flatten().map(|cpus| cpus.to_string()).collect())
/// # };
///
/// // The CPUs of two workers on a machine of two cores with two hardware threads each,
/// // CPUs 0 and 2, 1 and 3.
/// assert_eq!(cpus(Placement::OneCoreEach)?, ["0,2", "1,3"]);
/// assert_eq!(cpus(Placement::Spread)?, ["0", "1"]);
/// assert_eq!(cpus(Placement::Compact)?, ["0", "2"]);
/// # Ok::<(), pool_affinity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// One physical core per worker: [`Plan::one_core_each`].
    OneCoreEach,
    /// One CPU per worker, spread over sockets and NUMA nodes: [`Plan::spread`].
    Spread,
    /// One CPU per worker, close together: [`Plan::compact`].
    Compact,
}

impl Placement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OneCoreEach, Self::Spread, Self::Compact];

    /// Makes the plan of the rule for this number of workers.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewCores`] when the topology is empty, or has fewer cores than
    /// [`OneCoreEach`](Placement::OneCoreEach) needs.
    pub fn plan(self, n_workers: usize, topology: &Topology) -> Result<Plan, Error> {
        match self {
            Self::OneCoreEach => Plan::one_core_each(n_workers, topology),
            Self::Spread => Plan::spread(n_workers, topology),
            Self::Compact => Plan::compact(n_workers, topology),
        }
    }

    /// The largest number of workers that the rule can place.
    pub(crate) fn most_workers(self, topology: &Topology) -> usize {
        match self {
            Self::OneCoreEach => topology.cores().len(),
            Self::Spread | Self::Compact => usize::MAX,
        }
    }
}

impl Plan {
    /// One physical core per worker, with all its SMT siblings, and no core twice; fast cores of
    /// hybrid machines first. For workers that compute.
    ///
    /// ```
    /// # use pool_affinity as pool_api;
    /// use pool_api::{Plan, Topology};
    ///
    /// let machine = Topology::read()?;
    /// let plan = Plan::one_core_each(machine.cores().len(), &machine)?;
    /// print!("{plan}");
    /// # Ok::<(), pool_affinity::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooFewCores`] when there are more workers than cores.
    pub fn one_core_each(n_workers: usize, topology: &Topology) -> Result<Self, Error> {
        let mut cores: Vec<&Core> = topology.cores().iter().collect();
        if cores.len() < n_workers.max(1) {
            return Err(Error::TooFewCores { workers: n_workers, cores: cores.len() });
        }
        cores.sort_by_key(|core| fast_first(core));
        let sets: Vec<CpuSet> = cores.into_iter().map(|core| *core.cpus()).collect();
        Ok(Self::cycling(n_workers, &sets))
    }

    /// One CPU per worker, as far apart as can be: over sockets and NUMA nodes in turn, and a
    /// second worker on a core only when every core has one. For workers that need memory
    /// bandwidth and cache of their own. With more workers than CPUs it starts again.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewCores`] when the topology is empty.
    pub fn spread(n_workers: usize, topology: &Topology) -> Result<Self, Error> {
        let sockets = tree(topology);
        let siblings_of_rank = |rank: usize| {
            let cpus = |cores: &Cores| {
                cores.iter().filter_map(|core| core.cpus().iter().nth(rank)).collect()
            };
            let nodes = |nodes: &Vec<Cores>| in_turn(nodes.iter().map(cpus).collect());
            in_turn(sockets.iter().map(nodes).collect())
        };
        let ranks = (0..).map(siblings_of_rank).take_while(|cpus| !cpus.is_empty());
        one_cpu_each(n_workers, ranks.flatten().collect())
    }

    /// One CPU per worker, as close together as can be: siblings of a core, then its neighbours,
    /// then the next NUMA node. For few workers that share data. With more workers than CPUs it
    /// starts again.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewCores`] when the topology is empty.
    pub fn compact(n_workers: usize, topology: &Topology) -> Result<Self, Error> {
        let cores = tree(topology).into_iter().flatten().flatten();
        one_cpu_each(n_workers, cores.flat_map(|core| core.cpus()).collect())
    }
}

type Cores<'a> = Vec<&'a Core>;

/// Sockets of nodes of cores.
fn tree(topology: &Topology) -> Vec<Vec<Cores<'_>>> {
    let mut sockets = BTreeMap::<usize, BTreeMap<usize, Cores>>::new();
    for core in topology.cores() {
        sockets.entry(core.socket()).or_default().entry(core.node()).or_default().push(core);
    }
    let mut sockets: Vec<Vec<Cores>> =
        sockets.into_values().map(|nodes| nodes.into_values().collect()).collect();
    for cores in sockets.iter_mut().flatten() {
        cores.sort_by_key(|core| fast_first(core));
    }
    sockets
}

fn fast_first(core: &Core) -> (Reverse<u32>, Option<usize>) {
    (Reverse(core.capacity()), core.cpus().first())
}

/// The first of each list, then the second of each, and so on.
fn in_turn<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut merged = Vec::new();
    loop {
        let before = merged.len();
        merged.extend(lists.iter_mut().filter_map(Iterator::next));
        if merged.len() == before {
            return merged;
        }
    }
}

fn one_cpu_each(n_workers: usize, cpus: Vec<usize>) -> Result<Plan, Error> {
    if cpus.is_empty() {
        return Err(Error::TooFewCores { workers: n_workers, cores: 0 });
    }
    let sets = cpus.into_iter().map(|id| CpuSet::from_ids([id])).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan::cycling(n_workers, &sets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(cpus: &str) -> Core {
        Core::new(cpus.parse().unwrap())
    }

    /// Two sockets, each a node of two cores with two threads.
    fn two_sockets() -> Topology {
        let cores = [("0,4", 0), ("1,5", 0), ("2,6", 1), ("3,7", 1)];
        let cores = cores.map(|(cpus, place)| core(cpus).in_socket(place).in_node(place));
        Topology::from_cores(cores).unwrap()
    }

    /// Two fast cores with two threads, numbered after two small ones.
    fn hybrid() -> Topology {
        let small = |cpus| core(cpus).with_capacity(512);
        Topology::from_cores([small("0"), small("1"), core("2-3"), core("4-5")]).unwrap()
    }

    fn sets(plan: Result<Plan, Error>) -> Vec<String> {
        let plan = plan.unwrap();
        plan.iter().map(|cpus| cpus.unwrap().to_string()).collect()
    }

    #[test]
    fn one_core_each_gives_whole_cores() {
        assert_eq!(sets(Plan::one_core_each(3, &two_sockets())), ["0,4", "1,5", "2,6"]);
        assert_eq!(sets(Plan::one_core_each(3, &hybrid())), ["2-3", "4-5", "0"]);
        let error = Plan::one_core_each(5, &two_sockets()).unwrap_err();
        assert!(matches!(error, Error::TooFewCores { workers: 5, cores: 4 }));
        assert_eq!(Placement::OneCoreEach.most_workers(&two_sockets()), 4);
    }

    #[test]
    fn spread_alternates_nodes_and_fills_cores_last() {
        let order = ["0", "2", "1", "3", "4", "6", "5", "7", "0"];
        assert_eq!(sets(Plan::spread(9, &two_sockets())), order);
        assert_eq!(sets(Plan::spread(6, &hybrid())), ["2", "4", "0", "1", "3", "5"]);
    }

    #[test]
    fn spread_shares_no_core_while_one_is_idle() {
        let machine = two_sockets().restricted_to(&"0,4,2-3,6-7".parse().unwrap());
        assert_eq!(sets(Plan::spread(6, &machine)), ["0", "2", "3", "4", "6", "7"]);
    }

    #[test]
    fn spread_changes_the_socket_before_the_node() {
        let places = [("0", 0, 0), ("1", 0, 1), ("2", 1, 2), ("3", 1, 3)];
        let cores = places.map(|(cpu, socket, node)| core(cpu).in_socket(socket).in_node(node));
        let machine = Topology::from_cores(cores).unwrap();
        assert_eq!(sets(Plan::spread(4, &machine)), ["0", "2", "1", "3"]);
    }

    #[test]
    fn compact_fills_core_after_core() {
        assert_eq!(sets(Plan::compact(5, &two_sockets())), ["0", "4", "1", "5", "2"]);
        assert_eq!(sets(Plan::compact(5, &hybrid())), ["2", "3", "4", "5", "0"]);
    }

    #[test]
    fn a_mask_leaves_what_it_leaves() {
        let machine = two_sockets().restricted_to(&"4-6".parse().unwrap());
        assert_eq!(sets(Plan::spread(3, &machine)), ["4", "6", "5"]);
        assert_eq!(sets(Plan::one_core_each(3, &machine)), ["4", "5", "6"]);
    }

    #[test]
    fn no_core_no_plan() {
        let nothing = Topology::from_cores([]).unwrap();
        for placement in Placement::ALL {
            let plan = placement.plan(2, &nothing);
            assert!(matches!(plan, Err(Error::TooFewCores { cores: 0, .. })), "{placement:?}");
        }
    }
}
