//! The `lmbatch` command.
fn main() {}
