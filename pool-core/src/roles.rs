//! The roles of a fresh copy of the executable: a zygote, its guard, a worker, a process of one
//! function, or the server that forks those.
//!
//! Invariant: only this file knows what each role does; `bootstrap` has their numbers, and gets
//! [`enter`] as a function. `check_takeover` is called through here, so that a program that starts
//! copies has this file's hook linked.

use crate::{
    bootstrap::{self, Refusal, StartArguments},
    child, panic, worker, zygote,
};

/// Makes the start of worker processes possible where the takeover before `main` is not used.
///
/// Call it as the first line of `main`, if this crate is built without its default feature
/// `takeover`: the program's executable is started again for the processes of a pool, and in these
/// this function does not return. In all other processes, and with the feature, it does nothing.
///
/// ```
/// # use pool_core as pool_api;
/// pool_api::init();
/// // the rest of `main`
/// ```
pub fn init() {
    bootstrap::enter_in_main(enter);
}

/// Whether a copy of this executable would be taken over before its `main`.
///
/// # Errors
///
/// Those of [`bootstrap::check_takeover`].
#[inline(never)]
pub(crate) fn check_takeover() -> Result<(), Refusal> {
    bootstrap::check_takeover()
}

#[cfg(all(feature = "takeover", target_env = "gnu"))]
mod hook {
    use std::ffi::{c_char, c_int};

    use crate::bootstrap::{Arguments, Initialiser, enter_in_initialiser};

    // The last place in the order of initialisers that can be named; initialisers that are linked
    // behind it are called from here. std has stored the arguments in an earlier place.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static HOOK: Initialiser = hook;

    extern "C" fn hook(argc: c_int, argv: *const *const c_char, environment: *const *const c_char) {
        let arguments = Arguments { argc, argv, environment };
        enter_in_initialiser(&raw const HOOK, arguments, super::enter);
    }
}

/// Runs the role that the parent has asked for, instead of `main`.
fn enter(arguments: StartArguments) -> ! {
    match arguments.role {
        role @ (bootstrap::ROLE_ZYGOTE | bootstrap::ROLE_GUARDED_ZYGOTE) => {
            let config = zygote::ZygoteConfig::from_words(&arguments.words);
            let fds = config.as_ref().and_then(|config| {
                zygote::ZygoteFds::from_vec(arguments.fds, config.workers.output)
            });
            let parent = nix::unistd::getppid();
            match (config, fds) {
                (Some(config), Some(fds)) if role == bootstrap::ROLE_ZYGOTE => {
                    zygote::run_fresh(config, fds, parent)
                }
                (Some(config), Some(fds)) => zygote::run_below_guard(config, fds, parent),
                _ => {}
            }
        }
        bootstrap::ROLE_WORKER => {
            let config = worker::WorkerStart::from_words(&arguments.words);
            if let Some(config) = config {
                worker::live(&config, || worker::from_descriptors(arguments.fds, &config.config))
            }
        }
        bootstrap::ROLE_PROCESS => {
            if let Some(start) = child::ChildStart::of_copy(arguments.fds) {
                child::run_received(start)
            }
        }
        bootstrap::ROLE_PROCESS_SERVER => {
            if let Some(control) = arguments.fds.into_iter().next() {
                child::run_server(control, nix::unistd::getppid())
            }
        }
        _ => {}
    }
    panic::end_quietly()
}

#[cfg(test)]
mod tests {
    use std::any::type_name;

    use crate::{child, hooks, panic, shared, task, worker};

    #[test]
    fn backtraces_are_cut_at_modules_that_exist() {
        let name_of = |function: &'static str| function.rsplit_once("::").expect("a path").0;
        fn path<T>(_: T) -> &'static str {
            type_name::<T>()
        }
        let modules = [
            name_of(path(panic::end_quietly)),
            name_of(type_name::<task::Call>()),
            name_of(type_name::<hooks::Bounds>()),
            name_of(type_name::<shared::Source>()),
            name_of(path(worker::worker_process_name)),
            type_name::<child::Portable>(),
            type_name::<child::ChildStart>(),
            #[cfg(feature = "threads")]
            name_of(type_name::<crate::threads::ThreadBackend>()),
        ];
        for (module, caller) in modules.iter().zip(panic::CALLERS) {
            assert!(module.starts_with(caller), "{module} is not below {caller}");
        }
    }
}
