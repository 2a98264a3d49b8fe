//! Options of an answer. They are set for an invoker, a call and a request; each is merged over the one
//! before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{RequestError, ResponseSchema, SchemaMode, Tool, ToolChoice, UnknownWord};

/// Sampling parameters and limits of an answer. The provider's default applies to each that is `None`.
///
/// JSON members that this version does not know are ignored, so that it reads what a later one has stored. Use
/// [`set`](Self::set) for input that a person wrote.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Hyperparameters;
/// let defaults = Hyperparameters { temperature: Some(0.9), max_output_tokens: Some(300), ..Default::default() };
/// let call = Hyperparameters { temperature: Some(0.1), ..Default::default() };
/// let merged = call.with_defaults(&defaults);
/// assert_eq!((merged.temperature, merged.max_output_tokens), (Some(0.1), Some(300)));
/// assert_eq!(serde_json::to_string(&merged)?, r#"{"max_output_tokens":300,"temperature":0.1}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hyperparameters {
    /// Largest number of output tokens, reasoning (thinking) included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature, 0.0 to 2.0 (some providers: 1.0); higher is more random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling (top-p), 0.0 to 1.0: the model draws from the most probable tokens whose
    /// probabilities add up to this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Top-k sampling: the model draws from this number of the most probable tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Stop sequences: texts at which the answer ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// Seed for reproducible sampling, where the provider supports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Presence penalty, usually -2.0 to 2.0: positive values discourage tokens that have appeared in the
    /// answer at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Frequency penalty, usually -2.0 to 2.0: positive values discourage tokens in proportion to how often
    /// they have appeared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Parameters that only this provider has, merged into the body of the request last.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Value>,
}

impl fmt::Debug for Hyperparameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stop sequences and extra parameters may hold the caller's content: only their number is shown.
        f.debug_struct("Hyperparameters")
            .field("max_output_tokens", &self.max_output_tokens)
            .field("temperature", &self.temperature)
            .field("top_p", &self.top_p)
            .field("top_k", &self.top_k)
            .field("stop", &self.stop.as_ref().map(Vec::len))
            .field("seed", &self.seed)
            .field("presence_penalty", &self.presence_penalty)
            .field("frequency_penalty", &self.frequency_penalty)
            .field("extra", &self.extra.len())
            .finish_non_exhaustive()
    }
}

