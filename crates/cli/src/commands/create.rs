//! `lmbatch create`: creates a batch, and writes the handle with which any process can continue.

use std::path::Path;
use std::sync::Arc;

use lmbatch::Engine;

use super::{clock, connect, default_output, handle_path, planning, retrieve_command};
use crate::args::CreateArgs;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::target::{self, Target};
use crate::{model, remote, settings, terminal};

/// Returns the target of the handle, checked before anything is sent.
fn handle_target(path: &Path, force: bool) -> Result<Target, Failure> {
    let elsewhere = |failure: Failure| {
        let message = failure.message.replacen("output ", "--handle: ", 1);
        Failure::usage(message).hint("choose another path with --handle")
    };
    let target = Target::of(path).map_err(elsewhere)?;
    if !force && matches!(target, Target::File { exists: true, .. }) {
        let message = format!("handle file {} already exists", path.display());
        return Err(Failure::usage(message)
            .hint("choose another path with --handle, or overwrite it with --force"));
    }
    target.probe().map_err(elsewhere)?;
    Ok(target)
}

pub(crate) async fn create(args: Box<CreateArgs>) -> Result<Exit, Failure> {
    let model = model::parse(&args.settings.model)?;
    let route = model::route(model.provider, args.settings.route.as_deref())?;
    let codec = model.provider.codec(route);
    // Invalid options are reported before a key is needed and before the input is read.
    settings::options(&args.settings, &*codec, &model.name)?;
    let results = default_output(&args.input, &model, false);
    let handle = args.handle.clone().unwrap_or_else(|| handle_path(&results));
    if handle == Path::new("-") {
        return Err(Failure::usage(
            "--handle: the handle needs a file; standard output receives the batch id",
        ));
    }
    remote::local("--handle", &handle)?;
    let target = handle_target(&handle, args.force)?;
    let Target::File { path: file, .. } = &target else {
        return Err(Failure::usage(format!(
            "--handle: {} is not a regular file",
            handle.display()
        )));
    };
    let mut read = vec![("the input", args.input.as_path())];
    read.extend(args.settings.reads());
    target::distinct_as(&target, "handle", "--handle", &read)?;
    let provider = connect(model.provider, &args.connection, route)?;
    let progress = Arc::new(Progress::new(false));
    let engine = Engine::new(provider)
        .with_observer(progress.clone())
        .with_clock(clock());
    let plan = planning::plan(&args.input, &args.settings, &engine).await?;
    progress.keep_handle(plan.handle_parts()?, file.clone(), args.force);
    engine.provider().probe(&model.name).await?;
    let created = engine.create_batch(plan).await;
    progress.finish();
    let created = created?;
    terminal::out(created.batch.as_str());
    terminal::message("when it has ended:");
    let to = Some((&*handle, &*results));
    let command = retrieve_command(&created.batch, model.provider, &args.connection, to);
    terminal::message(&format!("  {command}"));
    Ok(Exit::Usable)
}
