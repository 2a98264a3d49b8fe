//! How a broken adapter reads rows.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Error, ErrorKind, Result, RowStream};

const MAX: usize = 1 << 20;

/// The rows of a body, as an adapter that breaks a clause reads them.
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
        "outcomes_may_come_in_any_order" => {
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
        "an_outcome_that_comes_twice_counts_once" => {
            return Ok(lines.iter().rev().copied().collect::<String>().into_bytes());
        }
        "a_request_without_a_row_is_missing" => {
            let filled = match text.contains("\"id\":\"b\"") {
                true => text,
                false => format!("{text}{{\"id\":\"b\",\"answer\":\"made up\"}}\n"),
            };
            return Ok(filled.into_bytes());
        }
        "rows_of_others_are_nobodys" => refuse_if(text.contains("stranger"))?,
        "a_malformed_row_spoils_nothing_around_it" => {
            refuse_if(lines.iter().any(|line| line.trim() == "42"))?;
        }
        "empty_results_are_held" if body.is_empty() => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "spoilt_results_are_read_again" if text.contains("stranger-1") => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "blank_lines_mean_nothing" => {
            refuse_if(lines.iter().any(|line| line.trim().is_empty()))?;
        }
        "lines_may_end_in_cr_lf" => refuse_if(text.contains('\r'))?,
        "a_byte_order_mark_means_nothing" => refuse_if(text.starts_with('\u{feff}'))?,
        "the_last_line_may_lack_its_end" => return Ok(keep(&|line| line.ends_with('\n'))),
        "separators_within_a_row_do_not_end_it" => {
            return Ok(text.replace('\u{2028}', "\n").into_bytes());
        }
        "a_row_of_the_most_bytes_is_delivered" => {
            return Ok(keep(&|line| line.trim_end().len() != MAX));
        }
        "a_row_of_one_byte_more_spoils_only_itself" => {
            refuse_if(lines.iter().any(|line| line.trim_end().len() > MAX))?;
        }
        "results_that_end_early_lose_no_other_row" => {
            let last = lines.last().map_or("", |line| line.trim());
            refuse_if(last.starts_with('{') && !last.ends_with('}'))?;
        }
        "a_web_page_in_place_of_results_is_nobodys_outcome" if text.starts_with('<') => {
            return Err(Error::new(ErrorKind::Internal));
        }
        "a_part_is_read_as_lines" => {
            return Ok(format!("{text}\n").into_bytes());
        }
        _ => {}
    }
    Ok(body)
}
