//! The guide, one chapter a module. The examples are run as tests.
//!
//! | you want to | chapter |
//! | --- | --- |
//! | depend on the crate, choose features | [`install`] |
//! | choose how workers come to life, and know what they see of the program | [`start_methods`] |
//! | choose a form of call | [`calls`] |
//! | have results one by one, as they are done, or in an executor | [`results`] |
//! | hand in work and fetch the value later | [`futures`] |
//! | set chunks, limits, CPUs | [`options`] |
//! | run one function in a process of its own | [`process`] |
//! | end a call or a task before its end | [`ending`] |
//! | keep something in each worker, or say which one does what | [`worker_state`] |
//! | give all workers the same data | [`shared_data`] |
//! | change arrays, values and locks from all of them | [`shared_memory`] |
//! | share objects with methods between any processes, by a server | [`manager`] |
//! | send types of your own | [`own_types`] |
//! | look at what failed, and why | [`errors`] |
//! | look up a message or a surprise | [`faq`] |
//! | see what tasks log and print | [`logging`] |
//! | watch calls and workers in a browser | [`dashboard`] |
//! | know what workers spend their time with, and see it | [`insights`] |
//! | see how far a call is | [`progress`] |
//! | use a debugger, core dumps, valgrind, strace, sanitizers | [`debugging`] |
//! | handle Ctrl-C, run under a supervisor or in a container | [`signals`] |
//! | test code that uses a pool | [`testing`] |
//! | know what it costs, and measure it | [`costs`] |
//! | translate a line of MPIRE, `multiprocessing`, `concurrent.futures` or joblib | [`coming_from_python`] |

/// Makes a module of a chapter.
///
/// Links between chapters lead to files where a chapter is read as a file, and to modules on these
/// pages: of two definitions of one link the first one counts, and those here come first.
macro_rules! chapters {
    ($($name:ident: $file:literal, $($label:literal => $target:literal),*;)*) => {$(
        #[doc = concat!(
            "[start methods]: crate::guide::start_methods\n",
            "[calls]: crate::guide::calls\n",
            "[results as they come]: crate::guide::results\n",
            "[futures]: crate::guide::futures\n",
            "[options]: crate::guide::options\n",
            "[process]: crate::guide::process\n",
            "[ending early]: crate::guide::ending\n",
            "[worker state]: crate::guide::worker_state\n",
            "[shared data]: crate::guide::shared_data\n",
            "[shared memory]: crate::guide::shared_memory\n",
            "[a server for shared objects]: crate::guide::manager\n",
            "[own types]: crate::guide::own_types\n",
            "[errors]: crate::guide::errors\n",
            "[FAQ]: crate::guide::faq\n",
            "[logging]: crate::guide::logging\n",
            "[a dashboard]: crate::guide::dashboard\n",
            "[insights]: crate::guide::insights\n",
            "[progress]: crate::guide::progress\n",
            "[debugging]: crate::guide::debugging\n",
            "[Ctrl-C and supervisors]: crate::guide::signals\n",
            "[testing]: crate::guide::testing\n",
            "[install]: crate::guide::install\n",
            "[coming from Python]: crate::guide::coming_from_python\n",
            "[costs]: crate::guide::costs\n",
            $("[", $label, "]: crate::", $target, "\n",)*
        )]
        #[doc = include_str!(concat!("../", $file))]
        pub mod $name {}
    )*};
}

