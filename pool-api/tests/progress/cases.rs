//! All cases of this program.

use crate::{bars, case::Case, reports};

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [reports::CASES, bars::CASES].into_iter().flatten()
}
