//! JSON Schemas as documents: helpers with which an adapter rewrites a schema for its provider.
//!
//! A schema is flattened member by member ([`SchemaRoot::flat`]), changes are recorded ([`SchemaChanges`]), and the result
//! is kept for the next request with the same schema ([`Cache`]).

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::{JsonBuf, RequestError, ResponseSchema};

mod merge;
mod notes;

pub use merge::merge;
pub use notes::{SchemaChanges, describe};

/// Names of the types of JSON Schema.
pub const TYPES: [&str; 7] = [
    "object", "array", "string", "integer", "number", "boolean", "null",
];

/// Members that hold schemas by names that the caller chose.
const NAMED: [&str; 6] = [
    "properties",
    "$defs",
    "definitions",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
];

/// Members that hold a list of schemas.
const LISTED: [&str; 5] = ["anyOf", "oneOf", "allOf", "prefixItems", "items"];

/// Members that hold one schema.
const SINGLE: [&str; 12] = [
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];

/// Largest number of schemas in a rewritten schema once its references are followed.
const LARGEST: u32 = 50_000;

/// Largest depth of schemas within one another once references are followed.
const DEEPEST: u32 = 200;

/// Escapes a name for use as one part of a JSON pointer (RFC 6901).
///
/// ```
/// assert_eq!(lmbatch_core::schemas::escaped("a/b~c"), "a~1b~0c");
/// ```
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Returns the schemas directly inside a schema, each with its place as a JSON pointer. Values of `enum`,
/// `const`, `default` and `examples` are not schemas, even where they look like one.
///
/// ```
/// use lmbatch_core::schemas::subschemas;
/// let schema = serde_json::json!({"items": {"type": "null"}, "default": {"items": {}}});
/// let found = subschemas(schema.as_object().expect("an object"));
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].0, "/items");
/// ```
pub fn subschemas(members: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (key, value) in members {
        let key = key.as_str();
        match value {
            Value::Object(named) if NAMED.contains(&key) => {
                for (name, schema) in named {
                    found.push((format!("/{}/{}", escaped(key), escaped(name)), schema));
                }
            }
            Value::Array(list) if LISTED.contains(&key) => {
                for (place, schema) in list.iter().enumerate() {
                    found.push((format!("/{key}/{place}"), schema));
                }
            }
            value if SINGLE.contains(&key) => found.push((format!("/{key}"), value)),
            _ => {}
        }
    }
    found
}

/// Returns the schema that a reference points to within a document: `#`, `#/…` as a JSON pointer, or the name
/// of an `$anchor`, each also after the document's own `$id`. `None` for a reference to another document or to a
/// missing place.
///
/// ```
/// let root = serde_json::json!({"$defs": {"a b": {"type": "null"}}});
/// let found = lmbatch_core::schemas::resolve(&root, "#/$defs/a%20b");
/// assert_eq!(found, Some(&root["$defs"]["a b"]));
/// ```
pub fn resolve<'r>(root: &'r Value, reference: &str) -> Option<&'r Value> {
    let fragment = unescaped(fragment_of(root, reference)?)?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return root.pointer(&fragment);
    }
    anchored(root, &fragment, "").map(|(_, schema)| schema)
}

/// Returns the fragment of a reference into the document, without its `#`; `None` for another document.
fn fragment_of<'f>(root: &Value, reference: &'f str) -> Option<&'f str> {
    if let Some(fragment) = reference.strip_prefix('#') {
        return Some(fragment);
    }
    let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let id = root.get("$id").or_else(|| root.get("id"))?.as_str()?;
    let id = id.strip_suffix('#').unwrap_or(id);
    // A relative reference names the last part of the path.
    let last = id.rsplit('/').next().unwrap_or(id);
    (!document.is_empty() && (document == id || document == last)).then_some(fragment)
}

/// Returns the schema with an `$anchor` and its place as a JSON pointer.
fn anchored<'r>(schema: &'r Value, anchor: &str, at: &str) -> Option<(String, &'r Value)> {
    let mut open = vec![(at.to_owned(), schema)];
    while let Some((at, schema)) = open.pop() {
        let Some(members) = schema.as_object() else {
            continue;
        };
        let is_named = |key| members.get(key).is_some_and(|name| *name == *anchor);
        if is_named("$anchor") || is_named("$dynamicAnchor") {
            return Some((at, schema));
        }
        let within = subschemas(members).into_iter();
        open.extend(within.map(|(place, schema)| (format!("{at}{place}"), schema)));
    }
    None
}

/// Decodes the percent escapes of a URI fragment; `None` where they are malformed.
fn unescaped(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// References that a search for recursion follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowedReferences {
    /// Every reference is followed.
    All,
    /// References within properties that are not required are not followed.
    Required,
}

/// Whole schema, as the root for its references.
#[derive(Debug)]
pub struct SchemaRoot<'r> {
    root: &'r Value,
    left: Cell<u32>,
}

