//! Templates of prompts and system messages, over the columns of a row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lmbatch_core::{Error, RequestError};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, Output, UndefinedBehavior, Value};

use super::row::{Cell, Row, missing};
use crate::context::bad;

/// Instructions after which the rendering of one row is stopped.
const FUEL: u64 = 1_000_000;

/// Name of the variable that holds the whole row, for columns whose names are not identifiers.
const WHOLE_ROW: &str = "row";

/// Names that a template defines by itself.
const OWN_NAMES: [&str; 3] = ["loop", "self", "caller"];

/// Strict template in the language of `minijinja`.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    text: String,
    /// Name of the template in messages, such as "the prompt".
    role: &'static str,
    /// Columns that the template reads, sorted.
    columns: Vec<String>,
    /// Names that it reads and that are functions of the language. A column of the same name takes precedence.
    functions: Vec<String>,
    /// True if the template reads the variable `row`.
    reads_row: bool,
    /// True if a null value was printed for the last row.
    prints_null: Arc<AtomicBool>,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput), with line and column in the template.
    pub(super) fn new(text: &str, role: &'static str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_syntax(syntax()?);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        let prints_null = Arc::new(AtomicBool::new(false));
        let printed = Arc::clone(&prints_null);
        environment.set_formatter(move |out, _, value| {
            if value.is_none() {
                printed.store(true, Ordering::Relaxed);
            }
            format(out, value)
        });
        // It would print the state of the program into a prompt.
        environment.remove_global("debug");
        let globals: Vec<String> = environment
            .globals()
            .map(|(name, _)| name.to_owned())
            .collect();
        environment
            .add_template_owned(role, text.to_owned())
            .map_err(|error| Error::invalid_input(described(&error, text, role)))?;
        let template = environment.get_template(role);
        let names = template.map(|template| template.undeclared_variables(false));
        let mut columns: Vec<String> = names.unwrap_or_default().into_iter().collect();
        columns.retain(|name| !OWN_NAMES.contains(&name.as_str()));
        columns.sort();
        let (functions, columns): (Vec<String>, Vec<String>) =
            columns.into_iter().partition(|name| globals.contains(name));
        let reads_row = columns.iter().any(|name| name == WHOLE_ROW);
        Ok(Self {
            environment,
            text: text.to_owned(),
            role,
            columns,
            functions,
            reads_row,
            prints_null,
        })
    }

    /// Returns the names that the template reads: columns, and functions where there is no such column.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().chain(&self.functions)
    }

    /// Reports whether the template reads the variable `row`.
    pub(super) fn reads_row(&self) -> bool {
        self.reads_row
    }

    /// Reports whether a null value was printed for the last row.
    pub(super) fn has_printed_null(&self) -> bool {
        self.prints_null.load(Ordering::Relaxed)
    }

    /// Refuses a template that reads columns which do not exist.
    pub(super) fn check<'n>(
        &self,
        columns: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<(), String> {
        let unknown = self.columns.iter().find(|name| {
            name.as_str() != WHOLE_ROW && !columns.clone().any(|column| column == name.as_str())
        });
        match unknown {
            Some(name) => Err(self.unknown(name, columns)),
            None => Ok(()),
        }
    }

    fn unknown<'n>(&self, name: &str, columns: impl Iterator<Item = &'n str>) -> String {
        let at = self.place_of(name).map_or_else(String::new, |at| {
            let (line, column) = place(&self.text, at);
            format!(" at line {line}, column {column}")
        });
        missing(name, &format!("which {} reads{at}", self.role), columns)
    }

    /// Returns the byte at which a name first occurs inside of `{{ }}` or `{% %}`.
    fn place_of(&self, name: &str) -> Option<usize> {
        let text = &self.text;
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let mut places = text.match_indices(name).map(|(at, _)| at);
        places.find(|at| {
            let (before, after) = (&text[..*at], &text[at + name.len()..]);
            let opened = before.rfind("{{").max(before.rfind("{%"));
            let closed = before.rfind("}}").max(before.rfind("%}"));
            opened > closed && !before.ends_with(is_part) && !after.starts_with(is_part)
        })
    }

    /// Renders the template for a row.
    pub(super) fn render(&self, row: &Row<'_>) -> Result<String, RequestError> {
        let mut values = BTreeMap::new();
        for name in self.names() {
            if let Some(cell) = row.cell(name) {
                values.insert(name.as_str(), value(name, cell)?);
            }
        }
        if self.reads_row && !values.contains_key(WHOLE_ROW) {
            let mut whole = serde_json::Map::new();
            for (name, cell) in &row.cells {
                let value = match cell {
                    Cell::Text(text) => (*text).into(),
                    Cell::Json(json) => exact(name, json)?,
                };
                whole.insert(name.to_string(), value);
            }
            values.insert(WHOLE_ROW, Value::from(Serde(whole)));
        }
        self.prints_null.store(false, Ordering::Relaxed);
        let template = self.environment.get_template(self.role);
        let rendered = template.and_then(|template| template.render(Value::from(values)));
        rendered.map_err(|error| {
            if error.kind() == ErrorKind::UndefinedError
                && let Err(unknown) = self.check(row.columns())
            {
                return bad(unknown);
            }
            bad(described(&error, &self.text, self.role))
        })
    }
}

