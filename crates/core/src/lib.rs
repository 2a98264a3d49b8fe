//! The words of lmbatch: types, traits and errors that every other crate speaks.
