//! Types and traits that authors of adapters meet: the traits of a provider, the borrowed views that they
//! read and write, and helpers for JSON, text, times and media types.

pub(crate) mod batch;
pub(crate) mod bounds;
pub(crate) mod call_ids;
pub(crate) mod capabilities;
pub(crate) mod chars;
pub(crate) mod codec;
pub(crate) mod exact;
pub(crate) mod factory;
pub(crate) mod follow_up;
pub(crate) mod intent;
pub(crate) mod json;
pub(crate) mod judgement;
pub(crate) mod media;
pub(crate) mod member;
pub(crate) mod members;
pub(crate) mod outcome_view;
pub(crate) mod outline;
pub(crate) mod parts;
pub(crate) mod provider;
pub(crate) mod readable;
pub(crate) mod resolve;
pub(crate) mod row;
pub mod schemas;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod tool_names;
pub(crate) mod view;
pub(crate) mod write;

pub use batch::{
    BatchHandle, ByteStream, Candidate, Certainty, Found, IdRule, ListOptions, Page, Proof,
    RemoteObject, Shard, ShardBody, Staged, Upload,
};
pub use bounds::{BoundRules, TokenBounds};
pub use call_ids::{CallIdRule, CallIds};
pub use capabilities::{BatchClass, Capabilities, CreateProof, Frame, Limits, WireIdRule};
pub use chars::is_unsafe;
pub use codec::{BatchCodec, OpenedRow, RowContent};
pub use exact::{check_exact, exact_value};
pub use factory::{Connection, ProviderFactory};
pub use follow_up::{FollowUp, append_items, replace_member};
pub use intent::Intent;
pub use json::JsonBuf;
pub use judgement::NonContent;
pub use media::{
    is_office_media_type, is_same_format, is_text, is_text_media_type, known_media_type,
    media_type_of,
};
pub use member::Member;
pub use members::{Members, find_members, read_row};
pub use outcome_view::{
    FailureView, ItemView, OutcomeView, OutputView, RowView, ScannedRow, Verdict,
};
pub use outline::{Items, JsonView, Outline};
pub use parts::{Chunk, PartRole, ResultPart, ResultSet, RowStream};
pub use provider::BatchProvider;
pub use readable::{RawRow, readable_id, replace_lone_surrogates};
pub use row::{ResultRow, RowReader};
pub use text::{Json, JsonError, MAX_DEPTH, Text, Token, compact, write_string};
pub use time::{format_time, parse_provider_time, parse_time};
pub use tool_names::{ToolNames, check_tool_choice};
pub use view::{
    Arguments, AttachmentView, ContentView, EmbedView, GenerateView, MessageView, RawView,
    RequestView, SourceView, ThinkingView, ToolCallView, ToolResultView,
};
pub use write::{Object, write_list};
