//! Reads a table from JSON, and names the position of anything that is wrong in it.

use lmbatch_core::parse_time;
use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::model::ModelPrices;
use crate::names::Names;
use crate::period::{Day, Period, Published, Step};
use crate::rate::Rate;

/// Word for the format of a table.
const SCHEMA: &str = "lmbatch-prices/1";

/// Error of a text that is no table of prices.
///
/// ```
/// let error = lmbatch_prices::PriceTable::from_json("{}").unwrap_err();
/// assert_eq!((error.position(), error.reason()), ("schema", "is missing"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position} {reason}")]
pub struct TableError {
    position: Box<str>,
    reason: Box<str>,
}

impl TableError {
    /// Returns the position of the error, such as `models[3].batch[0].in`, or `the text`.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// Returns the reason, which continues the position to a sentence, such as `is missing`.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Value of a table, with its position.
#[derive(Clone)]
struct At<'a> {
    value: &'a Value,
    position: String,
}

impl<'a> At<'a> {
    fn error(&self, reason: impl Into<String>) -> TableError {
        TableError {
            position: self.position.as_str().into(),
            reason: reason.into().into(),
        }
    }

    /// Returns the members of an object whose members are all known.
    fn object(&self, known: &[&str]) -> Result<Object<'a>, TableError> {
        let Value::Object(members) = self.value else {
            return Err(self.error("is not an object"));
        };
        let object = Object {
            members,
            position: self.position.clone(),
        };
        match members.keys().find(|name| !known.contains(&&***name)) {
            Some(unknown) => Err(object
                .at(unknown, self.value)
                .error(format!("is unknown; known are {}", known.join(", ")))),
            None => Ok(object),
        }
    }

    fn text(&self) -> Result<&'a str, TableError> {
        self.value
            .as_str()
            .ok_or_else(|| self.error("is not a string"))
    }

    fn number(&self) -> Result<u64, TableError> {
        let number = self.value.as_u64();
        number.ok_or_else(|| self.error("is not a number of tokens"))
    }

    fn list(&self) -> Result<Vec<Self>, TableError> {
        let Value::Array(items) = self.value else {
            return Err(self.error("is not a list"));
        };
        let items = items.iter().enumerate();
        let items = items.map(|(at, value)| Self {
            value,
            position: format!("{}[{at}]", self.position),
        });
        Ok(items.collect())
    }

    fn day(&self) -> Result<Day, TableError> {
        let text = self.text()?;
        let starts = parse_time(&format!("{text}T00:00:00Z"));
        let starts = starts.ok_or_else(|| self.error("is not a day, such as \"2026-11-26\""))?;
        Ok(Day {
            text: text.into(),
            starts,
        })
    }

    fn rate(&self) -> Result<Rate, TableError> {
        let text = self.text()?;
        let rate = text.parse::<Rate>();
        rate.map_err(|_| {
            self.error(format!(
                "is {text:?}; write dollars per million tokens with at most 6 decimals"
            ))
        })
    }
}

/// Members of an object, with its position.
struct Object<'a> {
    members: &'a Map<String, Value>,
    position: String,
}

impl<'a> Object<'a> {
    fn at(&self, name: &str, value: &'a Value) -> At<'a> {
        let position = match self.position.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.position),
        };
        At { value, position }
    }

    /// Returns a member that may be missing.
    fn get(&self, name: &str) -> Option<At<'a>> {
        self.members.get(name).map(|value| self.at(name, value))
    }

    /// Returns a member that must be there.
    fn need(&self, name: &str) -> Result<At<'a>, TableError> {
        let missing = || self.at(name, &Value::Null).error("is missing");
        self.get(name).ok_or_else(missing)
    }

    /// Returns the items of a list that may be missing.
    fn items(&self, name: &str) -> Result<Vec<At<'a>>, TableError> {
        self.get(name).map_or(Ok(Vec::new()), |list| list.list())
    }

    fn rate(&self, name: &str) -> Result<Option<Rate>, TableError> {
        self.get(name).map(|rate| rate.rate()).transpose()
    }
}

