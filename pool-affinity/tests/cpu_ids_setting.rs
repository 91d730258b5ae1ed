//! A builder's `.cpu_ids(..)` takes plain literals: no suffix, no conversion at the call.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use pool_affinity::{Core, CpuIds, CpuSet, Error, Machine, Plan, Topology};

#[derive(Default)]
struct Builder {
    cpu_ids: CpuIds,
}

impl Builder {
    fn cpu_ids(self, ids: impl Into<CpuIds>) -> Self {
        Self { cpu_ids: ids.into() }
    }

    fn plan(self, n_workers: usize) -> Result<Plan, Error> {
        self.cpu_ids.plan(n_workers, &Machine::new("0-7".parse()?))
    }
}

fn builder() -> Builder {
    Builder::default()
}

fn cpus(text: &str) -> CpuSet {
    text.parse().unwrap()
}

#[test]
fn literals_of_every_form() {
    let plan = builder().plan(2).unwrap();
    assert_eq!(plan.cpus_of(0), None);
    let plan = builder().cpu_ids(CpuIds::none()).plan(2).unwrap();
    assert!(!plan.is_pinned());
    let plan = builder().cpu_ids([0, 1]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("1")));
    let plan = builder().cpu_ids([5]).plan(3).unwrap();
    assert_eq!(plan.cpus_of(2), Some(&cpus("5")));
    let plan = builder().cpu_ids(vec![0, 1]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("1")));
    let kept = [0, 1];
    let plan = builder().cpu_ids(&kept[..]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("1")));
    let plan = builder().cpu_ids(0..4).plan(4).unwrap();
    assert_eq!(plan.cpus_of(3), Some(&cpus("3")));
    let plan = builder().cpu_ids(4..=7).plan(4).unwrap();
    assert_eq!(plan.cpus_of(0), Some(&cpus("4")));
    let plan = builder().cpu_ids([[0, 1], [2, 3]]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("2-3")));
    let plan = builder().cpu_ids([[4, 5, 6, 7]]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("4-7")));
    let plan = builder().cpu_ids(vec![vec![0], vec![1, 2]]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("1-2")));
    let plan = builder().cpu_ids([vec![0], vec![1, 2]]).plan(2).unwrap();
    assert_eq!(plan.cpus_of(1), Some(&cpus("1-2")));
}

#[test]
fn a_plan_is_a_setting_too() {
    let machine = Topology::from_cores([Core::new(cpus("0-1")), Core::new(cpus("2-3"))]);
    let cores = Plan::one_core_each(2, &machine.unwrap()).unwrap();
    assert_eq!(builder().cpu_ids(cores.clone()).plan(2).unwrap(), cores);
}

#[test]
fn refusals_name_the_fault() {
    let said = |ids: CpuIds| builder().cpu_ids(ids).plan(2).unwrap_err().to_string();
    assert_eq!(said([0, 1, 2].into()), "Number of CPU IDs (3) does not match number of jobs (2)");
    assert_eq!(
        said([0, 4096].into()),
        "CPU ID 4096 exceeds the maximum CPU ID available on your system: 7"
    );
    assert_eq!(said(vec![vec![0], vec![]].into()), "The set of CPU IDs at index 1 is empty");
}
