//! `lmbatch run` beside a floor program: processor time, wall time, phases and peak memory.

mod attachments;
mod cases;
mod measure;
mod options;
mod table;
mod watch;

use self::cases::CASES;
pub(crate) use self::measure::measure_one;
use self::measure::{in_a_folder, serve};
use self::options::Options;
use crate::sh::run;

/// Runs the bench beside the floor program, with `--watch` that of many live batches, or with `--attachments` that
/// of many images.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    if args.iter().any(|arg| arg == "--watch") {
        return watch::watch();
    }
    let sends_images = args.iter().any(|arg| arg == "--attachments");
    let options = Options::new(args)?;
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
