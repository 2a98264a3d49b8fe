//! Words that, anywhere in the user's text, control the outcome of the request.

/// The row has HTTP status 400.
pub const ERROR_400: &str = "lmb:error-400";
/// The row has HTTP status 429.
pub const ERROR_429: &str = "lmb:error-429";
/// The row has HTTP status 500.
pub const ERROR_500: &str = "lmb:error-500";
/// The request expires, and its batch with it.
pub const EXPIRE: &str = "lmb:expire";
/// The results have no row, although the counts include the request as answered.
pub const MISSING: &str = "lmb:missing";
/// The results have no row, and only the total count includes the request: it was not answered and is not charged.
pub const UNANSWERED: &str = "lmb:unanswered";
/// The row appears twice.
pub const TWICE: &str = "lmb:twice";
/// The results have an extra row, of a request that was never sent.
pub const FOREIGN: &str = "lmb:foreign";
/// The answer reaches the token limit.
pub const TRUNCATE: &str = "lmb:truncate";
/// The row's JSON is cut in the middle.
pub const CUT: &str = "lmb:cut";
/// The model refuses to answer.
pub const REFUSE: &str = "lmb:refuse";
/// The provider's content filter stops the answer.
pub const FILTER: &str = "lmb:filter";
/// The model calls the first tool.
pub const TOOL: &str = "lmb:tool";
/// The answer is empty.
pub const EMPTY: &str = "lmb:empty";
/// The answer is not JSON, although a schema was requested.
pub const INVALID_JSON: &str = "lmb:invalid-json";
/// The answer is JSON that does not match the schema.
pub const SCHEMA_MISS: &str = "lmb:schema-miss";
/// The model thinks before it answers.
pub const THINK: &str = "lmb:think";
/// The row has HTTP status 200 and a failed answer.
pub const FAILED: &str = "lmb:failed";
/// The answer has an item of an unknown type.
pub const UNKNOWN_ITEM: &str = "lmb:unknown-item";
/// The batch fails validation because of this line.
pub const FAIL_LINE: &str = "lmb:fail-line";
/// The row lacks the key that names its request (Gemini).
pub const NO_KEY: &str = "lmb:no-key";
