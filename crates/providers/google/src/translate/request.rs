//! Writes a `GenerateContentRequest` (google-genai 3.4.0, 2026-11).

use lmbatch_core::schemas::SentSchema;
use lmbatch_core::{
    CallIds, FollowUp, GenerateView, Hyperparameters, Object, RequestError, Role, ToolChoice,
    ToolNames, append_items, check_call_pairs, replace_member, write_list,
};

use super::models::Thinking;
use super::names::Names;
use super::{content, models};
use crate::config::SafetySetting;

/// Appends a body with an answer and a message of the user at the end of its `contents`, which are spelled the same on
/// both routes. Signatures of thoughts are left out: they are demanded for function calls only.
pub(super) fn follow_up(
    body: &str,
    turns: &FollowUp<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let answer = turns.text();
    replace_member(body, "contents", out, |list, out| {
        append_items(list, out, |out| {
            for (place, (role, text)) in [("model", &*answer), ("user", turns.message)]
                .into_iter()
                .enumerate()
            {
                if place > 0 {
                    out.push(b',');
                }
                let mut entry = Object::new(out);
                entry.str("role", role);
                let parts = entry.key("parts");
                parts.push(b'[');
                let mut part = Object::new(parts);
                part.str("text", text);
                part.end();
                parts.push(b']');
                entry.end();
            }
        })
    })
}

/// Writer of requests for a route.
pub(super) struct Writer<'w> {
    pub(super) names: Names,
    /// True if schemas are sent unchanged.
    pub(super) json_schema: bool,
    pub(super) safety_settings: &'w [SafetySetting],
}

/// "Must start with a letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores, dots, colons and dashes,
/// with a maximum length of 128" (discovery document, 2026; measured at 128 and 129, 2026-10-05).
const TOOL_NAMES: ToolNames = ToolNames {
    max_len: 128,
    punctuation: "_-.:",
    begins_with_letter: true,
};