impl<'r> SchemaRoot<'r> {
    /// Creates the tree of a schema.
    pub fn new(root: &'r Value) -> Self {
        Self {
            root,
            left: Cell::new(LARGEST),
        }
    }

    /// Counts one more schema of the result, nested within `depth` others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where there are more than 50,000 schemas,
    /// as with references that double at every level, or where they are more than 200 deep, as with
    /// references to themselves.
    pub fn count(&self, depth: u32) -> Result<(), RequestError> {
        let too = |what: String| {
            Err(RequestError::invalid_input(format!(
                "the schema for answers {what} once its references are followed"
            )))
        };
        if depth > DEEPEST {
            return too(format!("is more than {DEEPEST} schemas deep"));
        }
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return too(format!("contains more than {LARGEST} schemas")),
        }
        Ok(())
    }

    /// Returns the schema that a reference points to.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a reference to a missing place or to
    /// another document.
    pub fn target(&self, reference: &str) -> Result<&'r Value, RequestError> {
        resolve(self.root, reference).ok_or_else(|| {
            RequestError::invalid_input(format!(
                "the schema for answers has a reference to a place that is not in it: {reference:?}"
            ))
        })
    }

    /// Returns a reference as a JSON pointer, such as `#/$defs/node` for the name of an anchor.
    fn path(&self, reference: &str) -> Result<String, RequestError> {
        let fragment = fragment_of(self.root, reference).unwrap_or_default();
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(format!("#{fragment}"));
        }
        self.target(reference)?;
        let name = unescaped(fragment).unwrap_or_default();
        let found = anchored(self.root, &name, "#");
        Ok(found.map(|(place, _)| place).unwrap_or_default())
    }

    /// Returns the place of the first schema that contains itself, such as `#/$defs/node`.
    ///
    /// # Errors
    /// Those of [`count`](Self::count).
    pub fn recursion(&self, through: FollowedReferences) -> Result<Option<String>, RequestError> {
        let mut search = Search {
            tree: self,
            through,
            open: Vec::new(),
            done: HashSet::new(),
        };
        search.within(self.root, "#", 0)
    }

    /// Returns whether a schema contains itself.
    ///
    /// # Errors
    /// Those of [`count`](Self::count).
    pub fn is_recursive(&self, schema: &Value) -> Result<bool, RequestError> {
        let mut open = vec![schema];
        let mut seen = HashSet::new();
        while let Some(next) = open.pop() {
            self.count(0)?;
            let Some(members) = next.as_object() else {
                continue;
            };
            open.extend(subschemas(members).into_iter().map(|(_, schema)| schema));
            if let Some(target) = reference(members).and_then(|name| resolve(self.root, name)) {
                if std::ptr::eq(target, schema) {
                    return Ok(true);
                }
                if seen.insert(std::ptr::from_ref(target)) {
                    open.push(target);
                }
            }
        }
        Ok(false)
    }

    /// Returns the members of a schema with the parts of its `allOf` merged in. Its `$ref` is replaced by the
    /// members of the schema that it points to where other members stand next to it, or where `inline` is
    /// set. A `$ref` without other members stays. A `$ref` to a schema that contains itself also stays, and
    /// the members next to it are left out.
    ///
    /// # Errors
    /// Those of [`count`](Self::count) and [`target`](Self::target).
    pub fn flat(
        &self,
        members: &Map<String, Value>,
        at: &str,
        depth: u32,
        inline: bool,
        notes: &mut SchemaChanges,
    ) -> Result<Map<String, Value>, RequestError> {
        self.count(depth)?;
        let mut out = members.clone();
        if let Some(name) = reference(members) {
            let is_beside = |key: &String| !key.starts_with('$') && key != "definitions";
            let has_beside = members.keys().any(is_beside);
            // Providers follow paths, and are sent neither anchors nor ids.
            let is_path = name == "#" || name.starts_with("#/");
            if !inline && is_path && !has_beside {
                return Ok(out);
            }
            let target = self.target(name)?;
            if !inline && self.is_recursive(target)? {
                if has_beside {
                    out.retain(|key, _| !is_beside(key));
                    notes.add("members next to a recursive $ref left out", "$ref", at);
                }
                if !is_path {
                    out.insert("$ref".to_owned(), Value::String(self.path(name)?));
                    notes.add("written as a path", "$ref", at);
                }
                return Ok(out);
            }
            out.remove("$ref");
            notes.add("inlined", "$ref", at);
            if let Value::Object(target) = target {
                let target = self.flat(target, at, depth + 1, true, notes)?;
                self.merged(&mut out, target, at, "$ref", notes);
            }
        }
        if let Some(Value::Array(parts)) = out.get("allOf").cloned() {
            out.remove("allOf");
            for part in &parts {
                if let Value::Object(part) = part {
                    let part = self.flat(part, at, depth + 1, true, notes)?;
                    self.merged(&mut out, part, at, "allOf", notes);
                }
            }
            notes.add("merged", "allOf", at);
        }
        Ok(out)
    }

    fn merged(
        &self,
        out: &mut Map<String, Value>,
        from: Map<String, Value>,
        at: &str,
        keyword: &'static str,
        notes: &mut SchemaChanges,
    ) {
        for lost in merge(out, from) {
            notes.lose(keyword, &format!("{at}/{}", escaped(&lost)));
        }
    }
}

