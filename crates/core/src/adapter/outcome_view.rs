//! Borrowed outcomes, as codecs read them from rows of results.

use std::borrow::Cow;

use crate::{
    AttachmentView, ErrorKind, FinishReason, Json, Problem, Retry, Text, ThinkingView, TokenUsage,
    ToolCallView,
};

/// Row of results that was read: id and outcome of its request.
#[derive(Debug, Clone)]
pub struct RowView<'a> {
    /// The request's id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// Outcome of the request.
    pub outcome: OutcomeView<'a>,
}

/// Borrowed outcome of one request.
#[derive(Debug, Clone)]
pub enum OutcomeView<'a> {
    /// The model answered the request.
    Succeeded(OutputView<'a>),
    /// The request failed, and the failure says why.
    Errored(FailureView<'a>),
    /// The batch expired before the provider answered the request.
    Expired,
    /// The batch was cancelled before the provider answered the request.
    Cancelled,
}

impl OutcomeView<'_> {
    /// Returns the verdict, which stands for the outcome in one byte.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Succeeded(_) => Verdict::Succeeded,
            Self::Errored(failure) if failure.retryable => Verdict::ErroredRetryable,
            Self::Errored(_) => Verdict::Errored,
            Self::Expired => Verdict::Expired,
            Self::Cancelled => Verdict::Cancelled,
        }
    }
}

/// Reason why a request has no answer, borrowed.
#[derive(Debug, Clone)]
pub struct FailureView<'a> {
    /// Kind of the failure.
    pub kind: ErrorKind,
    /// The provider's structured error code.
    pub code: Option<Cow<'a, str>>,
    /// HTTP status of the request's row.
    pub http_status: Option<u16>,
    /// The provider's message, which may quote the prompt.
    pub message: Option<Text<'a>>,
    /// `true` where the same request may succeed if it is sent again.
    pub retryable: bool,
}

impl<'a> FailureView<'a> {
    /// Creates a failure of a kind, which is retryable where `retry` is [`Temporary`](Retry::Temporary).
    pub fn new(kind: ErrorKind, retry: Retry) -> Self {
        Self {
            kind,
            code: None,
            http_status: None,
            message: None,
            retryable: retry == Retry::Temporary,
        }
    }

    /// Creates the failure of a row that belongs to a request but has no readable content.
    pub fn malformed() -> Self {
        Self {
            kind: ErrorKind::MalformedAnswer,
            code: None,
            http_status: None,
            message: Some(Text::Plain("the row holds no answer that can be read")),
            retryable: false,
        }
    }
}

/// Borrowed answer of a model.
#[derive(Debug, Clone)]
pub struct OutputView<'a> {
    /// Items of the answer, in the provider's order.
    pub items: Vec<ItemView<'a>>,
    /// Reason why the answer ended.
    pub finish_reason: FinishReason,
    /// Tokens used by the request; `None` where the provider does not report them.
    pub usage: Option<TokenUsage>,
    /// Model that answered, as the provider names it.
    pub model: Option<Text<'a>>,
    /// The provider's id of the answer.
    pub response_id: Option<Text<'a>>,
    /// Reason why the answer may be unusable; `None` for a usable one.
    pub problem: Option<Problem>,
}

impl<'a> OutputView<'a> {
    /// Creates an answer of one text, with the problem that its finish reason shows.
    pub fn text(text: Text<'a>, finish_reason: FinishReason) -> Self {
        Self::from_items(vec![ItemView::Text(text)], finish_reason)
    }

    /// Creates an answer of several items, with the problem that the items and the finish reason show. Where
    /// an answer with the reason `Stop` refuses or calls a tool, its finish reason changes to match. An end for an
    /// unknown reason is the problem [`Unrecognized`](Problem::Unrecognized). Usage, model and id are not set.
    ///
    /// ```
    /// use lmbatch_core::{FinishReason, ItemView, OutputView, Problem};
    /// let refused = OutputView::from_items(vec![ItemView::Refusal("no".into())], FinishReason::Stop);
    /// assert_eq!((refused.finish_reason, refused.problem), (FinishReason::Refusal, Some(Problem::Refused)));
    /// ```
    pub fn from_items(items: Vec<ItemView<'a>>, finish_reason: FinishReason) -> Self {
        Self::judged_with(items, finish_reason, |_| false)
    }