/// Returns the syntax of templates: a line break at the end is kept as it is written.
fn syntax() -> Result<SyntaxConfig, Error> {
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    syntax.map_err(|error| Error::invalid_input(error.to_string()))
}

/// Returns the value of a cell in a template.
fn value(name: &str, cell: Cell<'_>) -> Result<Value, RequestError> {
    match cell {
        Cell::Text(text) => Ok(Value::from(text)),
        Cell::Json(json) => Ok(Value::from(Serde(exact(name, json)?))),
    }
}

/// Reads a JSON value whose numbers can be printed exactly.
fn exact(name: &str, json: &str) -> Result<serde_json::Value, RequestError> {
    lmbatch_core::exact_value(json).map_err(|error| bad(format!("the column {name:?}: {error}")))
}

/// Writes a value in the spelling of JSON; a string as it is.
fn format(out: &mut Output<'_>, value: &Value) -> Result<(), minijinja::Error> {
    let failed = |error: std::fmt::Error| {
        minijinja::Error::new(ErrorKind::WriteFailure, "the text cannot be written")
            .with_source(error)
    };
    if value.is_undefined() {
        return Ok(());
    }
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(failed);
    }
    if value.kind() == ValueKind::Plain {
        return Err(minijinja::Error::new(
            ErrorKind::BadSerialization,
            "this is a function and not a value; a column of this name is printed where there is one",
        ));
    }
    let json = serde_json::to_string(value).map_err(|error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "the value has no JSON form")
            .with_source(error)
    })?;
    out.write_str(&json).map_err(failed)
}

