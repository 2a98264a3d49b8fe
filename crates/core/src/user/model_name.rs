//! Name of a model at a provider, as configuration files hold it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ProviderId;

/// Model at a provider, of the form `PROVIDER/MODEL`, as the command and configuration files name it.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::ModelName;
///
/// let name: ModelName = "acme/large-2".parse()?;
/// assert_eq!((name.provider.as_str(), name.model.as_str()), ("acme", "large-2"));
/// assert_eq!(name.to_string(), "acme/large-2");
/// // A program chooses the provider by the first part: `match name.provider.as_str() { "acme" => … }`.
/// # Ok::<(), lmbatch::ModelNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct ModelName {
    /// Provider: the part before the first slash.
    pub provider: ProviderId,
    /// The provider's name of the model, which may hold slashes.
    pub model: String,
}

/// Error of a text that is not of the form `PROVIDER/MODEL`.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let error = "large-2".parse::<lmbatch::ModelName>().unwrap_err();
/// assert_eq!(error.to_string(), r#""large-2" is not of the form PROVIDER/MODEL"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form PROVIDER/MODEL")]
pub struct ModelNameError(Box<str>);

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(name: &str) -> Result<Self, ModelNameError> {
        match name.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Ok(Self {
                provider: provider.into(),
                model: model.to_owned(),
            }),
            _ => Err(ModelNameError(name.into())),
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = ModelNameError;

    fn try_from(name: String) -> Result<Self, ModelNameError> {
        name.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_is_split_at_the_first_slash() {
        for (text, expected) in [
            ("acme/large-2", Some(("acme", "large-2"))),
            ("acme/models/a:b", Some(("acme", "models/a:b"))),
            ("large-2", None),
            ("/m", None),
            ("acme/", None),
            ("", None),
        ] {
            let read = text.parse::<ModelName>().ok();
            let parts = read
                .as_ref()
                .map(|name| (name.provider.as_str(), &*name.model));
            assert_eq!(parts, expected, "{text}");
        }
        let name: ModelName = "a/b/c".parse().unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(json, r#""a/b/c""#);
        assert_eq!(serde_json::from_str::<ModelName>(&json).unwrap(), name);
        assert!(serde_json::from_str::<ModelName>("\"x\"").is_err());
    }
}
