//! The one gate of this workspace, for people and for CI alike.
fn main() {}
