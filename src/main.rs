//! The `niah` binary.

fn main() {}
