//! `lmbatch schema`: prints the JSON Schemas of input, output and reports.

use crate::args::SchemaOf;
use crate::exit::{Exit, Failure};
use crate::terminal;

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    terminal::out(
        match of {
            SchemaOf::Input => lmbatch_lines::INPUT_SCHEMA,
            SchemaOf::Output => lmbatch_lines::OUTPUT_SCHEMA,
            SchemaOf::Summary => include_str!("../../schemas/summary.json"),
            SchemaOf::DryRun => include_str!("../../schemas/dry-run.json"),
            SchemaOf::Estimate => include_str!("../../schemas/estimate.json"),
        }
        .trim_end(),
    );
    Ok(Exit::Usable)
}
