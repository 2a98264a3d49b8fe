//! The engine over providers in memory and a clock that only the test moves: one program for all files of this folder but
//! `allocations.rs`, which counts the allocations of its program. `cargo xtask tidy` checks that each file is named here.

mod account;
mod alone;
mod bounds;
mod budget;
mod calls;
mod cancelled;
mod crash;
mod dying;
mod events;
mod interleave;
mod layout;
mod many;
mod narrow;
mod operations;
mod paused;
mod pauses;
mod planning;
mod prepared;
mod records;
mod retention;
mod retrieve;
mod run;
mod simulation;
mod slow;
mod spools;
mod sweep;
mod temporary;
mod wait_all;
