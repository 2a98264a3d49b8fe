//! What else an adapter fails that breaks one clause: clauses that cannot be kept without it.

pub(crate) const IMPLIED: &[(&str, &[&str])] = &[
];
