//! Requests of rows, written as lines of lmbatch's own form.

use lmbatch_core::{Attachment, AttachmentKind, Error, RequestError, has_scheme, write_string};

use super::options::{KeptColumns, TableOptions};
use super::row::{Cell, Row, missing};
use super::rows::Needed;
use super::template::Template;
use crate::context::bad;

/// Beginning of the reason for which a table without a prompt is refused.
pub const NO_PROMPT: &str = "no column holds the prompt";

/// Separator of attachments in one cell.
const SEPARATOR: char = '|';

/// Members of lmbatch's own form that a row of a table does not send.
const UNSENT: [&str; 8] = [
    "contents",
    "messages",
    "hyperparameters",
    "metadata",
    "tools",
    "tool_choice",
    "schema",
    "thinking",
];

/// Source of the prompt.
enum Prompt {
    Template(Box<Template>),
    Column(String),
}

/// Writer of requests.
pub(super) struct RequestWriter {
    prompt: Prompt,
    /// True if the column of the prompt was not named, so that a column `system` is the system message.
    is_own_form: bool,
    system: Option<Template>,
    id: Option<String>,
    model: Option<String>,
    keep: KeptColumns,
    attach: Option<String>,
    /// Columns that a row may lack, each with its role, as long as no row had it.
    unseen: Vec<(String, &'static str)>,
}

impl RequestWriter {
    /// Compiles the templates. The default column of the prompt is `prompt_column`.
    pub(super) fn new(options: &TableOptions, prompt_column: &str) -> Result<Self, Error> {
        let system = options.system.as_deref();
        let system = system.map(|text| Template::new(text, "the system message"));
        let prompt = match (&options.prompt, &options.prompt_field) {
            (Some(text), _) => Prompt::Template(Box::new(Template::new(text, "the prompt")?)),
            (None, Some(column)) => Prompt::Column(column.clone()),
            (None, None) => Prompt::Column(prompt_column.to_owned()),
        };
        let kept: &[String] = match &options.keep {
            KeptColumns::Named(names) => names,
            _ => &[],
        };
        let unseen = kept
            .iter()
            .map(|name| (name.clone(), KEPT))
            .chain(options.attach.iter().map(|name| (name.clone(), ATTACHED)))
            .chain(options.model_field.iter().map(|name| (name.clone(), MODEL)));
        Ok(Self {
            prompt,
            is_own_form: options.prompt.is_none() && options.prompt_field.is_none(),
            system: system.transpose()?,
            id: options.id.clone(),
            model: options.model_field.clone(),
            keep: options.keep.clone(),
            attach: options.attach.clone(),
            unseen: unseen.collect(),
        })
    }

    /// Checks the columns of a table before a row is read.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for a column that does not exist.
    pub(super) fn check(&mut self, columns: &[String]) -> Result<(), Error> {
        let names = || columns.iter().map(String::as_str);
        let exists = |name: &str| columns.iter().any(|column| column == name);
        let templates = match &self.prompt {
            Prompt::Template(template) => [Some(&**template), self.system.as_ref()],
            Prompt::Column(column) => {
                if !exists(column) {
                    return Err(Error::invalid_input(match self.is_own_form {
                        true => format!("{NO_PROMPT}: {}", missing(column, "the default", names())),
                        false => missing(column, PROMPT, names()),
                    }));
                }
                [None, self.system.as_ref()]
            }
        };
        for template in templates.into_iter().flatten() {
            template.check(names()).map_err(Error::invalid_input)?;
        }
        let id = self.id.iter().map(|name| (name, ID));
        let others = self.unseen.iter().map(|(name, role)| (name, *role));
        for (name, role) in id.chain(others) {
            if !exists(name) {
                return Err(Error::invalid_input(missing(name, role, names())));
            }
        }
        self.unseen.clear();
        Ok(())
    }

    /// Returns the columns that requests are made of.
    pub(super) fn needs(&self, columns: &[String]) -> Needed {
        let mut names: Vec<String> = Vec::new();
        let mut others = false;
        let prompt = match &self.prompt {
            Prompt::Template(template) => Some(&**template),
            Prompt::Column(column) => {
                names.push(column.clone());
                None
            }
        };
        for template in [prompt, self.system.as_ref()].into_iter().flatten() {
            names.extend(template.names().cloned());
            others |= template.reads_row();
        }
        if self.is_own_form {
            names.extend(UNSENT.iter().chain(&["system"]).map(ToString::to_string));
        }
        names.push(self.id.clone().unwrap_or_else(|| "id".to_owned()));
        names.extend(self.model.iter().chain(&self.attach).cloned());
        match &self.keep {
            KeptColumns::None => {}
            KeptColumns::All => names.extend_from_slice(columns),
            KeptColumns::Named(kept) => names.extend_from_slice(kept),
        }
        names.retain(|name| columns.contains(name));
        Needed { names, others }
    }

    /// Checks at the end of the input that every named column occurred in a row.
    pub(super) fn check_seen(&self) -> Result<(), Error> {
        match self.unseen.first() {
            Some((name, role)) => Err(Error::invalid_input(format!(
                "no row has a column {name:?}, {role}"
            ))),
            None => Ok(()),
        }
    }

    /// Accepts columns that occur in no row.
    pub(super) fn accept_unseen(&mut self) {
        self.unseen.clear();
    }

    /// Reports whether a template has printed a null value in the last request.
    pub(super) fn has_printed_null(&self) -> bool {
        let prompt = match &self.prompt {
            Prompt::Template(template) => Some(&**template),
            Prompt::Column(_) => None,
        };
        let mut templates = [prompt, self.system.as_ref()].into_iter().flatten();
        templates.any(Template::has_printed_null)
    }

