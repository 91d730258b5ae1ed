//! The cases, one file per behaviour.

mod alignment;
mod arena;
mod attempts;
mod births;
mod bounds;
mod c_output;
mod calls;
mod cancelling;
mod channels_sent;
mod closed_descriptors;
mod concurrency;
mod context;
mod core_dumps;
mod deep_values;
mod direct;
mod direct_deaths;
mod error_texts;
mod exit_bounds;
mod extremes;
mod failures;
mod fairness;
mod forms;
mod futures;
mod futures_callbacks;
mod futures_cancels;
mod futures_exits;
mod futures_lives;
mod futures_maps;
mod futures_maps_ended;
mod futures_options;
mod futures_room;
mod futures_sent;
mod futures_stops;
mod futures_told;
mod handles;
mod handles_forged;
mod handles_forms;
mod handles_lives;
mod input;
mod input_ends;
mod insights;
mod insights_files;
mod killing;
mod large_values;
mod ledger;
mod ledger_channels;
mod ledger_managers;
mod ledger_processes;
mod lent_views;
mod lifetimes;
mod locked_memory;
mod locks_of_ended;
mod manager;
mod manager_memory;
mod manager_races;
mod many_lives;
mod memory_limit;
#[cfg(feature = "ndarray")]
mod nd_arrays;
mod nested_pools;
mod nested_use;
mod nesting;
mod next_timeout;
mod options;
mod order_tasks;
mod output;
mod per_item;
mod pinning;
mod processes;
mod processes_given;
mod processes_related;
mod randomness;
mod retries;
#[cfg(feature = "serde")]
mod serde_types;
mod settings;
mod shared;
mod shared_failures;
mod shared_handles;
mod shared_memory;
mod slices;
mod slices_failures;
mod slices_hooks;
mod stacks;
mod stopped;
#[cfg(feature = "async")]
mod streams;
mod taken_descriptors;
mod terminals;
mod threads;
mod timeouts;
mod timeouts_of_exits;
mod unordered_results;
mod values;
mod volumes;
mod waits_in_wakers;
mod wakeups;
mod worker_exit;
mod worker_state;

pub(crate) use arena::{LITTLE_SPACE, in_little_space};

use crate::case::Case;

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let files = [
        // Those that wait longest come first: they would be the last ones to end.
        wakeups::CASES,
        stopped::CASES,
        timeouts::CASES,
        values::CASES,
        terminals::CASES,
        context::CASES,
        core_dumps::CASES,
        options::CASES,
        extremes::CASES,
        input::CASES,
        input_ends::CASES,
        insights::CASES,
        insights_files::CASES,
        c_output::CASES,
        closed_descriptors::CASES,
        concurrency::CASES,
        ledger::CASES,
        ledger_channels::CASES,
        ledger_managers::CASES,
        ledger_processes::CASES,
        lifetimes::CASES,
        locked_memory::CASES,
        locks_of_ended::CASES,
        pinning::CASES,
        processes::CASES,
        processes_given::CASES,
        processes_related::CASES,
        #[cfg(feature = "serde")]
        serde_types::CASES,
        settings::CASES,
        shared::CASES,
        randomness::CASES,
        shared_failures::CASES,
        births::CASES,
        shared_handles::CASES,
        shared_memory::CASES,
        slices::CASES,
        #[cfg(feature = "ndarray")]
        nd_arrays::CASES,
        slices_failures::CASES,
        slices_hooks::CASES,
        lent_views::CASES,
        deep_values::CASES,
        alignment::CASES,
        exit_bounds::CASES,
        taken_descriptors::CASES,
        failures::CASES,
        forms::CASES,
        futures::CASES,
        futures_told::CASES,
        futures_callbacks::CASES,
        futures_cancels::CASES,
        futures_options::CASES,
        futures_room::CASES,
        futures_exits::CASES,
        futures_lives::CASES,
        futures_sent::CASES,
        futures_stops::CASES,
        futures_maps::CASES,
        futures_maps_ended::CASES,
        #[cfg(feature = "async")]
        streams::CASES,
        handles::CASES,
        channels_sent::CASES,
        handles_forms::CASES,
        handles_lives::CASES,
        handles_forged::CASES,
        per_item::CASES,
        attempts::CASES,
        error_texts::CASES,
        retries::CASES,
        timeouts_of_exits::CASES,
        fairness::CASES,
        memory_limit::CASES,
        stacks::CASES,
        large_values::CASES,
        nested_pools::CASES,
        nested_use::CASES,
        nesting::CASES,
        next_timeout::CASES,
        unordered_results::CASES,
        calls::CASES,
        cancelling::CASES,
        killing::CASES,
        direct::CASES,
        direct_deaths::CASES,
        order_tasks::CASES,
        output::CASES,
        bounds::CASES,
        arena::CASES,
        worker_state::CASES,
        worker_exit::CASES,
        manager::CASES,
        manager_memory::CASES,
        manager_races::CASES,
        many_lives::CASES,
        volumes::CASES,
        waits_in_wakers::CASES,
        threads::CASES,
    ];
    files.into_iter().flatten()
}
