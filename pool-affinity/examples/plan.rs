//! Prints the machine and the ways to place workers on it, then pins one thread per worker.

use std::{error::Error, thread};

use pool_affinity::{CpuIds, Limits, Plan, Topology, cpu_count, current_cpus, usable_cpus};

fn main() -> Result<(), Box<dyn Error>> {
    let n_workers = usable_cpus();
    let allowed = current_cpus()?;
    println!("CPUs: {} online, allowed {allowed}, workers {n_workers}", cpu_count());

    let machine = Topology::read()?;
    for core in machine.cores() {
        println!(
            "  socket {} node {} core of CPUs {} (capacity {})",
            core.socket(),
            core.node(),
            core.cpus(),
            core.capacity()
        );
    }

    println!("spread:\n{}", Plan::spread(n_workers, &machine)?);
    println!("compact:\n{}", Plan::compact(n_workers, &machine)?);
    match Plan::one_core_each(n_workers, &machine) {
        Ok(plan) => println!("one core each:\n{plan}"),
        Err(error) => println!("one core each: {error}\n"),
    }

    let limits = Limits::read()?;
    let plan = CpuIds::from(allowed).plan(n_workers, &limits)?;
    println!("all share all:\n{plan}");
    if let Err(error) = CpuIds::from([5000]).plan(n_workers, &limits) {
        println!("refused: {error}\n");
    }

    let plan = Plan::spread(n_workers, &machine)?;
    thread::scope(|scope| {
        for (worker, cpus) in plan.iter().enumerate() {
            scope.spawn(move || match cpus.map(|cpus| cpus.pin_current_thread()) {
                Some(Err(error)) => println!("worker {worker}: {error}"),
                _ => println!("worker {worker} runs on {:?}", current_cpus()),
            });
        }
    });
    Ok(())
}
