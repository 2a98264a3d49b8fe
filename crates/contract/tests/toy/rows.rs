//! Rows as broken adapters read them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Error, ErrorKind, Result, RowStream};

const MAX: usize = 1 << 20;

/// Reads the rows of a body the way an adapter that breaks a clause would.
pub(crate) fn broken_rows(body: ByteStream, breaks: &'static str) -> RowStream {
    let whole = async move {
        let pieces: Vec<_> = body.try_collect().await?;
        Ok(Chunk::Bytes(read(pieces.concat(), breaks)?.into()))
    };
    stream::once(whole).boxed()
}

fn read(body: Vec<u8>, breaks: &'static str) -> Result<Vec<u8>> {
    let refuse_if = |bad: bool| match bad {
        true => Err(Error::malformed("not rows")),
        false => Ok(()),
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let keep = |keep: &dyn Fn(&str) -> bool| -> Vec<u8> {
        lines
            .iter()
            .copied()
            .filter(|line| keep(line))
            .collect::<String>()
            .into_bytes()
    };
    match breaks {
        "rows_may_arrive_in_any_order" => {
            let mut last = String::new();
            let mut out = String::new();
            for line in &lines {
                if last.as_str() < *line {
                    out.push_str(line);
                    last = (*line).to_owned();
                }
            }
            return Ok(out.into_bytes());
        }
        "a_repeated_row_counts_once" => {
            return Ok(lines.iter().rev().copied().collect::<String>().into_bytes());
        }
        "a_request_without_a_row_is_missing" => {
            let filled = match text.contains("\"id\":\"b\"") {
                true => text,
                false => format!("{text}{{\"id\":\"b\",\"answer\":\"made up\"}}\n"),
            };
            return Ok(filled.into_bytes());
        }
        "rows_with_unknown_ids_are_ignored" => refuse_if(text.contains("other-batch"))?,
        "a_malformed_row_does_not_affect_other_rows" => {
            refuse_if(lines.iter().any(|line| line.trim() == "42"))?;
        }
        "an_ended_batch_with_empty_results_is_not_delivered" if body.is_empty() => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "corrupt_results_are_read_again" if text.contains("other-batch-1") => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "blank_lines_are_ignored" => {
            refuse_if(lines.iter().any(|line| line.trim().is_empty()))?;
        }
        "lines_may_end_in_cr_lf" => refuse_if(text.contains('\r'))?,
        "a_byte_order_mark_is_ignored" => refuse_if(text.starts_with('\u{feff}'))?,
        "the_last_line_may_lack_a_line_feed" => return Ok(keep(&|line| line.ends_with('\n'))),
        "unicode_line_separators_do_not_end_a_row" => {
            return Ok(text.replace('\u{2028}', "\n").into_bytes());
        }
        "a_row_of_the_maximum_size_is_delivered" => {
            return Ok(keep(&|line| line.trim_end().len() != MAX));
        }
        "an_oversized_row_does_not_affect_other_rows" => {
            refuse_if(lines.iter().any(|line| line.trim_end().len() > MAX))?;
        }
        "truncated_results_lose_only_the_last_row" => {
            let last = lines.last().map_or("", |line| line.trim());
            refuse_if(last.starts_with('{') && !last.ends_with('}'))?;
        }
        "an_html_page_instead_of_results_is_no_outcome" if text.starts_with('<') => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "a_results_part_is_read_as_lines" => {
            return Ok(format!("{text}\n").into_bytes());
        }
        _ => {}
    }
    Ok(body)
}
