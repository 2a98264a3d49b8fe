//! Target of every translation of a batch line, and the checks that the readers of all dialects share.

use lmbatch_core::{ContentView, GenerateOptions, Json, MessageView, RequestError, Role, Text};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::bad;
use crate::values::{exact, in_words};

/// Request of a batch line, free of the terms of its provider.
#[derive(Default)]
pub(crate) struct Translated<'a> {
    pub(crate) system: Option<Text<'a>>,
    pub(crate) messages: Vec<MessageView<'a>>,
    pub(crate) options: GenerateOptions,
}

/// Refuses a file stored at `owner`, which the member `at` names.
pub(crate) fn file_of(owner: &str, at: &str) -> RequestError {
    RequestError::unsupported(format!(
        "{at}: a file at {owner} cannot be reached by another provider"
    ))
}

/// Reads the member `at` as a type, with all its numbers exact.
pub(crate) fn typed<T: DeserializeOwned>(value: Json<'_>, at: &str) -> Result<T, RequestError> {
    exact(value, at)?;
    value
        .parse()
        .map_err(|error: serde_json::Error| bad(format!("{at}: {}", in_words(&error))))
}

/// Returns the model that the body `at` names, if it names one.
pub(crate) fn named_model<'a>(body: Json<'a>, at: &str) -> Result<Option<Text<'a>>, RequestError> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Option<Json<'a>>,
    }
    if !body.as_str().trim_start().starts_with('{') {
        return Err(bad(format!("{at} is not a JSON object")));
    }
    let named = body.parse::<Named<'a>>().map_err(|error| {
        match error.to_string().starts_with("duplicate field") {
            true => bad(format!("{at} names its model twice")),
            false => bad(format!("{at}: {}", in_words(&error))),
        }
    })?;
    let model = named.model.map(|model| model.parse::<Text<'a>>());
    let model = model.transpose();
    model.map_err(|_| bad(format!("the model of {at} is not a string")))
}

/// Returns the model that the body `at` names, which must be the model of the run.
pub(crate) fn model<'a>(body: Json<'a>, at: &str, wanted: &str) -> Result<Text<'a>, RequestError> {
    let model = named_model(body, at)?;
    let model = model.ok_or_else(|| bad(format!("{at} names no model")))?;
    if model.decode() != wanted {
        return Err(other_model(at, &model.decode(), wanted));
    }
    Ok(model)
}

/// Refuses a body whose model is not that of the run.
pub(crate) fn other_model(at: &str, model: &str, wanted: &str) -> RequestError {
    let at = at.trim_start_matches("the ");
    bad(format!(
        "{at}.model is {model:?}, but the run's model is {wanted:?}"
    ))
}

/// Puts a message before all others.
pub(crate) fn prepend<'a>(messages: &mut Vec<MessageView<'a>>, first: Option<MessageView<'a>>) {
    if let Some(first) = first {
        messages.insert(0, first);
    }
}

/// Returns a message of texts; `None` without texts.
pub(crate) fn texts_of<'a>(
    role: Role,
    texts: impl Iterator<Item = Text<'a>>,
) -> Option<MessageView<'a>> {
    let contents: Vec<_> = texts.map(ContentView::Text).collect();
    (!contents.is_empty()).then_some(MessageView { role, contents })
}

/// Drops messages that hold only thoughts, which are encrypted for one provider and unreadable for another.
pub(crate) fn drop_thoughts(messages: &mut Vec<MessageView<'_>>) {
    messages.retain(|message| !is_only_thought(message));
}

/// Reports whether a message holds only thoughts.
pub(crate) fn is_only_thought(message: &MessageView<'_>) -> bool {
    let mut contents = message.contents.iter();
    contents.all(|content| matches!(content, ContentView::Thinking(_)))
}
