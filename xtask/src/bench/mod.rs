//! `lmbatch run` beside a floor program: processor time, wall time, phases and peak memory.

mod attachments;
mod cases;
mod measure;
mod table;
mod watch;

use self::cases::CASES;
pub(crate) use self::measure::measure_one;
use self::measure::{in_a_folder, serve};
use crate::sh::run;

/// What is measured, and what is done with it.
#[derive(Debug)]
struct Options {
    /// Cases whose names contain this.
    only: String,
    rounds: usize,
    /// Another build of lmbatch, which is measured in the same rounds.
    beside: Option<String>,
    check: bool,
    write: bool,
}

/// Runs the bench beside the floor program, with `--watch` that of many live batches, or with `--attachments` that
/// of many images.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    if args.iter().any(|arg| arg == "--watch") {
        return watch::watch();
    }
    let sends_images = args.iter().any(|arg| arg == "--attachments");
    let options = options(args)?;
    let packages = ["--package", "lmbatch-cli", "--package", "lmbatch-tests"];
    run(
        "cargo",
        &[&["build", "--locked", "--release"], &packages[..]].concat(),
    )?;
    if sends_images {
        return attachments::attachments();
    }
    let measured = in_a_folder(|folder| {
        let (_server, url) = serve(&["target/release/fake-provider"])?;
        let mut measured = Vec::new();
        for case in CASES
            .iter()
            .filter(|case| case.name().contains(&options.only))
        {
            let one = case.measure(folder, &url, &options)?;
            eprint!("{}", table::rows(&one));
            measured.push(one);
        }
        Ok(measured)
    })?;
    let table = table::table(&measured);
    println!("{table}");
    if options.write {
        table::write(&table)?;
    }
    let beyond: Vec<String> = measured
        .iter()
        .filter_map(cases::Measured::beyond)
        .collect();
    match beyond.is_empty() || !options.check {
        true => Ok(()),
        false => Err(format!("beyond what it must be:\n{}", beyond.join("\n"))),
    }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
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
            "--rounds" => options.rounds = value()?.parse().map_err(measure::text)?,
            "--beside" => options.beside = Some(value()?),
            "--attachments" => {}
            "--check" => options.check = true,
            "--write" => options.write = true,
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}
