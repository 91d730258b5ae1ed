//! Prints the machine and the ways to place workers on it, then pins one thread per worker.

use std::{error::Error, path::Path, thread};

use pool_affinity::{
    Core, CpuIds, CpuSet, Machine, Placement, Topology, cpu_count, cpu_quota, current_cpus,
    usable_cpus,
};

fn main() -> Result<(), Box<dyn Error>> {
    let n_workers = usable_cpus();
    let allowed = current_cpus()?;
    println!("CPUs: {} online, allowed {allowed}, workers {n_workers}", cpu_count());
    match cpu_quota(Path::new("/")) {
        Some(cpus) => println!("quota of the control group: {cpus} CPUs' time"),
        None => println!("no quota of a control group"),
    }

    let topology = Topology::read()?;
    println!("\nthis machine:");
    show(&topology, n_workers);
    println!("\na machine of two sockets with SMT:");
    show(&two_sockets()?, 5);

    let machine = Machine::read()?;
    println!("\nall workers on all CPUs:\n{}", CpuIds::from(allowed).plan(n_workers, &machine)?);
    if let Err(error) = CpuIds::from([5000]).plan(n_workers, &machine) {
        println!("refused: {error}");
    }

    let plan = Placement::Spread.plan(n_workers, &topology)?;
    thread::scope(|scope| {
        for (worker, cpus) in plan.iter().enumerate() {
            scope.spawn(move || {
                let pinned = cpus.map_or(Ok(()), CpuSet::pin_current_thread);
                match pinned.and_then(|()| current_cpus()) {
                    Ok(cpus) => println!("worker {worker} runs on CPUs {cpus}"),
                    Err(error) => println!("worker {worker}: {error}"),
                }
            });
        }
    });
    Ok(())
}

fn two_sockets() -> Result<Topology, pool_affinity::Error> {
    let core = |cpus: &str, socket| {
        Ok::<_, pool_affinity::Error>(Core::new(cpus.parse()?).in_socket(socket).in_node(socket))
    };
    Topology::from_cores([core("0,4", 0)?, core("1,5", 0)?, core("2,6", 1)?, core("3,7", 1)?])
}

fn show(topology: &Topology, n_workers: usize) {
    for core in topology.cores() {
        println!(
            "  socket {} node {} core of CPUs {} (capacity {})",
            core.socket(),
            core.node(),
            core.cpus(),
            core.capacity()
        );
    }
    for placement in Placement::ALL {
        match placement.plan(n_workers, topology) {
            Ok(plan) => println!("{placement:?}:\n{plan}"),
            Err(error) => println!("{placement:?}: {error}\n"),
        }
    }
}