impl Hyperparameters {
    /// Creates hyperparameters of which none is set.
    ///
    /// ```
    /// use lmbatch_core::Hyperparameters;
    /// let precise = Hyperparameters::new().with_temperature(0.0).with_seed(7).with_stop(["END"]);
    /// assert_eq!((precise.temperature, precise.seed), (Some(0.0), Some(7)));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets the largest number of output tokens, reasoning (thinking) included.
    pub fn with_max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }
    /// Sets the sampling temperature, 0.0 to 2.0 (some providers: 1.0); higher is more random.
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }
    /// Sets the share of probability for nucleus sampling (top-p), 0.0 to 1.0.
    pub fn with_top_p(mut self, share: f64) -> Self {
        self.top_p = Some(share);
        self
    }
    /// Sets the number of the most probable tokens for top-k sampling.
    pub fn with_top_k(mut self, tokens: u32) -> Self {
        self.top_k = Some(tokens);
        self
    }
    /// Sets the stop sequences: texts at which the answer ends.
    pub fn with_stop(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.stop = Some(texts.into_iter().map(Into::into).collect());
        self
    }
    /// Sets the seed for reproducible sampling, where the provider supports it.
    pub fn with_seed(mut self, seed: i64) -> Self {
        self.seed = Some(seed);
        self
    }
    /// Sets the presence penalty, usually -2.0 to 2.0.
    pub fn with_presence_penalty(mut self, penalty: f64) -> Self {
        self.presence_penalty = Some(penalty);
        self
    }
    /// Sets the frequency penalty, usually -2.0 to 2.0.
    pub fn with_frequency_penalty(mut self, penalty: f64) -> Self {
        self.frequency_penalty = Some(penalty);
        self
    }
    /// Sets a parameter that only the provider has, under its name in the body of the request.
    ///
    /// ```
    /// use lmbatch_core::Hyperparameters;
    /// let flex = Hyperparameters::new().with_extra("service_tier", "flex");
    /// assert_eq!(flex.extra["service_tier"], "flex");
    /// ```
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }

    /// Returns these hyperparameters, completed by those of `base`. Extra parameters that are objects are
    /// merged member by member.
    pub fn with_defaults(&self, base: &Self) -> Self {
        let mut extra = base.extra.clone();
        for (key, value) in &self.extra {
            merge(extra.entry(key.clone()).or_insert(Value::Null), value);
        }
        Self {
            max_output_tokens: self.max_output_tokens.or(base.max_output_tokens),
            temperature: self.temperature.or(base.temperature),
            top_p: self.top_p.or(base.top_p),
            top_k: self.top_k.or(base.top_k),
            stop: self.stop.clone().or_else(|| base.stop.clone()),
            seed: self.seed.or(base.seed),
            presence_penalty: self.presence_penalty.or(base.presence_penalty),
            frequency_penalty: self.frequency_penalty.or(base.frequency_penalty),
            extra,
        }
    }

    /// Sets one hyperparameter by name. A name that is not a field, or a dotted path such as `metadata.note`,
    /// is set in the extra parameters, and so are the members of `extra` and a path that begins with `extra.`.
    ///
    /// # Errors
    /// [`ParameterError`] for a value of the wrong type, and for a dotted name that leads through something other
    /// than an object.
    pub fn set(&mut self, path: &str, value: Value) -> Result<(), ParameterError> {
        match path {
            "max_output_tokens" | "max_tokens" => {
                self.max_output_tokens = Some(typed(path, value)?)
            }
            "temperature" => self.temperature = Some(typed(path, value)?),
            "top_p" => self.top_p = Some(typed(path, value)?),
            "top_k" => self.top_k = Some(typed(path, value)?),
            "stop" => {
                let list = if value.is_string() {
                    Value::Array(vec![value])
                } else {
                    value
                };
                self.stop = Some(typed(path, list)?);
            }
            "seed" => self.seed = Some(typed(path, value)?),
            "presence_penalty" => self.presence_penalty = Some(typed(path, value)?),
            "frequency_penalty" => self.frequency_penalty = Some(typed(path, value)?),
            "extra" => {
                let Value::Object(members) = value else {
                    return Err(ParameterError("extra: not an object".to_owned()));
                };
                for (name, value) in &members {
                    merge(self.extra.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
            _ => return self.set_extra(path.strip_prefix("extra.").unwrap_or(path), &value),
        }
        Ok(())
    }

    /// Merges the extra parameters into the JSON object that starts at byte `at` of `out`. They add members
    /// to it and to objects inside it, and replace numbers and booleans. All other bytes stay unchanged.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where a parameter would replace the model,
    /// or a text, list or object that the request itself sets, such as its messages.
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for `stream`, which batches do not support.
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a field that is infinite or not a number.
    pub fn merge_into(&self, at: usize, out: &mut Vec<u8>) -> Result<(), RequestError> {
        self.check_numbers()?;
        if self.extra.is_empty() {
            return Ok(());
        }
        if self.extra.contains_key("model") {
            return Err(RequestError::invalid_input(
                "the parameter \"model\" cannot be set here: the model is chosen for the whole batch",
            ));
        }
        if self
            .extra
            .get("stream")
            .is_some_and(|stream| *stream != false && !stream.is_null())
        {
            return Err(RequestError::unsupported(
                "the parameter \"stream\": a batch cannot stream",
            ));
        }
        let body = out.split_off(at);
        let body = std::str::from_utf8(&body).map_err(|_| not_merged())?;
        let members = self
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        merge_members(body, members, "", out)
    }

    /// Checks that every number can be written in JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the name of a field that is infinite or not a
    /// number; JSON would hold null in its place.
    pub fn check_numbers(&self) -> Result<(), RequestError> {
        for (name, value) in [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(RequestError::invalid_input(format!(
                    "{name} is {value}; it must be a finite number"
                )));
            }
        }
        Ok(())
    }

    fn set_extra(&mut self, path: &str, value: &Value) -> Result<(), ParameterError> {
        if path.split('.').any(str::is_empty) {
            return Err(ParameterError(format!("{path:?} has an empty part")));
        }
        let mut keys = path.split('.');
        let first = keys.next().unwrap_or_default();
        let mut at = self.extra.entry(first.to_owned()).or_insert(Value::Null);
        let mut passed = first.to_owned();
        for key in keys {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            let Value::Object(members) = at else {
                return Err(ParameterError(format!(
                    "{path:?} cannot be set: {passed:?} is not an object"
                )));
            };
            at = members.entry(key.to_owned()).or_insert(Value::Null);
            passed = format!("{passed}.{key}");
        }
        merge(at, value);
        Ok(())
    }
}

/// Error of a hyperparameter that cannot be set: its name or its value is wrong.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Hyperparameters;
/// let error = Hyperparameters::default().set("seed", "one".into()).unwrap_err();
/// assert!(error.to_string().starts_with("seed: invalid type"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParameterError(String);

fn typed<T: serde::de::DeserializeOwned>(path: &str, value: Value) -> Result<T, ParameterError> {
    serde_json::from_value(value).map_err(|error| ParameterError(format!("{path}: {error}")))
}

fn not_merged() -> RequestError {
    RequestError::invalid_input("the extra parameters could not be merged into the body")
}

/// Writes an object with members merged into it. Members that are not named in `over` stay byte for byte.
fn merge_members<'o>(
    base: &str,
    over: impl Iterator<Item = (&'o str, &'o Value)>,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let InOrder(base) = serde_json::from_str(base).map_err(|_| not_merged())?;
    let mut over: Vec<(&str, &Value)> = over.collect();
    let mut separator = b'{';
    let mut begin = |name: &str, out: &mut Vec<u8>| {
        out.push(std::mem::replace(&mut separator, b','));
        crate::write_string(name, out);
        out.push(b':');
    };
    for (name, raw) in base {
        begin(&name, out);
        match over.iter().position(|(over, _)| *over == name) {
            Some(place) => {
                let (_, value) = over.remove(place);
                merge_member(raw.get(), value, &format!("{path}{name}"), out)?;
            }
            None => out.extend_from_slice(raw.get().as_bytes()),
        }
    }
    for (name, value) in over {
        begin(name, out);
        out.extend_from_slice(value.to_string().as_bytes());
    }
    // The merged object has no members.
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn merge_member(
    base: &str,
    over: &Value,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let is_object = base.starts_with('{');
    if let (Value::Object(over), true) = (over, is_object) {
        let over = over.iter().map(|(name, value)| (name.as_str(), value));
        return merge_members(base, over, &format!("{path}."), out);
    }
    let over = over.to_string();
    let is_content = base.starts_with(['{', '[', '"']);
    if is_content && over != base {
        return Err(RequestError::invalid_input(format!(
            "the parameter {path:?} would replace a value that lmbatch writes from the request; set it in the request"
        )));
    }
    out.extend_from_slice(over.as_bytes());
    Ok(())
}

/// Members of a JSON object, in their order.
struct InOrder<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for InOrder<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

/// Merges `over` into `base`: objects key by key; any other value is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Reasoning effort of a model before it answers.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Effort;
/// assert_eq!("high".parse(), Ok(Effort::High));
/// assert!(Effort::Low < Effort::High);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// No reasoning before the answer.
    None,
    /// The least reasoning that the model supports.
    Minimal,
    /// Less reasoning than the usual level.
    Low,
    /// The usual level of reasoning.
    Medium,
    /// More reasoning than the usual level.
    High,
    /// Much more reasoning than the usual level.
    XHigh,
    /// The most reasoning that the model supports.
    Max,
}

