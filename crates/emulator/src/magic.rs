//! Words that, anywhere in the user's text, make the request go wrong.

/// A row with HTTP 400.
pub const ERROR_400: &str = "lmb:error-400";
/// A row with HTTP 429.
pub const ERROR_429: &str = "lmb:error-429";
/// A row with HTTP 500.
pub const ERROR_500: &str = "lmb:error-500";
/// The request expires, and its batch with it.
pub const EXPIRE: &str = "lmb:expire";
/// No row, though the counts say that the request was answered.
pub const MISSING: &str = "lmb:missing";
/// No row, and the request is in no count but the total: it was not answered, and is not paid for.
pub const UNANSWERED: &str = "lmb:unanswered";
/// The row comes twice.
pub const TWICE: &str = "lmb:twice";
/// A row more, of a request that was never sent.
pub const FOREIGN: &str = "lmb:foreign";
/// The answer reaches the most tokens.
pub const TRUNCATE: &str = "lmb:truncate";
/// The row's JSON is cut in the middle.
pub const CUT: &str = "lmb:cut";
/// The model refuses.
pub const REFUSE: &str = "lmb:refuse";
/// The provider stops the answer.
pub const FILTER: &str = "lmb:filter";
/// The model calls the first tool.
pub const TOOL: &str = "lmb:tool";
/// The answer says nothing.
pub const EMPTY: &str = "lmb:empty";
/// The answer is not JSON, though a schema was asked for.
pub const INVALID_JSON: &str = "lmb:invalid-json";
/// The answer is JSON that does not fit the schema.
pub const SCHEMA_MISS: &str = "lmb:schema-miss";
/// The model thinks first.
pub const THINK: &str = "lmb:think";
/// A row with HTTP 200 whose answer failed.
pub const FAILED: &str = "lmb:failed";
/// An item of a type that nobody knows.
pub const UNKNOWN_ITEM: &str = "lmb:unknown-item";
/// Validation refuses the batch because of this line.
pub const FAIL_LINE: &str = "lmb:fail-line";
/// A row without the key that names its request (Gemini).
pub const NO_KEY: &str = "lmb:no-key";
