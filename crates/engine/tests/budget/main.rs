//! Cost limit of a run: reservations before creates, settlement by usage, and a bill that never exceeds the limit.

#[path = "../dying/mod.rs"]
mod dying;
mod rules;
mod simulated;
mod vendor;
mod world;
