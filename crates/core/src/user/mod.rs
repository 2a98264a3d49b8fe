//! Types that library users meet: requests, answers, outcomes, errors and the status of a batch.

pub(crate) mod attachment;
pub(crate) mod cost;
pub(crate) mod error;
pub(crate) mod handles;
pub(crate) mod id;
pub(crate) mod input;
pub(crate) mod model_name;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod output;
pub(crate) mod request_error;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod tool;
pub(crate) mod usage;
pub(crate) mod word;

pub use attachment::{
    Attachment, AttachmentError, AttachmentKind, AttachmentSource, has_scheme, is_data_url,
    split_data_url,
};
pub use cost::{Cost, CostError, CostRange, Prices, Pricing};
pub use error::{Delivery, Error, ErrorKind, Result, Retry};
pub use handles::HandleSource;
pub use id::{
    AccountId, BatchId, CreateToken, Cursor, KeyHint, Label, Nonce, NonceError, ProviderId,
    RequestId, WireId,
};
pub use input::{
    Contents, LMInput, Message, MessageContent, Request, Role, Thinking, ToolCall, ToolResult,
};
pub use model_name::{ModelName, ModelNameError};
pub use options::{Effort, GenerateOptions, Hyperparameters, ParameterError, ThinkingOptions};
pub use outcome::{Outcome, OutcomeStatus, Problem};
pub use output::{FinishReason, LMOutput, OutputItem, StructuredError};
pub use request_error::{RequestError, RowError};
pub use schema::{SchemaError, SchemaMode};
pub use status::{BatchProblem, BatchSnapshot, BatchStatus, RequestCounts};
pub use tool::{ResponseSchema, Tool, ToolChoice};
pub use usage::TokenUsage;
pub use word::UnknownWord;
