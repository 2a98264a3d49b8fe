use lmbatch_core::{AnswerCost, BatchId, Cost, ErrorKind, FinishReason, Retry, SchemaError, Text};

use super::*;

pub(crate) fn answered<'a>(
    id: &'a str,
    metadata: Option<&'a str>,
    batch: Option<&'a BatchId>,
    answer: AnswerView<'a>,
) -> AnsweredRequest<'a> {
    AnsweredRequest {
        ordinal: 0,
        id: Json::new(id).unwrap(),
        metadata: metadata.map(|text| Json::new(text).unwrap()),
        batch,
        schema_requested: true,
        raw: None,
        replaced: 0,
        answer,
        cost: None,
    }
}

pub(crate) fn text<'a>(text: &'a str, structured: Structured<'a>) -> AnswerView<'a> {
    let mut output = OutputView::text(Text::from(text), FinishReason::Stop);
    output.usage = Some(TokenUsage {
        input_tokens: 12,
        cached_input_tokens: 2,
        output_tokens: 3,
        thinking_tokens: 1,
        ..TokenUsage::default()
    });
    AnswerView::Row {
        outcome: OutcomeView::Succeeded(output),
        structured,
    }
}

#[test]
fn every_outcome_is_a_row_with_its_kept_columns_and_its_properties() {
    let table = OutcomeTable::new(
        b',',
        ["author".to_owned(), "status".to_owned()],
        ["mood".to_owned(), "tags".to_owned()],
    );
    let batch = BatchId::new("b1");
    let mut failure = FailureView::new(ErrorKind::ProviderRateLimit, Retry::Permanent);
    failure.message = Some(Text::from("slow down"));
    let errored = AnswerView::Row {
        outcome: OutcomeView::Errored(failure),
        structured: Structured::Absent,
    };
    let value = r#"{"mood":"a \"b\"\nc","tags":["x",1],"more":1}"#;
    let mut outcomes = [
        answered(
            "\"t,1\"",
            Some(r#"{"author":"Zoë","status":null}"#),
            Some(&batch),
            text("plain", Structured::Value(value.into())),
        ),
        answered("7", None, Some(&batch), errored),
        answered("8", Some("[1]"), None, AnswerView::Missing),
        answered("9", None, Some(&batch), AnswerView::Malformed),
        answered(
            "10",
            Some(r#"{"status":true}"#),
            Some(&batch),
            text("", Structured::NotRequested),
        ),
    ];
    let costs = [(12_300_000_000, 12_300_000_000), (0, 1_000_000_000_000)];
    for (at, (low, high)) in [(0, costs[0]), (4, costs[1])] {
        outcomes[at].cost = Some(AnswerCost {
            charged: CostRange {
                low: Cost::from_picodollars(low),
                high: Cost::from_picodollars(high),
            },
            real_time: None,
        });
    }
    let mut out = Vec::new();
    table.write_header(&mut out);
    for outcome in &outcomes {
        table.write_outcome(outcome, &mut out);
    }
    let expected = "\
id,author,status_2,status,problem,text,mood,tags,finish_reason,input_tokens,cached_input_tokens,output_tokens,thinking_tokens,cost_usd,cost_usd_at_most,error_kind,error_message,batch
\"t,1\",Zoë,,succeeded,,plain,\"a \"\"b\"\"
c\",\"[\"\"x\"\",1]\",stop,12,2,3,1,0.0123,,,,b1
7,,,errored,,,,,,,,,,,,provider_rate_limit,slow down,b1
8,,,missing,,,,,,,,,,,,,,
9,,,errored,,,,,,,,,,,,malformed_answer,the row holds no answer that can be read,b1
10,,true,succeeded,empty,,,,stop,12,2,3,1,,1.00,,,b1
";
    let written = String::from_utf8(out).unwrap();
    assert_eq!(
        written.lines().collect::<Vec<_>>(),
        expected.lines().collect::<Vec<_>>()
    );
}

#[test]
fn the_table_of_an_emulated_run_says_so() {
    let mut out = Vec::new();
    let table = OutcomeTable::new(b',', ["emulated".to_owned()], []).with_emulated();
    table.write_header(&mut out);
    table.write_outcome(&answered("7", None, None, AnswerView::Missing), &mut out);
    let rows = String::from_utf8(out).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert!(rows[0].starts_with("id,emulated_2,status,") && rows[0].ends_with(",batch,emulated"));
    assert!(rows[1].ends_with(",,true"), "{rows:?}");
}

#[test]
fn rows_are_read_back_as_they_were_written() {
    let texts = [
        "",
        "\"",
        "a\tb",
        "\r\n",
        ",",
        " x ",
        "\u{0}",
        "ünï",
        "\"\"\",\n",
    ];
    for delimiter in [b',', b'\t'] {
        let table = OutcomeTable::new(delimiter, [], []);
        let mut out = Vec::new();
        for each in texts {
            table.write_outcome(
                &answered("\"a\"", None, None, text(each, Structured::NotRequested)),
                &mut out,
            );
        }
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .from_reader(&out[..]);
        let read: Vec<String> = reader
            .records()
            .map(|record| record.unwrap()[3].to_owned())
            .collect();
        assert_eq!(read, texts);
    }
}

#[test]
fn an_answer_that_does_not_fit_its_schema_says_why() {
    let error = SchemaError::new("/mood", "is missing");
    let reason = error.to_string();
    let answer = text("{}", Structured::Invalid(error));
    let mut out = Vec::new();
    OutcomeTable::new(b'\t', [], []).write_outcome(&answered("1", None, None, answer), &mut out);
    let row = String::from_utf8(out).unwrap();
    assert!(row.starts_with("1\tsucceeded\tinvalid_structured\t{}\tstop\t"));
    assert!(row.contains(&reason), "{row}");
}
