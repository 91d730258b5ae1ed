//! `cpu_ids` in its five forms, and its refusals.

use pool_api::{CpuIds, CpuSet, Error, StartMethod, WorkerPool};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("cpu_ids_in_five_forms", five_forms),
    Case::new("cpu_ids_kept_by_a_replacement", kept).processes(),
    Case::new("cpu_ids_refused", refused),
];

/// The CPUs of each of the two workers, as they say themselves.
fn cpus(pool: &WorkerPool) -> Result<[Option<String>; 2], Error> {
    let mut seen = [None, None];
    // Until both had a task: whoever is free takes the next.
    while seen.contains(&None) {
        let said = pool.tasks(0..64u32).chunk_size(1).map_with(|worker, _| {
            let cpus = pool_affinity::current_cpus().expect("a mask");
            (worker.id(), cpus.to_string())
        })?;
        for (id, cpus) in said {
            let entry = &mut seen[id as usize];
            assert!(entry.as_ref().is_none_or(|before| *before == cpus), "worker {id} moved");
            *entry = Some(cpus);
        }
    }
    Ok(seen)
}

fn check(method: StartMethod, ids: impl Into<CpuIds>, expected: [&str; 2]) -> Outcome {
    let pool = builder(method, 2).cpu_ids(ids).build()?;
    let here = pool_affinity::current_cpus()?;
    assert_eq!(cpus(&pool)?, expected.map(|cpus| Some(cpus.to_string())));
    assert_eq!(pool_affinity::current_cpus()?, here, "the caller is not pinned");
    Ok(())
}

fn five_forms(method: StartMethod) -> Outcome {
    let here = pool_affinity::current_cpus()?;
    let all = here.to_string();
    let mut ids = here.iter();
    let first = ids.next().expect("this thread runs somewhere");
    // On a machine with one CPU the forms still have to be taken.
    let last = ids.last().unwrap_or(first);
    let both = CpuSet::from_ids([first, last])?.to_string();
    let (one, two) = (first.to_string(), last.to_string());
    check(method, CpuIds::none(), [&all, &all])?;
    check(method, [last], [&two, &two])?;
    check(method, [last, first], [&two, &one])?;
    check(method, [[first, last]], [&both, &both])?;
    check(method, [vec![first, last], vec![last]], [&both, &two])?;
    check(method, vec![vec![last], vec![first, last]], [&two, &both])
}

fn kept(method: StartMethod) -> Outcome {
    let here = pool_affinity::current_cpus()?;
    let first = here.iter().next().expect("this thread runs somewhere");
    let pool = builder(method, 2).cpu_ids([first]).build()?;
    for _ in 0..4 {
        let died = pool.apply((), |()| -> u8 { std::process::abort() });
        assert!(matches!(died, Err(Error::Task(_))), "{died:?}");
    }
    assert_eq!(cpus(&pool)?, [Some(first.to_string()), Some(first.to_string())]);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let refusal = |ids: CpuIds, workers| match builder(method, workers).cpu_ids(ids).build() {
        Err(Error::InvalidInput(text)) => text,
        other => panic!("not refused: {other:?}"),
    };
    let first = pool_affinity::current_cpus()?.iter().next().expect("a CPU");
    let three = refusal(vec![first; 3].into(), 2);
    assert_eq!(three, "cpu_ids: Number of CPU IDs (3) does not match number of jobs (2)");
    let sets = refusal(vec![vec![first]; 2].into(), 4);
    assert_eq!(sets, "cpu_ids: Number of CPU IDs (2) does not match number of jobs (4)");
    let text = refusal([900_000].into(), 2);
    let expected = "cpu_ids: CPU ID 900000 exceeds the maximum CPU ID available on your system: ";
    assert!(text.starts_with(expected), "{text}");
    let text = refusal([[first, 1023]].into(), 2);
    assert!(text.starts_with("cpu_ids: CPU ID 1023 "), "{text}");
    let none = refusal(Vec::<usize>::new().into(), 2);
    assert_eq!(none, "cpu_ids: The list of CPU IDs is empty; leave it out to run unpinned");
    let empty = refusal(vec![vec![first], vec![]].into(), 2);
    assert_eq!(empty, "cpu_ids: The set of CPU IDs at index 1 is empty");
    Ok(())
}