    /// Writes the request of a row as one line.
    pub(super) fn write(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        if !self.unseen.is_empty() {
            self.unseen.retain(|(name, _)| row.cell(name).is_none());
        }
        out.extend_from_slice(b"{\"id\":");
        self.write_id(row, out)?;
        if let Some(model) = self.model.as_ref().and_then(|name| row.cell(name))
            && !model.is_empty()
        {
            out.extend_from_slice(b",\"model\":");
            write_string(&model.text(), out);
        }
        if let Some(template) = &self.system {
            out.extend_from_slice(b",\"system\":");
            write_string(&template.render(row)?, out);
        }
        if self.is_own_form {
            self.write_own_form(row, out)?;
        }
        self.write_contents(row, out)?;
        self.write_kept(row, out);
        out.push(b'}');
        Ok(())
    }

    fn write_id(&self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        let cell = match &self.id {
            Some(column) => Some((column.as_str(), row.required(column, ID)?)),
            None => row.cell("id").map(|cell| ("id", cell)),
        };
        match cell {
            Some((column, cell)) if cell.is_empty() => {
                return Err(bad(format!("the column {column:?}, {ID}, is empty")));
            }
            Some((_, cell)) => cell.write_json(out),
            None => out.extend_from_slice(row.number.to_string().as_bytes()),
        }
        Ok(())
    }

    /// Writes what a table has in common with lmbatch's own form, and refuses what cannot be sent.
    fn write_own_form(&self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        if self.system.is_none()
            && let Some(system) = row.cell("system").filter(|cell| !cell.is_empty())
        {
            out.extend_from_slice(b",\"system\":");
            system.write_json(out);
        }
        let is_json = |cell: &Cell<'_>| matches!(cell, Cell::Json(_));
        let mut cells = row.cells.iter();
        let unsent = cells.find(|(name, cell)| is_json(cell) && UNSENT.contains(&&**name));
        match unsent {
            Some((name, _)) => Err(bad(format!(
                "{name} is not sent for a row of a table; leave out the options about columns, or name the column of the prompt to read {name} as a column"
            ))),
            None => Ok(()),
        }
    }

    fn write_contents(&self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        let attachments = self.attachments(row)?;
        let begin: &[u8] = match attachments.is_empty() {
            true => b",\"prompt\":",
            false => b",\"contents\":[",
        };
        out.extend_from_slice(begin);
        match &self.prompt {
            Prompt::Template(template) => write_string(&template.render(row)?, out),
            Prompt::Column(column) => match row.cell(column) {
                Some(Cell::Json(json)) if json.starts_with('"') => {
                    out.extend_from_slice(json.as_bytes());
                }
                Some(Cell::Json("null")) => {
                    return Err(bad(format!("the column {column:?}, {PROMPT}, is null")));
                }
                Some(cell) => write_string(&cell.text(), out),
                None if row.attachment.is_some() => {
                    return Err(bad(
                        "the file is binary and has no text; give a prompt that asks about it",
                    ));
                }
                None => return Err(bad(missing(column, PROMPT, row.columns()))),
            },
        }
        for (name, kind, source) in &attachments {
            out.extend_from_slice(b",{\"type\":");
            write_string(kind.as_str(), out);
            out.push(b',');
            write_string(name, out);
            out.push(b':');
            write_string(source, out);
            out.push(b'}');
        }
        if !attachments.is_empty() {
            out.push(b']');
        }
        Ok(())
    }

    /// Returns the attachments of a row: the member that holds the source, the kind and the source.
    fn attachments(
        &self,
        row: &Row<'_>,
    ) -> Result<Vec<(&'static str, AttachmentKind, String)>, RequestError> {
        let mut found = Vec::new();
        if let Some(path) = row.attachment {
            found.push(path.to_owned());
        }
        if let Some(column) = &self.attach {
            match row.cell(column) {
                Some(Cell::Json(json)) if json.starts_with('[') => {
                    let list: Vec<String> = serde_json::from_str(json).map_err(|_| {
                        bad(format!(
                            "the column {column:?}, {ATTACHED}, is not a list of strings"
                        ))
                    })?;
                    found.extend(list);
                }
                Some(cell) if !cell.is_empty() => {
                    let text = cell.text();
                    let parts = text.split(SEPARATOR).map(str::trim);
                    found.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
                }
                _ => {}
            }
        }
        let attachment = |source: String| {
            // A single letter before a colon is a drive, not a scheme.
            let is_url = has_scheme(&source) && source.find(':').is_some_and(|end| end > 1);
            if !is_url {
                return Ok(("path", Attachment::from_path(&source).kind, source));
            }
            match Attachment::from_url(&source) {
                Ok(attachment) => Ok(("url", attachment.kind, source)),
                Err(error) => Err(bad(format!("an attachment: {error}"))),
            }
        };
        found.into_iter().map(attachment).collect()
    }

    fn write_kept(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        match &self.keep {
            KeptColumns::None => {}
            KeptColumns::All => {
                out.extend_from_slice(b",\"metadata\":");
                row.write_json(out);
            }
            KeptColumns::Named(names) => {
                out.extend_from_slice(b",\"metadata\":");
                let cells = names.iter().map(|name| {
                    let cell = row.cell(name).unwrap_or(Cell::Json("null"));
                    (name.as_str().into(), cell)
                });
                let kept = Row {
                    cells: cells.collect(),
                    ..Row::default()
                };
                kept.write_json(out);
            }
        }
    }
}

const PROMPT: &str = "which holds the prompt";
const ID: &str = "which holds the id";
const KEPT: &str = "which is to be kept";
const ATTACHED: &str = "which holds the attachments";
const MODEL: &str = "which holds the model";