    /// Creates an answer as [`judged`](Self::from_items) does, where `is_content` says which of the items of other kinds
    /// are content in themselves, such as an image that the provider's own tool made.
    pub fn judged_with(
        items: Vec<ItemView<'a>>,
        finish_reason: FinishReason,
        is_content: impl Fn(&ItemView<'a>) -> bool,
    ) -> Self {
        let has = |test: fn(&ItemView<'_>) -> bool| items.iter().any(test);
        let has_refusal = has(|item| matches!(item, ItemView::Refusal(_)));
        let has_call = has(|item| matches!(item, ItemView::ToolCall(_)));
        let has_content = items.iter().any(|item| match item {
            ItemView::Text(text) => !text.is_empty(),
            ItemView::ToolCall(_) | ItemView::Attachment(_) => true,
            other => is_content(other),
        });
        let has_other = has(|item| matches!(item, ItemView::Other(_)));
        let has_unread_call = has(|item| matches!(item, ItemView::UnreadCall(_)));
        let finish_reason = match finish_reason {
            FinishReason::Stop if has_refusal => FinishReason::Refusal,
            FinishReason::Stop if has_call => FinishReason::ToolUse,
            FinishReason::Other(word) => FinishReason::of_provider(&word),
            other => other,
        };
        let problem = match (finish_reason.problem(), &finish_reason) {
            (Some(Problem::Unrecognized), FinishReason::Other(_)) if items.is_empty() => {
                Some(Problem::Empty)
            }
            (Some(problem), _) => Some(problem),
            _ if has_unread_call => Some(Problem::Unrecognized),
            _ if has_content => None,
            _ if has_other => Some(Problem::Unrecognized),
            _ => Some(Problem::Empty),
        };
        Self {
            items,
            finish_reason,
            usage: None,
            model: None,
            response_id: None,
            problem,
        }
    }
}

/// One item of an answer, borrowed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ItemView<'a> {
    /// Plain text of the answer.
    Text(Text<'a>),
    /// A tool call that the model made.
    ToolCall(ToolCallView<'a>),
    /// The model's reasoning (thinking).
    Thinking(ThinkingView<'a>),
    /// Text of the model's refusal.
    Refusal(Text<'a>),
    /// A file that the model made, such as an image or audio.
    Attachment(AttachmentView<'a>),
    /// Intermediate text that the model marks as not part of the answer.
    Commentary(Text<'a>),
    /// A citation of a source, as the provider's JSON.
    Citation(Json<'a>),
    /// Further data about the answer, such as log probabilities or safety ratings.
    Detail {
        /// The provider's name of the data.
        name: &'static str,
        /// The provider's JSON, unchanged.
        value: Json<'a>,
    },
    /// A tool call that cannot be read, such as one whose arguments stand under an unknown name, as the provider's
    /// JSON. An answer with one has a problem, also beside a text; in outcomes it is an item of type other.
    UnreadCall(Json<'a>),
    /// Any other item, as the provider's JSON.
    Other(Json<'a>),
}

/// Outcome of a request in one byte, as the index of results stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// The model answered the request.
    Succeeded = 1,
    /// The request failed, and would fail again.
    Errored = 2,
    /// The request failed, and may succeed if it is sent again.
    ErroredRetryable = 3,
    /// The batch expired before the provider answered the request.
    Expired = 4,
    /// The batch was cancelled before the provider answered the request.
    Cancelled = 5,
}

/// Id and verdict of a row whose answer was not read.
#[derive(Debug, Clone, Copy)]
pub struct ScannedRow<'a> {
    /// The request's id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// Verdict on the request.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use crate::Arguments;

    use super::*;

    #[test]
    fn the_finish_reason_of_a_text_decides_its_problem() {
        for (text, reason, problem) in [
            ("x", FinishReason::Stop, None),
            ("", FinishReason::Stop, Some(Problem::Empty)),
            ("x", FinishReason::Length, Some(Problem::Truncated)),
            ("", FinishReason::Refusal, Some(Problem::Refused)),
            (
                "x",
                FinishReason::ContentFilter,
                Some(Problem::ContentFilter),
            ),
        ] {
            assert_eq!(OutputView::text(text.into(), reason).problem, problem);
        }
    }

    #[test]
    fn items_and_finish_reason_decide_the_problem_together() {
        use FinishReason::{Length, Other, Refusal, Stop, ToolUse};
        let text = |text: &'static str| ItemView::Text(text.into());
        let call = || {
            let arguments = Arguments::Quoted("{}".into());
            ItemView::ToolCall(ToolCallView::without_id("f".into(), arguments, &[]))
        };
        let thought = || ItemView::Thinking(ThinkingView::default());
        let other = || ItemView::Other(Json::new("{}").unwrap());
        let refusal = || ItemView::Refusal("no".into());
        let unread = || ItemView::UnreadCall(Json::new("{}").unwrap());
        for (items, reason, finish, problem) in [
            (vec![thought(), text("x")], Stop, Stop, None),
            (vec![text("x"), call()], Stop, ToolUse, None),
            (vec![call()], Length, Length, Some(Problem::Truncated)),
            (
                vec![refusal(), call()],
                Stop,
                Refusal,
                Some(Problem::Refused),
            ),
            (vec![thought()], Stop, Stop, Some(Problem::Empty)),
            (vec![other()], Stop, Stop, Some(Problem::Unrecognized)),
            (
                vec![other(), text("")],
                Stop,
                Stop,
                Some(Problem::Unrecognized),
            ),
            (
                vec![text("x")],
                Other("new".into()),
                Other("new".into()),
                Some(Problem::Unrecognized),
            ),
            (
                vec![text("x")],
                Other("MAX_TOKENS".into()),
                Length,
                Some(Problem::Truncated),
            ),
            (
                vec![text("x")],
                Other("time_limit".into()),
                Other("time_limit".into()),
                Some(Problem::Truncated),
            ),
            (
                Vec::new(),
                Other("new".into()),
                Other("new".into()),
                Some(Problem::Empty),
            ),
            (
                vec![text("x"), call(), unread()],
                Stop,
                ToolUse,
                Some(Problem::Unrecognized),
            ),
            (vec![unread()], Length, Length, Some(Problem::Truncated)),
            (Vec::new(), Stop, Stop, Some(Problem::Empty)),
        ] {
            let shown = format!("{items:?} {reason:?}");
            let output = OutputView::from_items(items, reason);
            assert_eq!(
                (output.finish_reason, output.problem),
                (finish, problem),
                "{shown}"
            );
        }
    }
}
