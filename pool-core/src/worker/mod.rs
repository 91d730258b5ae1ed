//! What runs inside a worker process, from its start to its last chunk.
//!
//! * `config.rs`: the configuration that a worker gets at its start.
//! * `startup.rs`: what it does before its first chunk.
//! * `run.rs`: its loop: claim, run, report, sleep.
//! * `runtime.rs`: what it works with: arena, board, segments.
//! * `chunk.rs`: decodes items, calls the task, encodes results; `item_batch.rs`: what happens
//!   before and after each item; `results.rs`: writes the results into the arena.
//! * `function_record.rs`: how a function gets to a worker; `function_pointer.rs`: its address as a
//!   number.
//! * `hook_state.rs`: the user's state, made before the first chunk, and the exit record.
//! * `memory_limit.rs`: the limits of its private memory.
//! * `task_stack.rs`: the stack that tasks run on; `stack_overflow.rs`: notes that it overflowed.

mod chunk;
mod config;
mod function_pointer;
mod function_record;
mod hook_state;
mod item_batch;
mod memory_limit;
mod results;
mod run;
mod runtime;
mod stack_overflow;
mod startup;
mod task_stack;

pub(crate) use config::from_descriptors;
pub(crate) use config::{SharedMappings, WorkerConfig, WorkerFds, WorkerStart, arena_from};
pub(crate) use run::{failed_start_text, live, worker_process_name};
pub(crate) use task_stack::run_on_stack;
