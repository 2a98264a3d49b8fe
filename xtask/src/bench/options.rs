//! Options of the bench, from its arguments.

use super::measure::text;

/// Cases to measure, and uses of the figures.
#[derive(Debug)]
pub(super) struct Options {
    /// Cases whose names contain this.
    pub(super) only: String,
    pub(super) rounds: usize,
    /// Another build of lmbatch, which is measured in the same rounds.
    pub(super) beside: Option<String>,
    pub(super) check: bool,
    pub(super) write: bool,
}

impl Options {
    pub(super) fn new(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            only: String::new(),
            rounds: 5,
            beside: None,
            check: false,
            write: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => options.only = value()?,
                "--rounds" => options.rounds = value()?.parse().map_err(text)?,
                "--beside" => options.beside = Some(value()?),
                "--attachments" => {}
                "--check" => options.check = true,
                "--write" => options.write = true,
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        Ok(options)
    }
}
