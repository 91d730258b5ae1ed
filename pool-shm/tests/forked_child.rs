//! What a forked child sees.
fn main() {}