fn reference(members: &Map<String, Value>) -> Option<&str> {
    members.get("$ref").and_then(Value::as_str)
}

struct Search<'t, 'r> {
    tree: &'t SchemaRoot<'r>,
    through: FollowedReferences,
    open: Vec<*const Value>,
    done: HashSet<*const Value>,
}

impl Search<'_, '_> {
    fn within(
        &mut self,
        schema: &Value,
        at: &str,
        depth: u32,
    ) -> Result<Option<String>, RequestError> {
        let Some(members) = schema.as_object() else {
            return Ok(None);
        };
        let this = std::ptr::from_ref(schema);
        if self.open.contains(&this) {
            return Ok(Some(at.to_owned()));
        }
        if !self.done.insert(this) {
            return Ok(None);
        }
        self.tree.count(depth)?;
        self.open.push(this);
        let required = members.get("required").and_then(Value::as_array);
        let required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        for (place, inner) in subschemas(members) {
            let is_definition = place.starts_with("/$defs/") || place.starts_with("/definitions/");
            if is_definition {
                continue;
            }
            if self.through == FollowedReferences::Required
                && let Some(name) = place.strip_prefix("/properties/")
                && !required(&name.replace("~1", "/").replace("~0", "~"))
            {
                // The inner schema is searched on its own, without the path that leads to it.
                let open = std::mem::take(&mut self.open);
                let found = self.within(inner, &format!("{at}{place}"), depth + 1)?;
                self.open = open;
                if found.is_some() {
                    return Ok(found);
                }
                continue;
            }
            let found = self.within(inner, &format!("{at}{place}"), depth + 1)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if let Some(name) = reference(members) {
            let target = self.tree.target(name)?;
            let found = self.within(target, name, depth + 1)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.open.pop();
        Ok(None)
    }
}

/// Beginning of the note about a schema that is not sent at all. A request to correct an answer then shows the schema.
pub const NOT_SENT: &str = "the schema is not sent";

/// Schema in the form in which it is sent.
#[derive(Debug, Clone)]
pub struct SentSchema {
    /// Rewritten schema; `None` where no schema is sent.
    pub schema: Option<JsonBuf>,
    /// `true` where the provider is asked to enforce the schema.
    pub strict: bool,
    /// Changes, each as a short phrase.
    pub notes: Vec<String>,
}

impl SentSchema {
    /// Creates the sent form from the rewritten schema, or from the caller's own text where nothing changed.
    pub fn new(
        schema: &ResponseSchema,
        rewritten: &Value,
        strict: bool,
        notes: SchemaChanges,
    ) -> Self {
        let is_same = schema.schema.to_value() == *rewritten;
        let text = if is_same {
            schema.schema.clone()
        } else {
            JsonBuf::from_value(rewritten)
        };
        Self {
            schema: Some(text),
            strict,
            notes: notes.finish(),
        }
    }

    /// Refuses a schema that the provider does not support, or sends none where the caller allows that.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the reason, unless the schema is
    /// [lenient](crate::SchemaMode::Lenient).
    pub fn refused(schema: &ResponseSchema, why: &str) -> Result<Self, RequestError> {
        if schema.mode.is_strict() {
            return Err(RequestError::unsupported(why));
        }
        Ok(Self {
            schema: None,
            strict: false,
            notes: vec![format!(
                "{NOT_SENT} ({why}); answers are checked on this machine"
            )],
        })
    }
}

/// Cache of the schema that was rewritten last, because most requests of a run share one schema.
#[derive(Debug, Clone, Default)]
pub struct Cache(Arc<Mutex<Option<Cached>>>);

/// Schema, the number of its form, and the schema as it is sent.
type Cached = (ResponseSchema, u8, Arc<SentSchema>);

impl Cache {
    /// Returns the schema as it is sent: from the cache, or made by `make`. `form` distinguishes the forms
    /// that one adapter sends.
    ///
    /// # Errors
    /// Those of `make`. Errors are not cached.
    pub fn sent(
        &self,
        schema: &ResponseSchema,
        form: u8,
        make: impl FnOnce(&ResponseSchema) -> Result<SentSchema, RequestError>,
    ) -> Result<Arc<SentSchema>, RequestError> {
        let last = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((of, form_of, sent)) = last
            && (&of, form_of) == (schema, form)
        {
            return Ok(sent);
        }
        let sent = Arc::new(make(schema)?);
        let made = Some((schema.clone(), form, Arc::clone(&sent)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
