//! The one state machine behind every lmbatch run.
