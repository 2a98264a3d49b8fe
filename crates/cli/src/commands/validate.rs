//! `lmbatch validate`: what run would say, offline.

use crate::args::ValidateArgs;
use crate::exit::{Exit, Failure};
use crate::{input, model, providers, settings, terminal, words};

pub(crate) async fn validate(args: Box<ValidateArgs>) -> Result<Exit, Failure> {
    let model = model::parse(&args.settings.model)?;
    let options = settings::options(&args.settings)?;
    let codec = model.provider.codec(providers::route(
        model.provider,
        args.settings.route.as_deref(),
    )?);
    let source = input::open(
        &args.input,
        &model,
        options,
        codec.capabilities().raw_endpoints,
        args.settings.attachments.as_deref(),
    )?;
    let name = args.input.display().to_string();
    let checked = lmbatch_engine::check(&*codec, Box::new(source))
        .map_err(|error| Failure::plan(error, &name))?;
    if let Some(warning) = &checked.warning {
        terminal::warn(warning);
    }
    terminal::say(&format!(
        "{name}: {} valid, {} to send",
        words::count(checked.requests, "request is", "requests are"),
        words::count(checked.bytes, "byte", "bytes")
    ));
    Ok(Exit::Usable)
}
