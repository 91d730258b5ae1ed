//! Uses that cannot work are refused with a typed error, and a process that a task forks does not
//! become a worker.

#[path = "support/scenario.rs"]
mod scenario;

use std::{fs, io::Write, os::unix::ffi::OsStringExt, process::Command, sync::mpsc::channel};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};
use pool_core::{Error, ForkWithThreads, Pool, StartMethod};
use scenario::{
    Subject, all_workers, ask, compiled_in, is_dead, job, options, pool, process_methods, run, say,
    within_a_second,
};

fn main() {
    run(
        &[
            ("fork_beside_a_thread", fork_beside_a_thread),
            ("others_beside_a_thread", others_beside_a_thread),
            ("a_task_that_forks", a_task_that_forks),
            ("a_pool_in_a_forked_child", a_pool_in_a_forked_child),
            ("methods_that_were_compiled_out", compiled_out),
            ("cpus_that_are_taken_away", cpus_taken_away),
            ("started_by_the_loader", started_by_the_loader),
            ("functions_of_libraries", functions_of_libraries),
        ],
        &[("forks", forks), ("is_unpinnable", is_unpinnable), ("is_loaded", is_loaded)],
    );
}

fn beside_a_thread(act: impl FnOnce()) {
    let (hold, wait) = channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    act();
    drop(hold);
    assert!(thread.join().expect("it only waits").is_err());
}

fn fork_beside_a_thread() {
    if !cfg!(feature = "fork") {
        return;
    }
    beside_a_thread(|| {
        let refused = Pool::build(&options(StartMethod::Fork, 2));
        assert!(matches!(refused, Err(Error::ForkWithThreads { threads: 2 })), "{refused:?}");
        let mut options = options(StartMethod::Fork, 2);
        // SAFETY: the other thread only waits for this one, and holds no lock.
        options.allow_fork_with_threads = Some(unsafe { ForkWithThreads::assume_safe() });
        let pool = Pool::build(&options).expect("the caller answers for it");
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
    });
    // A pool that was built before still works beside threads, also with a new worker.
    let pool = pool(StartMethod::Fork, 1);
    beside_a_thread(|| {
        let lost: Result<(), _> = ask(&pool, |x: i32| std::process::exit(x), 7);
        assert!(matches!(lost, Err(Error::Task(_))), "{lost:?}");
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
    });
}

fn others_beside_a_thread() {
    beside_a_thread(|| {
        for method in process_methods().into_iter().filter(|method| *method != StartMethod::Fork) {
            assert_eq!(ask(&pool(method, 2), |x: u64| x + 1, 1).expect("a value"), 2);
        }
    });
}

/// Forks; both processes return.
fn fork_and_return(x: u64) -> u64 {
    // SAFETY: the child runs what a worker runs after a task, which ends it.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Parent { child } => {
            say(format!("child {child}"));
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            x
        }
        ForkResult::Child => x + 1000,
    }
}

fn forks(method: StartMethod) {
    let pool = pool(method, 2);
    let values = job(&pool, fork_and_return, 0..6).expect("a job").values(true).expect("values");
    assert_eq!(values, [0, 1, 2, 3, 4, 5]);
    assert_eq!(ask(&pool, |x: u64| x, 1).expect("a value"), 1);
}

fn a_task_that_forks() {
    for method in process_methods() {
        let mut subject = Subject::start("forks", method);
        for _ in 0..6 {
            let child = Pid::from_raw(subject.expect("child").parse().expect("a number"));
            within_a_second(|| is_dead(child), |dead| *dead);
        }
        assert_eq!(subject.rest(), "", "{method}: nothing is printed by a second worker");
        subject.ends_well();
    }
}

fn a_pool_in_a_forked_child() {
    for method in process_methods() {
        let pool = pool(method, 2);
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
        let before = all_workers(&pool);
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Child => {
                // A child that waits for an answer must end: alarms are not inherited.
                nix::unistd::alarm::set(60);
                let foreign =
                    |result: Result<(), Error>| matches!(result, Err(Error::ForeignProcess));
                let refused = [
                    foreign(ask(&pool, |x: u64| x, 1).map(|_| ())),
                    foreign(pool.stop_and_join()),
                    foreign(pool.terminate()),
                    pool.worker_pids().is_empty(),
                ];
                drop(pool);
                let good = refused == [true; 4];
                if !good {
                    let _ = writeln!(std::io::stderr(), "{refused:?}");
                }
                std::process::exit(i32::from(!good));
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)), "{method}");
            }
        }
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("the parent's pool works on"), 2);
        assert_eq!(pool.worker_pids(), before, "{method}: the child's drop killed no worker");
    }
}