/// Describes an error with its place in the template. The values of cells are not part of the message.
fn described(error: &minijinja::Error, text: &str, role: &str) -> String {
    let at = match (error.range(), error.line()) {
        (Some(range), _) => {
            let (line, column) = place(text, range.start);
            format!(" at line {line}, column {column}")
        }
        (None, Some(line)) => format!(" at line {line}"),
        (None, None) => String::new(),
    };
    let why = match error.kind() {
        ErrorKind::OutOfFuel => {
            format!("it takes more than {FUEL} steps for one row")
        }
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    format!("{role} is a template with an error{at}: {why}")
}

/// Returns the line and the column of a byte of a text, both from 1; columns count characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, json: &str) -> Result<String, String> {
        let failed = |error: RequestError| error.message().unwrap_or_default().to_owned();
        let template = Template::new(template, "the prompt")
            .map_err(|error| error.message().unwrap_or_default().to_owned())?;
        let row = Row {
            cells: super::super::row::members(json).map_err(failed)?,
            ..Row::default()
        };
        template.render(&row).map_err(failed)
    }

    #[test]
    fn values_are_printed_in_the_spelling_of_json() {
        let row = r#"{"t":true,"n":null,"i":3,"f":1.0,"e":0.25,"s":"a \"b\" <c>","l":[true,null,"x"],"o":{"b":1,"a":[]}}"#;
        for (template, expected) in [
            (
                "{{ t }} {{ n }} {{ i }} {{ f }} {{ e }}",
                "true null 3 1.0 0.25",
            ),
            ("{{ s }}", r#"a "b" <c>"#),
            ("{{ l }}", r#"[true,null,"x"]"#),
            ("{{ o }} {{ o.b }}", r#"{"b":1,"a":[]} 1"#),
            ("{{ o|tojson }}", r#"{"b": 1, "a": []}"#),
            ("{% for x in l %}{{ x }};{% endfor %}", "true;null;x;"),
            ("{% if i > 2 %}many{% endif %}", "many"),
            ("{{ s|upper|length }}", "9"),
            ("{{ row['s'] }}{{ row.i }}", "a \"b\" <c>3"),
            ("{{ '{{' }} {{ \"}}\" }}{# gone #}", "{{ }}"),
            ("a\n", "a\n"),
            ("{{ t and i == 3 }}", "true"),
            ("{% for n in range(2) %}{{ loop.index }}{% endfor %}", "12"),
            ("{{ o.gone|default('none') }}", "none"),
            ("{{ n if n is not none else '' }}", ""),
        ] {
            assert_eq!(
                rendered(template, row).as_deref(),
                Ok(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn a_column_takes_precedence_over_a_function_of_its_name() {
        let row = r#"{"range":"R1","dict":2,"namespace":null,"debug":true}"#;
        for (template, expected) in [
            ("{% if range %}In {{ range }}{% endif %}", "In R1"),
            ("{{ dict }} {{ namespace }} {{ debug }}", "2 null true"),
        ] {
            assert_eq!(rendered(template, row).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_null_that_is_printed_by_itself_is_noticed_for_its_row_alone() {
        let template = |text: &str| Template::new(text, "the prompt").unwrap();
        for (text, row, expected) in [
            ("{{ n }}", r#"{"n":null}"#, true),
            ("{{ n }}", r#"{"n":"null"}"#, false),
            ("{{ row.n }}", r#"{"n":null}"#, true),
            ("{{ n }}", r#"{"n":[null]}"#, false),
            ("{{ n if n is not none else '' }}", r#"{"n":null}"#, false),
            ("{% if n %}{{ n }}{% endif %}", r#"{"n":null}"#, false),
        ] {
            let template = template(text);
            for (row, expected) in [(row, expected), (r#"{"n":1}"#, false)] {
                let cells = super::super::row::members(row).unwrap();
                let row = Row {
                    cells,
                    ..Row::default()
                };
                template.render(&row).unwrap();
                assert_eq!(template.has_printed_null(), expected, "{text}");
            }
        }
    }

    #[test]
    fn an_error_names_its_place_in_the_template() {
        for (template, expected) in [
            (
                "Hi\n{{ nme }}",
                "there is no column \"nme\", which the prompt reads at line 2, column 4; the columns are name, n; did you mean \"name\"?",
            ),
            (
                "über {{ name",
                "the prompt is a template with an error at line 1, column",
            ),
            (
                "{% include 'x' %}",
                "the prompt is a template with an error at line 1",
            ),
            (
                "{{ name.first.second }}",
                "the prompt is a template with an error at line 1, column 8: undefined value: `name.first` is undefined",
            ),
            (
                "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}",
                "the prompt is a template with an error at line 1: it takes more than 1000000 steps",
            ),
            (
                "{{ range }}",
                "the prompt is a template with an error at line 1, column 4: could not serialize to value: this is a function",
            ),
            (
                "{{ debug() }}",
                "the prompt is a template with an error at line 1, column 4: unknown function: debug is unknown",
            ),
            (
                "{{ name|nope }}",
                "the prompt is a template with an error at line 1",
            ),
        ] {
            let error = rendered(template, r#"{"name":"a","n":1}"#).unwrap_err();
            assert!(error.starts_with(expected), "{template}: {error}");
        }
    }

    #[test]
    fn columns_are_checked_without_a_row() {
        let check = |template: &str| {
            let template = Template::new(template, "the prompt").unwrap();
            template.check(["id", "text"].into_iter())
        };
        assert_eq!(
            check("{{ text }} {{ row.other }} {% set x = id %}{{ x }}"),
            Ok(())
        );
        assert_eq!(
            check("text {{ txt }}"),
            Err("there is no column \"txt\", which the prompt reads at line 1, column 9; the columns are id, text; did you mean \"text\"?".to_owned())
        );
    }
}
