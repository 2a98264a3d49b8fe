//! An outcome as it is read from a row, borrowed.

use std::borrow::Cow;

use crate::{
    AttachmentView, ErrorKind, FinishReason, Json, Problem, Retry, Text, ThinkingView, TokenUsage,
    ToolCallView,
};

/// What one row says: whose it is, and what came of it.
#[derive(Debug, Clone)]
pub struct RowView<'a> {
    /// The id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// What came of it.
    pub outcome: OutcomeView<'a>,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub enum OutcomeView<'a> {
    /// The model answered.
    Succeeded(OutputView<'a>),
    /// It did not.
    Errored(FailureView<'a>),
    /// The provider ran out of time.
    Expired,
    /// It was cancelled first.
    Cancelled,
}

impl OutcomeView<'_> {
    /// The outcome in one byte.
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

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct FailureView<'a> {
    /// What kind of thing went wrong.
    pub kind: ErrorKind,
    /// The provider's structured code.
    pub code: Option<Cow<'a, str>>,
    /// The HTTP status that the row carries.
    pub http_status: Option<u16>,
    /// The provider's words.
    pub message: Option<Text<'a>>,
    /// Whether asking again may succeed.
    pub retryable: bool,
}

impl<'a> FailureView<'a> {
    /// A failure of a kind, which may be asked again where it is temporary.
    pub fn new(kind: ErrorKind, retry: Retry) -> Self {
        Self {
            kind,
            code: None,
            http_status: None,
            message: None,
            retryable: retry == Retry::Temporary,
        }
    }

    /// A row that is this request's and holds nothing that can be read.
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

/// An answer.
#[derive(Debug, Clone)]
pub struct OutputView<'a> {
    /// What was said, in order.
    pub items: Vec<ItemView<'a>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it used; `None` where the provider does not say.
    pub usage: Option<TokenUsage>,
    /// The model that answered.
    pub model: Option<Text<'a>>,
    /// The provider's name of the answer.
    pub response_id: Option<Text<'a>>,
    /// Why the answer may be unusable.
    pub problem: Option<Problem>,
}

impl<'a> OutputView<'a> {
    /// An answer of one text, judged by why it ended.
    pub fn text(text: Text<'a>, finish_reason: FinishReason) -> Self {
        Self::judged(vec![ItemView::Text(text)], finish_reason)
    }

    /// Returns an answer of several items with the problem that they and the finish reason show. An answer that
    /// stopped by itself and refuses, or calls a tool, gets that as its finish reason. Usage, model and id are not
    /// said.
    ///
    /// ```
    /// use lmbatch_core::{FinishReason, ItemView, OutputView, Problem};
    /// let refused = OutputView::judged(vec![ItemView::Refusal("no".into())], FinishReason::Stop);
    /// assert_eq!((refused.finish_reason, refused.problem), (FinishReason::Refusal, Some(Problem::Refused)));
    /// ```
    pub fn judged(items: Vec<ItemView<'a>>, finish_reason: FinishReason) -> Self {
        let has = |test: fn(&ItemView<'_>) -> bool| items.iter().any(test);
        let has_refusal = has(|item| matches!(item, ItemView::Refusal(_)));
        let has_call = has(|item| matches!(item, ItemView::ToolCall(_)));
        let has_content = has(|item| match item {
            ItemView::Text(text) => !text.is_empty(),
            ItemView::ToolCall(_) | ItemView::Attachment(_) => true,
            _ => false,
        });
        let has_other = has(|item| matches!(item, ItemView::Other(_)));
        let finish_reason = match finish_reason {
            FinishReason::Stop if has_refusal => FinishReason::Refusal,
            FinishReason::Stop if has_call => FinishReason::ToolUse,
            other => other,
        };
        let problem = match finish_reason {
            FinishReason::Length | FinishReason::Paused => Some(Problem::Truncated),
            FinishReason::ContentFilter => Some(Problem::ContentFilter),
            FinishReason::Refusal => Some(Problem::Refused),
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

/// A piece of an answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ItemView<'a> {
    /// Words.
    Text(Text<'a>),
    /// A call to a tool.
    ToolCall(ToolCallView<'a>),
    /// What the model thought.
    Thinking(ThinkingView<'a>),
    /// Its words of refusal.
    Refusal(Text<'a>),
    /// Something it made.
    Attachment(AttachmentView<'a>),
    /// Words on the way to the answer, which are not the answer itself.
    Commentary(Text<'a>),
    /// What it relied on, in the provider's words.
    Citation(Json<'a>),
    /// What else the provider says of the answer, such as log probabilities or safety ratings.
    Detail {
        /// The provider's name of it.
        name: &'static str,
        /// The provider's words.
        value: Json<'a>,
    },
    /// Anything else, in the provider's words.
    Other(Json<'a>),
}

/// An outcome in one byte, as the index keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// The model answered.
    Succeeded = 1,
    /// It did not, and will not.
    Errored = 2,
    /// It did not, and might if asked again.
    ErroredRetryable = 3,
    /// The provider ran out of time.
    Expired = 4,
    /// It was cancelled first.
    Cancelled = 5,
}

/// What a row says when its body stays shut.
#[derive(Debug, Clone, Copy)]
pub struct Scanned<'a> {
    /// The id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// What came of it.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use crate::Arguments;

    use super::*;

    #[test]
    fn a_text_is_judged_by_why_it_ended() {
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
    fn several_items_are_judged_together() {
        use FinishReason::{Length, Other, Refusal, Stop, ToolUse};
        let text = |text: &'static str| ItemView::Text(text.into());
        let call = || {
            let arguments = Arguments::Quoted("{}".into());
            ItemView::ToolCall(ToolCallView::without_id("f".into(), arguments, &[]))
        };
        let thought = || ItemView::Thinking(ThinkingView::default());
        let other = || ItemView::Other(Json::new("{}").unwrap());
        let refusal = || ItemView::Refusal("no".into());
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
                None,
            ),
            (Vec::new(), Stop, Stop, Some(Problem::Empty)),
        ] {
            let shown = format!("{items:?} {reason:?}");
            let output = OutputView::judged(items, reason);
            assert_eq!(
                (output.finish_reason, output.problem),
                (finish, problem),
                "{shown}"
            );
        }
    }
}