fn compiled_out() {
    // The default is a start method that is compiled in.
    let order =
        [StartMethod::ForkServer, StartMethod::Spawn, StartMethod::Fork, StartMethod::Threads];
    let first = order.into_iter().find(|method| compiled_in(*method));
    assert_eq!(pool_core::PoolOptions::default().start_method, first.expect("a start method"));
    for method in StartMethod::ALL {
        if !compiled_in(method) {
            let refused = Pool::build(&options(method, 1));
            assert!(matches!(refused, Err(Error::NotSupported { .. })), "{method}: {refused:?}");
        }
    }
}

/// Makes the kernel refuse to pin this process and its children, as a sandbox may.
fn forbid_pinning() -> std::io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JUMP, BPF_K, BPF_LD, BPF_RET, BPF_STMT, BPF_W};
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    // SAFETY: these only combine numbers.
    let mut program = unsafe {
        [
            // The number of the system call is the first word of `seccomp_data`.
            BPF_STMT((BPF_LD | BPF_W | BPF_ABS) as u16, 0),
            BPF_JUMP((BPF_JMP | BPF_JEQ | BPF_K) as u16, libc::SYS_sched_setaffinity as u32, 0, 1),
            BPF_STMT((BPF_RET | BPF_K) as u16, refusal),
            BPF_STMT((BPF_RET | BPF_K) as u16, libc::SECCOMP_RET_ALLOW),
        ]
    };
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is valid during the call, which copies it.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) != 0
    };
    if refused { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn is_unpinnable(method: StartMethod) {
    if let Err(error) = forbid_pinning() {
        return say(format!("skipped: no filter of system calls can be had here: {error}"));
    }
    let mut options = options(method, 2);
    options.cpu_ids = pool_affinity::current_cpus().expect("a mask").into();
    let pool = Pool::build(&options).expect("the CPUs are there");
    let error = ask(&pool, |x: u64| x, 1).expect_err("no worker can be pinned");
    match (&error, method) {
        (Error::Resources { .. }, StartMethod::Threads) => {}
        (Error::WorkersDie(_), _) if method != StartMethod::Threads => {}
        other => panic!("{other:?}"),
    }
    say(format!("refused: {error}"));
}

fn cpus_taken_away() {
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        let mut subject = Subject::start("is_unpinnable", method);
        let said = subject.line();
        if said.starts_with("skipped: ") {
            println!("{said}");
        } else {
            assert!(said.starts_with("refused: ") && said.contains("cpu_ids"), "{said}");
        }
        subject.ends_well();
    }
}

/// The loader that this program's headers name.
fn loader() -> std::path::PathBuf {
    let own = std::env::current_exe().expect("this program");
    let elf = fs::read(own).expect("this program");
    let number = |at: usize, len: usize| {
        elf[at..at + len].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
    };
    // `e_phoff`, `e_phentsize` and `e_phnum` of an ELF of 64 bits, little-endian.
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let headers = (0..count).map(|index| table + index * size);
    let mut loaders = headers.filter(|header| number(*header, 4) == 3); // `PT_INTERP`
    let header = loaders.next().expect("a program that is loaded");
    let (offset, len) = (number(header + 8, 8), number(header + 32, 8));
    std::ffi::OsString::from_vec(elf[offset..offset + len - 1].to_vec()).into()
}

/// The subject that runs as `ld.so ./program`: the executable is the loader, which would run `main`
/// again.
fn is_loaded(method: StartMethod) {
    say("main");
    let built = Pool::build(&options(method, 2));
    let refused = match method {
        StartMethod::ForkServer | StartMethod::Spawn => {
            matches!(built, Err(Error::CannotExecute(_)))
        }
        _ => ask(&built.expect("a pool"), |x: u64| x + 1, 1).expect("a value") != 2,
    };
    say(if refused { "refused" } else { "works" });
}

fn started_by_the_loader() {
    for method in process_methods() {
        let mut command = Command::new(loader());
        command.arg(std::env::current_exe().expect("this program"));
        let mut subject = Subject::start_by(command, "is_loaded", method);
        let works = method == StartMethod::Fork;
        let said = if works { "main\nworks\n" } else { "main\nrefused\n" };
        assert_eq!(subject.rest(), said, "{method}");
        subject.ends_well();
    }
}

fn functions_of_libraries() {
    // SAFETY: the C library's `labs` takes and returns a word, in the one way that both ABIs have
    // for it.
    let labs: fn(u64) -> u64 = unsafe { std::mem::transmute(libc::labs as *const ()) };
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        let pool = pool(method, 2);
        let answer = job(&pool, labs, 5..7).and_then(|job| job.values(true));
        if method == StartMethod::Threads {
            assert_eq!(answer.expect("it runs here"), [5, 6]);
        } else {
            assert!(matches!(answer, Err(Error::ForeignFunction)), "{method}: {answer:?}");
            assert!(pool.worker_pids().is_empty(), "{method}: no worker was started for it");
        }
    }
}
