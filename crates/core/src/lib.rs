//! The words of lmbatch: types, traits and errors that every other crate speaks.
//!
//! No runtime, no HTTP, no provider's name. Users meet [`LMInput`], [`LMOutput`] and [`Outcome`];
//! authors of adapters meet [`BatchCodec`] and [`BatchProvider`], and the borrowed views that those
//! read and write.

mod account;
mod attachment;
mod batch;
mod call_ids;
mod capabilities;
mod chars;
mod clock;
mod codec;
mod error;
mod factory;
mod handles;
mod id;
mod input;
mod intent;
mod json;
mod judgement;
mod ledger;
mod legible;
mod media;
mod member;
mod options;
mod outcome;
mod outcome_view;
mod output;
mod parts;
mod provider;
mod request_error;
mod resolve;
mod run_record;
mod schema;
pub mod schemas;
mod search;
mod shard_record;
mod status;
mod text;
mod time;
mod tool;
mod usage;
mod view;
mod write;

pub use account::{Account, AccountMatch, same_account};
pub use attachment::{
    Attachment, AttachmentError, AttachmentKind, AttachmentSource, has_scheme, is_data_url,
    split_data_url,
};
pub use batch::{
    BatchHandle, ByteStream, Candidate, Certainty, Found, IdRule, ListOptions, Page, Proof,
    Remnant, Shard, ShardBody, Staged, Upload,
};
pub use call_ids::{CallIdRule, CallIds};
pub use capabilities::{BatchClass, Capabilities, CreateProof, Frame, Limits, WireIdRule};
pub use chars::is_unsafe;
pub use clock::{Clock, Rng};
pub use codec::{BatchCodec, Opened, RowContent, read_row, surround};
pub use error::{Delivery, Error, ErrorKind, Result, Retry};
pub use factory::{Connection, ProviderFactory};
pub use handles::HandleSource;
pub use id::{
    AccountId, BatchId, CreateToken, Cursor, KeyHint, Label, Nonce, ProviderId, RequestId, WireId,
};
pub use input::{
    Contents, LMInput, Message, MessageContent, Request, Role, Thinking, ToolCall, ToolResult,
};
pub use intent::Intent;
pub use json::JsonBuf;
pub use ledger::{Change, Ledger, RunClaim, Spool, SpoolFile, SpoolWriter};
pub use legible::{RawRow, legible_id, mend_surrogates};
pub use media::{
    is_office_media_type, is_same_format, is_text, is_text_media_type, known_media_type,
    media_type_of,
};
pub use member::Member;
pub use options::{Effort, GenerateOptions, Hyperparameters, ThinkingOptions};
pub use outcome::{Outcome, OutcomeStatus, Problem};
pub use outcome_view::{FailureView, ItemView, OutcomeView, OutputView, RowView, Scanned, Verdict};
pub use output::{FinishReason, LMOutput, OutputItem, StructuredError};
pub use parts::{Chunk, PartRole, ResultPart, ResultSet, RowStream};
pub use provider::BatchProvider;
pub use request_error::{RequestError, RowError};
pub use run_record::{Cleaned, Order, RunFilter, RunRecord};
pub use schema::{SchemaError, SchemaMode};
pub use search::{Progress, Search, SearchPhase};
pub use shard_record::{
    Closed, LateAcknowledgement, Locations, Segment, ShardKey, ShardRecord, ShardState,
    ShardTables, StoredTable,
};
pub use status::{BatchProblem, BatchSnapshot, BatchStatus, RequestCounts};
pub use text::{Json, JsonError, MAX_DEPTH, Text, Token, compact, write_string};
pub use time::{format_time, parse_provider_time, parse_time};
pub use tool::{ResponseSchema, Tool, ToolChoice};
pub use usage::TokenUsage;
pub use view::{
    Arguments, AttachmentView, ContentView, EmbedView, GenerateView, MessageView, RawView,
    RequestView, SourceView, ThinkingView, ToolCallView, ToolResultView,
};
pub use write::{Object, write_list};
