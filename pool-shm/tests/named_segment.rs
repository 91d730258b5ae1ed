//! Named segments.
fn main() {}
