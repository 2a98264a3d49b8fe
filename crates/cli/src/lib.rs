//! The lmbatch command.