impl Writer<'_> {
    pub(super) fn write(
        &self,
        view: &GenerateView<'_>,
        schema: Option<&SentSchema>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        view.hyperparameters.check_numbers()?;
        TOOL_NAMES.check("google", view)?;
        // "the number of function response parts is equal to the number of function call parts" (error of the API,
        // crewAI 4693, 2026-03-04).
        check_call_pairs("google", &view.messages)?;
        let ids = CallIds::of(&view.messages, content::CALL_IDS);
        let joined = ids.apply(view);
        let view = joined.as_ref().unwrap_or(view);
        let at = out.len();
        let mut body = Object::new(out);
        self.system(view, &mut body)?;
        self.contents(view, body.key("contents"))?;
        self.tools(view, &mut body)?;
        self.safety(&mut body)?;
        self.generation_config(view, schema, &mut body)?;
        body.end();
        let extra = &view.hyperparameters.extra;
        if extra.is_empty() {
            return Ok(());
        }
        // The same parameter may be set in both spellings: the later one takes precedence.
        let mut own = Hyperparameters::default();
        for (name, value) in extra {
            let one = Hyperparameters {
                extra: [(self.names.spell(name), self.names.respell(value))].into(),
                ..Hyperparameters::default()
            };
            own = one.with_defaults(&own);
        }
        own.merge_into(at, out)
    }

    /// Moves system messages to the front of the conversation. Empty text is refused by the
    /// parser of files (comment of a client, 2026-02).
    fn system(&self, view: &GenerateView<'_>, body: &mut Object<'_>) -> Result<(), RequestError> {
        let texts = view.system_texts("google")?;
        if texts.is_empty() {
            return Ok(());
        }
        let name = self.names.pick("systemInstruction", "system_instruction");
        let mut instruction = Object::new(body.key(name));
        write_list(instruction.key("parts"), texts, |out, text| {
            let mut part = Object::new(out);
            part.text("text", text);
            part.end();
            Ok::<(), RequestError>(())
        })?;
        instruction.end();
        Ok(())
    }

    fn contents(&self, view: &GenerateView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        let mut turns = view
            .messages
            .iter()
            .filter(|turn| turn.role != Role::System)
            .peekable();
        if turns.peek().is_none() {
            return Err(RequestError::invalid_input(
                "google: a conversation needs a message besides the system's",
            ));
        }
        write_list(out, turns, |out, turn| {
            let mut entry = Object::new(out);
            let role = if turn.role == Role::Assistant {
                "model"
            } else {
                "user"
            };
            entry.str("role", role);
            content::write(self.names, view, turn, entry.key("parts"))?;
            entry.end();
            Ok(())
        })
    }

    fn tools(&self, view: &GenerateView<'_>, body: &mut Object<'_>) -> Result<(), RequestError> {
        let names = self.names;
        if !view.tools.is_empty() {
            let out = body.key("tools");
            out.push(b'[');
            let mut tool = Object::new(out);
            let declarations =
                tool.key(names.pick("functionDeclarations", "function_declarations"));
            write_list(declarations, view.tools, |out, tool| {
                let mut entry = Object::new(out);
                entry.str("name", &tool.name);
                entry.some("description", tool.description.as_deref());
                let parameters = names.pick("parametersJsonSchema", "parameters_json_schema");
                tool.parameters.as_json().write(entry.key(parameters));
                entry.end();
                Ok::<(), RequestError>(())
            })?;
            tool.end();
            out.push(b']');
        }
        // A tool has no `strict` of its own. "VALIDATED: … will validate function calls with constrained decoding"
        // holds for all tools together; "ANY" constrains calls already (generativelanguage v1beta, 2026).
        let is_strict = view.tools.iter().any(|tool| tool.strict == Some(true));
        let choice = match view.tool_choice {
            None if is_strict => Some(&ToolChoice::Auto),
            choice => choice,
        };
        if let Some(choice) = choice {
            let (mode, only) = match choice {
                ToolChoice::Auto if is_strict => ("VALIDATED", None),
                ToolChoice::Auto => ("AUTO", None),
                ToolChoice::None => ("NONE", None),
                ToolChoice::Required => ("ANY", None),
                ToolChoice::Tool(name) => ("ANY", Some([name])),
            };
            let mut outer = Object::new(body.key(names.pick("toolConfig", "tool_config")));
            let config = names.pick("functionCallingConfig", "function_calling_config");
            let mut config = Object::new(outer.key(config));
            config.str("mode", mode);
            let allowed = names.pick("allowedFunctionNames", "allowed_function_names");
            config.some(allowed, only);
            config.end();
            outer.end();
        }
        Ok(())
    }

    fn safety(&self, body: &mut Object<'_>) -> Result<(), RequestError> {
        if self.safety_settings.is_empty() {
            return Ok(());
        }
        let name = self.names.pick("safetySettings", "safety_settings");
        write_list(body.key(name), self.safety_settings, |out, setting| {
            let mut entry = Object::new(out);
            entry.str("category", &setting.category);
            entry.str("threshold", &setting.threshold);
            entry.end();
            Ok(())
        })
    }

    fn generation_config(
        &self,
        view: &GenerateView<'_>,
        schema: Option<&SentSchema>,
        body: &mut Object<'_>,
    ) -> Result<(), RequestError> {
        let (names, parameters) = (self.names, &*view.hyperparameters);
        let asked = view.thinking.copied().unwrap_or_default();
        let model = view.model.decode();
        let thinking = models::thinking(&model, asked.effort, asked.budget_tokens)?;
        let is_set = parameters.max_output_tokens.is_some()
            || parameters.temperature.is_some()
            || parameters.top_p.is_some()
            || parameters.top_k.is_some()
            || parameters.stop.is_some()
            || parameters.seed.is_some()
            || parameters.presence_penalty.is_some()
            || parameters.frequency_penalty.is_some();
        if !is_set && thinking.is_none() && schema.is_none() {
            return Ok(());
        }
        let name = names.pick("generationConfig", "generation_config");
        let mut config = Object::new(body.key(name));
        config.some(
            names.pick("maxOutputTokens", "max_output_tokens"),
            parameters.max_output_tokens,
        );
        config.some("temperature", parameters.temperature);
        config.some(names.pick("topP", "top_p"), parameters.top_p);
        config.some(names.pick("topK", "top_k"), parameters.top_k);
        if let Some(stop) = &parameters.stop {
            // "stopSequences: up to 5".
            if stop.len() > 5 {
                return Err(RequestError::unsupported(
                    "google takes at most 5 stop texts",
                ));
            }
            config.value(names.pick("stopSequences", "stop_sequences"), stop);
        }
        if let Some(seed) = parameters.seed {
            // "seed: int32".
            let seed = i32::try_from(seed)
                .map_err(|_| RequestError::unsupported("google takes seeds of 32 bits only"))?;
            config.value("seed", seed);
        }
        config.some(
            names.pick("presencePenalty", "presence_penalty"),
            parameters.presence_penalty,
        );
        config.some(
            names.pick("frequencyPenalty", "frequency_penalty"),
            parameters.frequency_penalty,
        );
        if let Some(sent) = schema {
            let mime = names.pick("responseMimeType", "response_mime_type");
            config.str(mime, "application/json");
            if let Some(schema) = &sent.schema {
                let name = match self.json_schema {
                    true => names.pick("responseJsonSchema", "response_json_schema"),
                    false => names.pick("responseSchema", "response_schema"),
                };
                schema.as_json().write(config.key(name));
            }
        }
        if let Some(thinking) = thinking {
            let name = names.pick("thinkingConfig", "thinking_config");
            let mut entry = Object::new(config.key(name));
            match thinking {
                Thinking::Level(level) => {
                    entry.str(names.pick("thinkingLevel", "thinking_level"), level);
                }
                Thinking::Budget(tokens) => {
                    entry.value(names.pick("thinkingBudget", "thinking_budget"), tokens);
                }
            }
            entry.end();
        }
        config.end();
        Ok(())
    }
}