/// Reads a table: the day that it is of, and its models.
pub(crate) fn table(text: &str) -> Result<(Box<str>, Vec<ModelPrices>), TableError> {
    let value: Value = serde_json::from_str(text).map_err(|error| TableError {
        position: "the text".into(),
        reason: format!("is not JSON: {error}").into(),
    })?;
    let Value::Object(members) = &value else {
        return Err(TableError {
            position: "the text".into(),
            reason: "is not a JSON object".into(),
        });
    };
    let table = Object {
        members,
        position: String::new(),
    };
    // The format is checked first: another one may have other members.
    let schema = table.need("schema")?;
    if schema.text()? != SCHEMA {
        let found = schema.text()?;
        return Err(schema.error(format!("is {found:?}; this version reads {SCHEMA:?}")));
    }
    At {
        value: &value,
        position: String::new(),
    }
    .object(&[
        "schema", "as_of", "unit", "sources", "reading", "rules", "models",
    ])?;
    let as_of = table.need("as_of")?.day()?;
    let mut models: Vec<ModelPrices> = Vec::new();
    for at in table.need("models")?.list()? {
        let read = model(&at)?;
        let same = models
            .iter()
            .filter(|other| other.provider == read.provider);
        let taken: Vec<&str> = same
            .flat_map(|other| other.names.eq.iter().map(|name| &**name))
            .collect();
        if let Some(name) = read.names.eq.iter().find(|name| taken.contains(&&***name)) {
            return Err(at.error(format!("has the name {name:?} of an earlier model")));
        }
        models.push(read);
    }
    Ok((as_of.text, models))
}

fn model(at: &At<'_>) -> Result<ModelPrices, TableError> {
    let model = at.object(&[
        "provider", "model", "kind", "match", "context", "retires", "realtime", "batch",
        "batch_is", "src", "checked",
    ])?;
    let name = model.need("model")?.text()?;
    let read = ModelPrices {
        provider: model.need("provider")?.text()?.into(),
        model: name.into(),
        names: match model.get("match") {
            Some(patterns) => names(&patterns)?,
            None => Names {
                eq: vec![name.to_lowercase().into()],
                ..Names::default()
            },
        },
        context: model.get("context").map(|at| at.number()).transpose()?,
        retires: model.get("retires").map(|at| at.day()).transpose()?,
        real_time: periods(&model, "realtime")?,
        batch: periods(&model, "batch")?,
    };
    match read.real_time.is_empty() && read.batch.is_empty() {
        true => Err(at.error("has neither realtime nor batch prices")),
        false => Ok(read),
    }
}

fn names(at: &At<'_>) -> Result<Names, TableError> {
    let patterns = at.object(&["eq", "prefix", "suffix", "contains", "re", "not"])?;
    let texts = |name| -> Result<Vec<Box<str>>, TableError> {
        let items = patterns.items(name)?;
        items.iter().map(lower).collect()
    };
    let res = patterns.items("re")?;
    let res = res.iter().map(|at| {
        let re = Regex::new(at.text()?);
        re.map_err(|error| at.error(format!("is not a regular expression: {error}")))
    });
    Ok(Names {
        eq: texts("eq")?,
        prefix: texts("prefix")?,
        suffix: texts("suffix")?,
        contains: texts("contains")?,
        re: res.collect::<Result<_, _>>()?,
        not: texts("not")?,
    })
}

/// Reads a pattern, which is compared with names in lower case.
fn lower(at: &At<'_>) -> Result<Box<str>, TableError> {
    match at.text()? {
        "" => Err(at.error("is empty")),
        text if text != text.to_lowercase() => Err(at.error("is not in lower case")),
        text => Ok(text.into()),
    }
}

fn periods(model: &Object<'_>, name: &str) -> Result<Vec<Period>, TableError> {
    let mut periods: Vec<Period> = Vec::new();
    for at in model.items(name)? {
        let read = at.object(&[RATES.as_slice(), &["from", "long"]].concat())?;
        let from = read.get("from").map(|day| day.day()).transpose()?;
        let starts = |day: &Option<Day>| day.as_ref().map(|day| day.starts);
        if let Some(before) = periods.last()
            && starts(&from) <= starts(&before.from)
        {
            return Err(at.error("does not begin after the period before it"));
        }
        let mut long: Vec<Step> = Vec::new();
        for at in read.items("long")? {
            let step = at.object(&[RATES.as_slice(), &["above_input_tokens"]].concat())?;
            let above = step.need("above_input_tokens")?;
            let above = above.number()?;
            if long.last().is_some_and(|before| above <= before.above) {
                return Err(at.error("is not above the step before it"));
            }
            let rates = published(&step)?;
            long.push(Step { above, rates });
        }
        let rates = published(&read)?;
        periods.push(Period { from, rates, long });
    }
    Ok(periods)
}

/// Names of the rates in a period.
const RATES: [&str; 6] = [
    "in",
    "cached",
    "cache_write",
    "cache_write_1h",
    "in_audio",
    "out",
];

fn published(of: &Object<'_>) -> Result<Published, TableError> {
    Ok(Published {
        input: of.need("in")?.rate()?,
        cached: of.rate("cached")?,
        cache_write: of.rate("cache_write")?,
        cache_write_1h: of.rate("cache_write_1h")?,
        audio_input: of.rate("in_audio")?,
        output: of.rate("out")?,
    })
}