impl Effort {
    /// All levels, in ascending order.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Minimal,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::XHigh,
        Self::Max,
    ];

    /// Returns the level as one lowercase word, as JSON holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Effort {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|effort| effort.as_str() == word);
        found.ok_or_else(|| UnknownWord::new(word, Self::ALL.map(Self::as_str)))
    }
}

/// Amount of reasoning (thinking) before an answer, as a level or in tokens.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Effort, ThinkingOptions};
/// let much = ThinkingOptions { effort: Some(Effort::High), ..Default::default() };
/// assert_eq!(much.budget_tokens, None);
/// assert_eq!(serde_json::to_string(&much)?, r#"{"effort":"high"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThinkingOptions {
    /// Reasoning effort, where the provider has levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Largest number of reasoning tokens, where the provider takes a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u32>,
}

/// Options of a request, besides its input. Options of a request are merged over those of its call, and those
/// over the invoker's.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{GenerateOptions, Request};
/// let brief = GenerateOptions { system: Some("Be brief.".into()), ..Default::default() };
/// let request = Request::new("a", "What is 2 + 2?").with_options(brief);
/// assert_eq!(request.options.system.as_deref(), Some("Be brief."));
/// ```
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerateOptions {
    /// System prompt, placed before the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Tools that the model may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Choice among the tools: free, none, any or one tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Schema that the answer must fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<ResponseSchema>,
    /// Treatment of a schema that the provider supports only in part; the schema's own mode where this is
    /// `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_mode: Option<SchemaMode>,
    /// Amount of reasoning (thinking) before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<ThinkingOptions>,
    /// Sampling parameters and limits of the answer.
    pub hyperparameters: Hyperparameters,
}

impl fmt::Debug for GenerateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateOptions")
            .field("thinking", &self.thinking)
            .finish_non_exhaustive()
    }
}

impl GenerateOptions {
    /// Returns true if no option is set.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these options, completed by those of `base`. Hyperparameters are merged one by one.
    pub fn with_defaults(&self, base: &Self) -> Self {
        let schema_mode = self.schema_mode.or(base.schema_mode);
        let schema = self.schema.clone().or_else(|| base.schema.clone());
        Self {
            system: self.system.clone().or_else(|| base.system.clone()),
            tools: self.tools.clone().or_else(|| base.tools.clone()),
            tool_choice: self
                .tool_choice
                .clone()
                .or_else(|| base.tool_choice.clone()),
            schema: schema.map(|schema| {
                let mode = schema_mode.unwrap_or(schema.mode);
                schema.with_mode(mode)
            }),
            schema_mode,
            thinking: self.thinking.or(base.thinking),
            hyperparameters: self.hyperparameters.with_defaults(&base.hyperparameters),
        }
    }
}

#[cfg(test)]
mod tests;
