//! One function in one process, under every start method.

use pool_core::{Process, StartMethod};

fn slow_square(x: u64) -> u64 {
    x * x
}

fn leave(code: i32) {
    std::process::exit(code)
}

fn sleep_for_ever((): ()) {
    loop {
        std::thread::park();
    }
}

fn main() -> Result<(), pool_core::Error> {
    for method in StartMethod::ALL {
        let process = Process::spawn(method, slow_square, 12)?;
        let pid = process.pid();
        println!("{method}: {} in {pid:?}", process.join()?);
    }
    let process = Process::spawn(StartMethod::Spawn, leave, 3)?;
    if let Err(error) = process.join() {
        println!("exit: {error}");
    }
    let process = Process::spawn(StartMethod::ForkServer, sleep_for_ever, ())?;
    process.kill()?;
    if let Err(error) = process.join() {
        println!("kill: {error}");
    }
    Ok(())
}
