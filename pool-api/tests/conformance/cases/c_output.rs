//! Output of tasks by the C library, whose standard output is buffered in blocks where it is no
//! terminal.

use std::{ffi::CString, fs};

use pool_api::StartMethod;

use crate::{
    case::{Case, Outcome, pool},
    sys,
};

pub(crate) const CASES: &[Case] =
    &[Case::new("lines_of_c_are_out_before_the_results", before_the_results).processes()];

fn before_the_results(method: StartMethod) -> Outcome {
    // The runner has made standard output a file.
    let output = fs::read_link("/proc/self/fd/1")?;
    let pool = pool(method, 2)?;
    let lines = pool.tasks(0..20u64).chunk_size(1).map(|n| {
        let line = format!("printed by C, line {n}.");
        sys::print_by_c(&CString::new(line.clone()).expect("no NUL"));
        line
    })?;
    let printed = fs::read_to_string(&output)?;
    for line in &lines {
        assert_eq!(printed.matches(line.as_str()).count(), 1, "{line}");
    }
    // Nor is output lost with the workers.
    drop(pool);
    assert_eq!(fs::read_to_string(&output)?.matches("printed by C").count(), 20);
    Ok(())
}