chapters! {
    start_methods: "docs/guide/start_methods.md",;
    calls: "docs/guide/calls.md",;
    results: "docs/guide/results.md",;
    futures: "docs/guide/futures.md",;
    options: "docs/guide/options.md",
        "`Builder`" => "Builder",
        "`Call`" => "Call",
        "`WorkerPool`" => "WorkerPool",
        "`n_jobs`" => "Builder::n_jobs",
        "`start_method`" => "Builder::start_method",
        "`keep_alive`" => "Builder::keep_alive",
        "`cpu_ids`" => "Builder::cpu_ids",
        "`arena_limit`" => "Builder::arena_limit",
        "`max_result_bytes`" => "Builder::max_result_bytes",
        "`shared`" => "Builder::shared",
        "`shared_view`" => "Builder::shared_view",
        "`shared_built`" => "Builder::shared_built",
        "`shared_timeout`" => "Builder::shared_timeout",
        "`memory_limit`" => "Builder::memory_limit",
        "`max_worker_rss`" => "Builder::max_worker_rss",
        "`stack_size`" => "Builder::stack_size",
        "`worker_init`" => "Builder::worker_init",
        "`worker_exit`" => "Builder::worker_exit",
        "`worker_init_timeout`" => "Builder::worker_init_timeout",
        "`worker_exit_timeout`" => "Builder::worker_exit_timeout",
        "`at_worker_start`" => "Builder::at_worker_start",
        "`stdout`" => "Builder::stdout",
        "`stderr`" => "Builder::stderr",
        "`on_output`" => "Builder::on_output",
        "`max_output_bytes`" => "Builder::max_output_bytes",
        "`enable_insights`" => "Builder::enable_insights",
        "`worker_lifespan`" => "Builder::worker_lifespan",
        "`order_tasks`" => "Builder::order_tasks",
        "`task_timeout`" => "Builder::task_timeout",
        "`timeout_grace`" => "Builder::timeout_grace",
        "`daemon`" => "Builder::daemon",
        "`dump_shared_memory`" => "Builder::dump_shared_memory",
        "`allow_fork_with_threads`" => "Builder::allow_fork_with_threads",
        "`chunk_size`" => "Call::chunk_size",
        "`n_splits`" => "Call::n_splits",
        "`iterable_len`" => "Call::iterable_len",
        "`max_tasks_active`" => "Call::max_tasks_active",
        "`cancel_token`" => "Call::cancel_token",
        "`kill_running`" => "Call::kill_running",
        "call task_timeout" => "Call::task_timeout",
        "call timeout_grace" => "Call::timeout_grace",
        "`retry`" => "Call::retry",
        "call order_tasks" => "Call::order_tasks",
        "`on_worker`" => "Call::on_worker",
        "`set_keep_alive`" => "WorkerPool::set_keep_alive",
        "`set_task_timeout`" => "WorkerPool::set_task_timeout",
        "`set_order_tasks`" => "WorkerPool::set_order_tasks",
        "`set_worker_lifespan`" => "WorkerPool::set_worker_lifespan",
        "`set_worker_init_timeout`" => "WorkerPool::set_worker_init_timeout",
        "`set_worker_exit_timeout`" => "WorkerPool::set_worker_exit_timeout",
        "`set_shared`" => "WorkerPool::set_shared",
        "`set_shared_view`" => "WorkerPool::set_shared_view",
        "`set_shared_built`" => "WorkerPool::set_shared_built",
        "`refresh_snapshot`" => "WorkerPool::refresh_snapshot";
    process: "docs/guide/process.md",;
    ending: "docs/guide/ending.md",;
    worker_state: "docs/guide/worker_state.md",;
    shared_data: "docs/guide/shared_data.md",;
    shared_memory: "docs/guide/shared_memory.md",;
    manager: "docs/guide/manager.md",;
    own_types: "docs/guide/own_types.md",;
    errors: "docs/guide/errors.md",;
    logging: "docs/guide/logging.md",;
    dashboard: "docs/guide/dashboard.md", "`CancelToken`" => "CancelToken";
    insights: "docs/guide/insights.md",;
    progress: "docs/guide/progress.md",
        "`bars()`" => "progress",
        "`PoolManager`" => "PoolManager",
        "`LogLines`" => "progress::LogLines",
        "`Progress`" => "progress::Progress";
    debugging: "docs/guide/debugging.md",;
    signals: "docs/guide/signals.md",;
    testing: "docs/guide/testing.md",;
    install: "docs/guide/install.md",;
    coming_from_python: "docs/guide/coming_from_python.md",;
    faq: "FAQ.md",;
    costs: "docs/guide/costs.md",;
}
