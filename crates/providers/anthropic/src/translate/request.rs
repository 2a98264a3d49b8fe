//! Writes the params of a message (SDK 2.12.0, 2026-11).

use lmbatch_core::schemas::SentSchema;
use lmbatch_core::{
    CallIds, ContentView, FollowUp, GenerateView, MessageView, Object, RequestError, Role,
    ToolChoice, ToolNames, append_items, check_call_pairs, replace_member, write_list,
};

use super::models::Thinking;
use super::{content, models};

/// Returns the names of the sampling parameters that the request sets.
pub(super) fn sampling(view: &GenerateView<'_>) -> Vec<&'static str> {
    let parameters = &*view.hyperparameters;
    let set = [
        ("temperature", parameters.temperature.is_some()),
        ("top_p", parameters.top_p.is_some()),
        ("top_k", parameters.top_k.is_some()),
    ];
    let own = set
        .into_iter()
        .filter_map(|(name, set)| (set || parameters.extra.contains_key(name)).then_some(name));
    own.collect()
}

/// "tools.16.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'" (error of the API, 2025-08-14).
const TOOL_NAMES: ToolNames = ToolNames {
    max_len: 128,
    punctuation: "_-",
    begins_with_letter: false,
};

pub(super) fn write(
    view: &GenerateView<'_>,
    schema: Option<&SentSchema>,
    default_max_tokens: u32,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    TOOL_NAMES.check("anthropic", view)?;
    // "tool_use ids were found without tool_result blocks immediately after" (kosong 45, 2025-12-01) and "unexpected
    // tool_use_id found in tool_result blocks" (errors of the API; public threads of 2025 and 2026).
    check_call_pairs("anthropic", &view.messages)?;
    let ids = CallIds::of(&view.messages, content::CALL_IDS);
    let joined = ids.apply(view);
    let view = joined.as_ref().unwrap_or(view);
    let parameters = &*view.hyperparameters;
    for (name, set) in [
        ("seed", parameters.seed.is_some()),
        ("presence_penalty", parameters.presence_penalty.is_some()),
        ("frequency_penalty", parameters.frequency_penalty.is_some()),
    ] {
        if set {
            return Err(RequestError::unsupported(format!(
                "anthropic has no {name}"
            )));
        }
    }
    let model = view.model.decode();
    let asked = view.thinking.copied().unwrap_or_default();
    let thinking = models::thinking(&model, asked.effort, asked.budget_tokens)?;
    let mut body = Object::new(out);
    body.text("model", view.model);
    let max_tokens = max_tokens(
        parameters.max_output_tokens,
        default_max_tokens,
        thinking.as_ref(),
    )?;
    body.value("max_tokens", max_tokens);
    system(view, &mut body)?;
    messages(view, &model, body.key("messages"))?;
    if !view.tools.is_empty() {
        write_list(body.key("tools"), view.tools, |out, tool| {
            let mut entry = Object::new(out);
            entry.str("name", &tool.name);
            entry.some("description", tool.description.as_deref());
            tool.parameters.as_json().write(entry.key("input_schema"));
            entry.some("strict", tool.strict);
            entry.end();
            Ok(())
        })?;
    }
    if let Some(choice) = view.tool_choice {
        tool_choice(choice, body.key("tool_choice"));
    }
    let effort = thinking
        .as_ref()
        .and_then(|thinking| think(thinking, &mut body));
    let schema = schema.and_then(|sent| sent.schema.as_ref());
    if effort.is_some() || schema.is_some() {
        let mut config = Object::new(body.key("output_config"));
        config.some("effort", effort);
        if let Some(schema) = schema {
            let mut format = Object::new(config.key("format"));
            format.str("type", "json_schema");
            schema.as_json().write(format.key("schema"));
            format.end();
        }
        config.end();
    }
    body.some("temperature", parameters.temperature);
    body.some("top_p", parameters.top_p);
    body.some("top_k", parameters.top_k);
    body.some("stop_sequences", parameters.stop.as_ref());
    body.end();
    Ok(())
}

/// Maximum output tokens, plus the thinking budget if only that is set.
fn max_tokens(
    asked: Option<u32>,
    default: u32,
    thinking: Option<&Thinking>,
) -> Result<u32, RequestError> {
    match (asked, thinking) {
        // "budget_tokens must be less than max_tokens" (SDK 2.12.0).
        (Some(most), Some(Thinking::Budget(budget))) if most <= *budget => {
            Err(RequestError::invalid_input(format!(
                "anthropic: max_output_tokens ({most}) must be more than the {budget} tokens for thinking"
            )))
        }
        (Some(most), _) => Ok(most),
        (None, Some(Thinking::Budget(budget))) => Ok(default.saturating_add(*budget)),
        (None, _) => Ok(default),
    }
}

/// Writes the `thinking` member; the effort is written separately.
fn think(thinking: &Thinking, body: &mut Object<'_>) -> Option<&'static str> {
    let mut entry = Object::new(body.key("thinking"));
    let mut effort = None;
    match thinking {
        Thinking::Disabled => entry.str("type", "disabled"),
        Thinking::Adaptive(level) => {
            entry.str("type", "adaptive");
            effort = Some(*level);
        }
        Thinking::Budget(tokens) => {
            entry.str("type", "enabled");
            entry.value("budget_tokens", tokens);
        }
    }
    entry.end();
    effort
}

/// Moves system messages to the front of the conversation.
fn system(view: &GenerateView<'_>, body: &mut Object<'_>) -> Result<(), RequestError> {
    let texts = view.system_texts("anthropic")?;
    match texts.as_slice() {
        [] => {}
        [text] => body.text("system", *text),
        texts => write_list(body.key("system"), texts, |out, text| {
            content::text(*text, out);
            Ok::<(), RequestError>(())
        })?,
    }
    Ok(())
}

fn messages(view: &GenerateView<'_>, model: &str, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let turns = || {
        view.messages
            .iter()
            .filter(|turn| turn.role != Role::System)
    };
    match turns().next_back() {
        None => {
            return Err(RequestError::invalid_input(
                "anthropic: a conversation needs a message besides the system's",
            ));
        }
        Some(last) if last.role == Role::Assistant => models::check_prefill(model)?,
        Some(_) => {}
    }
    write_list(out, turns(), message)
}

/// Appends params with an answer and a message of the user at the end of their `messages`. Thinking is left out: blocks
/// of earlier turns are needed for tool calls only. An answer after a prefill is joined with it, since "consecutive
/// user or assistant turns are combined" (API reference, 2026-08).
pub(super) fn follow_up(
    body: &str,
    turns: &FollowUp<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let answer = turns.text();
    let texts = [(Role::Assistant, &*answer), (Role::User, turns.message)];
    replace_member(body, "messages", out, |list, out| {
        append_items(list, out, |out| {
            for (place, (role, text)) in texts.into_iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                let mut message = Object::new(out);
                message.str("role", role.as_str());
                message.str("content", text);
                message.end();
            }
        })
    })
}

fn message(out: &mut Vec<u8>, turn: &MessageView<'_>) -> Result<(), RequestError> {
    let mut message = Object::new(out);
    message.str("role", turn.role.as_str());
    if let [ContentView::Text(text)] = turn.contents.as_slice()
        && !text.is_empty()
    {
        message.text("content", *text);
    } else {
        // "tool_result blocks must come first" in a user's message (tool use page, 2026-08).
        let is_result = |content: &&ContentView<'_>| matches!(content, ContentView::ToolResult(_));
        let results = turn.contents.iter().filter(is_result);
        let others = turn.contents.iter().filter(|content| !is_result(content));
        content::write(turn.role, results.chain(others), message.key("content"))?;
    }
    message.end();
    Ok(())
}

fn tool_choice(choice: &ToolChoice, out: &mut Vec<u8>) {
    let mut entry = Object::new(out);
    match choice {
        ToolChoice::Auto => entry.str("type", "auto"),
        ToolChoice::None => entry.str("type", "none"),
        ToolChoice::Required => entry.str("type", "any"),
        ToolChoice::Tool(name) => {
            entry.str("type", "tool");
            entry.str("name", name);
        }
    }
    entry.end();
}
