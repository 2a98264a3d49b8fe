//! The table of clauses, and the macro that makes tests of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::failure::message;
use crate::kit::Kit;
use crate::panics::{cut_what_is_printed, place, quietly, words};
use crate::renamed::{NAMES_EDITION, renamed};
use crate::wire::Wire;

/// Time limit of a clause, 60 s. An adapter that polls forever breaks a promise too.
const AT_MOST: Duration = Duration::from_secs(60);

/// One promise that every adapter keeps.
#[derive(Clone, Copy)]
pub struct Clause {
    /// Name of the clause: a sentence in snake case.
    pub name: &'static str,
    /// Topic of the clause, such as `create` or `results`: the module of [`clauses`](crate::clauses) that holds it.
    pub topic: &'static str,
    /// First edition that includes the clause, such as `2026-11`.
    pub edition: &'static str,
    run: for<'a> fn(&'a Kit) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Clause {
    /// Runs the clause against an adapter.
    ///
    /// # Panics
    /// If the adapter breaks the clause.
    pub fn hold(&self, wire: impl Wire) {
        cut_what_is_printed();
        // The panic of the clause is part of the failure, which is printed once.
        let kept = quietly(|| runtime().block_on(self.try_hold(Arc::new(wire))));
        kept.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Runs the clause against an adapter, and returns the failure instead of panicking.
    ///
    /// # Errors
    /// The failure, at most about 4,000 bytes: the promise of the clause, the finding, the last exchange without the
    /// key, and the methods of the wire that the clause uses.
    pub async fn try_hold(&self, wire: Arc<dyn Wire>) -> Result<(), String> {
        let kit = Kit::of(wire);
        let run = AssertUnwindSafe((self.run)(&kit)).catch_unwind();
        let ended = in_time(run).await;
        let failed = ended.and_then(|kept| {
            kept.map_err(|panic| match place() {
                Some(place) => format!("{} ({place})", words(&*panic)),
                None => words(&*panic),
            })
        });
        let found = match (failed, kit.faults.message()) {
            (Ok(()), None) => return Ok(()),
            (Err(why), None) => why,
            (Ok(()), Some(faults)) => faults,
            (Err(why), Some(faults)) => format!("{faults}\n{why}"),
        };
        Err(message(self.topic, self.name, &found, &kit.faults))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is real, and so is the time of its responses"
)]
async fn in_time<T>(clause: impl Future<Output = T>) -> Result<T, String> {
    let ended = tokio::time::timeout(AT_MOST, clause).await;
    ended.map_err(|_| format!("the clause did not end within {} s", AT_MOST.as_secs()))
}

/// Returns the clause with the given name.
///
/// # Panics
/// If there is no such clause. For a name from before [`NAMES_EDITION`], the message gives the new name.
pub fn clause(name: &str) -> &'static Clause {
    let found = CLAUSES.iter().find(|clause| clause.name == name);
    found.unwrap_or_else(|| match renamed().find(|(old, _)| *old == name) {
        Some((_, new)) => {
            panic!("there is no clause {name}: it is named {new} since edition {NAMES_EDITION}")
        }
        None => panic!("there is no clause {name}"),
    })
}

/// Returns a runtime to run clauses on: one thread, so that logs can be captured per thread.
///
/// # Panics
/// If the system cannot create a runtime.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Generates one test for each clause, under the name of the clause:
///
/// ```ignore
/// // tests/contract.rs of the adapter
/// lmbatch_contract::contract_tests!(AcmeWire);
/// ```
///
/// Each clause belongs to an edition. New clauses come in a new edition, so that an upgrade of the kit never breaks a
/// test that passed. An edition includes all clauses of the editions before it:
///
/// | edition | written as | adds clauses about |
/// |---|---|---|
/// | 2026 | `edition = 2026`, or no edition | calls, errors and results |
/// | 2026-11 | `edition = "2026-11"` | requests, answers, tokens, records and lists |
///
/// Names of clauses changed once, in [edition 2 of the names](crate::NAMES_EDITION).
///
/// An adapter with several configurations keeps all clauses in each: write one module with one macro call for each.
#[macro_export]
macro_rules! contract_tests {
    ($wire:expr) => {
        $crate::contract_tests!($wire, edition = 2026);
    };
    ($wire:expr, edition = 2026) => {
        $crate::clauses_of_2026!(__contract_tests, $wire);
    };
    ($wire:expr, edition = "2026-11") => {
        $crate::clauses_of_2026!(__contract_tests, $wire);
        $crate::clauses_of_2026_11!(__contract_tests, $wire);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_tests {
    ($wire:expr; $($module:ident :: $name:ident,)*) => {$(
        #[test]
        fn $name() {
            $crate::clause(stringify!($name)).hold($wire);
        }
    )*};
}

/// Passes the clauses of edition 2026, in order, to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! clauses_of_2026 {
    ($then:ident, $($with:tt)*) => {
        $crate::$then! { $($with)*;
            create::a_create_returns_the_batch_id_of_the_provider,
            create::a_create_sends_every_request_once,
            create::a_create_makes_exactly_one_create_call,
            create::a_staged_input_is_not_uploaded_again,
            create::a_created_batch_can_be_identified,
            create::ids_of_64_characters_are_returned_unchanged,
            create::ids_with_spaces_are_returned_unchanged,
            create::ids_that_look_like_paths_are_returned_unchanged,
            create::ids_with_unicode_and_quotes_are_returned_unchanged,
            create::wire_ids_follow_the_declared_rule,
            create::declared_limits_are_consistent,
            create::a_request_over_the_limit_is_refused_before_anything_is_sent,
            create::a_body_for_an_undeclared_endpoint_is_refused,
            create::an_encoded_request_is_one_line_of_json,
            doubt::a_create_is_in_doubt_after_a_connection_reset,
            doubt::a_create_is_in_doubt_after_a_500,
            doubt::a_create_is_in_doubt_after_a_truncated_response,
            doubt::a_create_is_in_doubt_after_a_200_with_an_error,
            doubt::a_create_is_in_doubt_after_an_html_page,
            doubt::a_create_without_a_connection_was_not_sent,
            doubt::a_create_with_a_lost_response_is_found,
            doubt::a_wrong_clock_does_not_hide_a_batch,
            doubt::a_search_ignores_unrelated_batches,
            doubt::a_create_with_a_lost_response_is_paid_for_once,
            secrets::every_call_carries_the_key,
            secrets::the_key_appears_in_no_url_and_no_body,
            secrets::debug_output_of_an_adapter_hides_the_key,
            secrets::the_account_id_survives_a_key_rotation,
            secrets::an_error_does_not_quote_the_response_body,
            secrets::an_error_does_not_quote_an_html_page,
            secrets::logs_contain_no_key,
            secrets::logs_contain_no_prompt_and_no_answer,
            status::every_documented_status_is_understood,
            status::every_status_is_distinguished,
            status::an_undocumented_status_is_unknown_and_not_an_error,
            status::a_failed_batch_is_a_status_and_not_an_error,
            status::request_counts_are_read,
            status::request_counts_may_be_absent,
            status::request_counts_may_be_null,
            status::request_counts_may_be_strings,
            status::unknown_members_of_a_batch_are_ignored,
            status::the_order_of_members_is_ignored,
            status::members_of_another_type_are_read_as_absent,
            status::unknown_members_of_a_create_response_are_ignored,
            status::an_html_page_instead_of_a_status_is_an_error,
            status::a_200_with_an_error_instead_of_a_status_is_an_error,
            status::a_status_of_another_batch_is_rejected,
            status::an_interrupted_status_call_can_be_retried,
            status::a_status_call_is_one_exchange,
            outcomes::answers_are_returned_byte_for_byte,
            outcomes::an_errored_row_is_one_errored_outcome,
            outcomes::rows_may_arrive_in_any_order,
            outcomes::a_repeated_row_counts_once,
            outcomes::a_request_without_a_row_is_missing,
            outcomes::rows_with_unknown_ids_are_ignored,
            outcomes::a_malformed_row_does_not_affect_other_rows,
            outcomes::a_row_with_only_an_id_is_an_error,
            outcomes::unknown_members_of_a_row_are_ignored,
            outcomes::an_expired_batch_returns_its_answers,
            outcomes::a_cancelled_batch_returns_its_answers,
            outcomes::scan_and_decode_agree,
            outcomes::a_failure_of_the_provider_is_retryable,
            results::results_with_only_answers_are_read,
            results::results_with_only_failures_are_read,
            results::results_with_answers_and_failures_are_read,
            results::an_ended_batch_without_results_is_not_delivered,
            results::an_ended_batch_with_empty_results_is_not_delivered,
            results::results_that_are_not_visible_yet_are_incomplete,
            results::corrupt_results_are_read_again,
            results::results_of_an_unfinished_batch_are_incomplete,
            results::blank_lines_are_ignored,
            results::lines_may_end_in_cr_lf,
            results::a_byte_order_mark_is_ignored,
            results::the_last_line_may_lack_a_line_feed,
            results::unicode_line_separators_do_not_end_a_row,
            results::a_row_of_the_maximum_size_is_delivered,
            results::an_oversized_row_does_not_affect_other_rows,
            results::truncated_results_lose_only_the_last_row,
            results::an_interrupted_download_is_read_again,
            results::temporarily_refused_results_are_read_later,
            results::deleted_results_are_an_error,
            results::an_html_page_instead_of_results_is_no_outcome,
            results::a_results_part_is_read_as_lines,
            calls::paging_through_a_list_returns_every_batch_once,
            calls::a_list_without_batches_is_empty,
            calls::a_list_call_is_one_exchange,
            calls::a_page_that_links_to_itself_ends_the_list,
            calls::an_unreadable_page_cursor_is_an_error,
            calls::a_404_from_a_proxy_for_a_list_is_retryable,
            calls::a_list_agrees_with_the_status,
            calls::unknown_members_of_a_list_are_ignored,
            calls::a_cancel_is_one_call,
            calls::a_repeated_cancel_is_not_an_error,
            calls::a_cancel_of_an_ended_batch_is_not_an_error,
            calls::a_refused_cancel_is_an_error,
            calls::an_unconfirmed_cancel_is_an_error,
            calls::discarding_deleted_objects_is_not_an_error,
            calls::a_fence_deletes_the_input_or_is_unsupported,
            calls::a_fence_answered_by_a_proxy_is_an_error,
            calls::a_fence_without_confirmation_is_an_error,
            calls::reading_from_an_offset_returns_the_rest_or_is_unsupported,
            refusals::a_401_is_a_permanent_authentication_error,
            refusals::a_403_is_a_permanent_permission_error,
            refusals::a_404_of_a_batch_names_the_batch,
            refusals::a_404_of_a_create_is_a_refusal,
            refusals::a_4xx_with_the_providers_own_error_is_a_refusal,
            refusals::a_4xx_without_the_providers_own_error_may_have_been_delivered,
            refusals::a_408_may_have_been_delivered,
            refusals::a_409_may_have_been_delivered,
            refusals::a_413_is_a_permanent_input_error,
            refusals::a_429_is_a_temporary_rate_limit,
            refusals::retry_after_in_seconds_is_returned,
            refusals::retry_after_as_a_date_is_relative_to_the_date_of_the_server,
            refusals::retry_after_in_milliseconds_is_not_read_as_seconds,
            refusals::without_retry_after_no_delay_is_returned,
            refusals::an_invalid_retry_after_is_ignored,
            refusals::a_500_is_temporary_and_may_have_been_delivered,
            refusals::a_502_with_an_html_page_is_temporary_and_may_have_been_delivered,
            refusals::a_503_is_an_overload_and_may_have_been_delivered,
            refusals::a_529_is_an_overload_and_may_have_been_delivered,
            refusals::an_error_names_the_provider_and_the_operation,
            redirects::a_redirect_of_a_create_is_not_followed,
            redirects::a_redirect_of_other_calls_is_not_followed,
            redirects::a_redirect_of_a_download_forwards_no_key_and_no_request,
        }
    };
}

/// The clauses that the edition 2026-11 adds, in order, given to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! clauses_of_2026_11 {
    ($then:ident, $($with:tt)*) => {
        $crate::$then! { $($with)*;
            content::each_request_is_sent_under_its_own_id,
            content::the_model_is_sent,
            content::the_system_prompt_is_sent,
            content::system_messages_of_the_conversation_are_sent,
            content::every_turn_is_sent_in_order,
            content::every_turn_is_sent_with_its_role,
            content::every_text_of_a_turn_is_sent,
            content::images_are_sent,
            content::documents_are_sent,
            content::audio_and_video_are_sent,
            content::tools_are_sent,
            content::the_tool_choice_is_sent,
            content::tool_calls_are_sent,
            content::tool_results_are_sent_with_their_call_ids,
            content::a_failed_tool_result_is_sent_as_failed,
            content::the_schema_of_a_structured_answer_is_sent,
            content::a_raw_body_is_sent_byte_for_byte,
            content::the_longest_declared_id_is_accepted,
            content::a_continued_conversation_is_the_longer_conversation,
            options::the_token_limit_is_sent,
            options::the_temperature_is_sent,
            options::top_p_is_sent,
            options::top_k_is_sent,
            options::the_seed_is_sent,
            options::the_presence_penalty_is_sent,
            options::the_frequency_penalty_is_sent,
            options::every_option_has_its_own_parameter,
            options::stop_sequences_are_sent,
            options::the_thinking_effort_is_sent,
            options::the_thinking_budget_is_sent,
            options::extra_parameters_are_sent,
            options::extra_parameters_do_not_change_ids,
            answers::a_complete_answer_has_no_problem,
            answers::usage_is_returned,
            answers::the_model_of_an_answer_is_returned,
            answers::the_id_of_an_answer_is_returned,
            answers::every_piece_of_an_answer_is_returned,
            answers::a_tool_call_is_returned,
            answers::thoughts_are_not_part_of_the_text,
            answers::an_answer_at_the_token_limit_is_truncated,
            answers::an_answer_without_text_is_empty,
            answers::a_refusal_of_the_model_is_reported,
            answers::further_answers_are_kept_separately,
            answers::an_unreadable_answer_is_not_empty,
            answers::a_permanent_failure_is_not_retryable,
            tokens::a_create_carries_its_token,
            tokens::a_repeated_create_with_the_same_token_is_the_same_batch,
            tokens::a_create_with_another_token_is_another_batch,
            records::a_200_without_a_list_is_an_error,
            records::a_search_without_a_list_is_an_error,
            records::a_create_with_a_lost_response_is_paid_for_once_without_a_list,
            records::a_failed_fence_is_an_error,
            records::a_failed_deletion_is_an_error,
            records::the_creation_time_of_a_batch_is_read,
            records::the_label_of_a_batch_is_read,
            records::the_problems_of_a_failed_batch_are_read,
            records::results_parts_declare_their_role,
            records::results_are_read_by_an_adapter_of_another_route,
            records::uploads_are_listed_or_unsupported,
            records::a_refused_probe_is_an_error,
            records::a_batch_that_does_not_exist_has_no_results,
            lists::a_status_page_agrees_with_every_status,
            lists::a_status_page_is_as_current_as_a_status,
            rows::a_batch_that_ended_without_answers_is_complete,
            rows::an_answer_takes_precedence_over_a_failure,
            rows::an_unknown_failure_is_not_retryable,
            rows::a_row_that_is_not_json_is_an_error_of_its_request,
            contradictions::a_status_with_an_error_is_rejected,
            contradictions::a_list_with_an_error_is_an_error,
            contradictions::a_cancel_with_an_error_is_an_error,
            contradictions::a_fence_with_an_error_is_an_error,
            contradictions::a_create_with_an_incomplete_error_may_have_been_delivered,
        }
    };
}

/// Passes the clauses of the first edition on, to be joined by those of the second.
macro_rules! first {
    (; $($first:tt)*) => {
        clauses_of_2026_11!(both, [$($first)*])
    };
}
pub(crate) use first;

macro_rules! both {
    (
        [$($module:ident :: $name:ident,)*];
        $($new_module:ident :: $new_name:ident,)*
    ) => {
        &[
            $(clause_of!("2026", $module, $name),)*
            $(clause_of!("2026-11", $new_module, $new_name),)*
        ]
    };
}
pub(crate) use both;

macro_rules! clause_of {
    ($edition:literal, $module:ident, $name:ident) => {
        Clause {
            name: stringify!($name),
            topic: stringify!($module),
            edition: $edition,
            run: |kit| Box::pin(crate::clauses::$module::$name(kit)),
        }
    };
}

/// Every clause of every edition, in the order of the documentation.
pub static CLAUSES: &[Clause] = clauses_of_2026!(first,);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{SOURCES, methods, promise, source_of};

    #[test]
    fn the_table_lists_every_clause_in_source_order() {
        let written: Vec<(&str, &str)> = SOURCES
            .iter()
            .flat_map(|(topic, source)| {
                let names = source.lines().filter_map(|line| {
                    let name = line.strip_prefix("pub async fn ")?;
                    name.split('(').next()
                });
                names.map(|name| (*topic, name))
            })
            .collect();
        let table: Vec<_> = CLAUSES.iter().map(|one| (one.topic, one.name)).collect();
        assert_eq!(table, written);
    }

    #[test]
    fn every_clause_has_a_documented_promise_and_its_wire_methods() {
        for clause in CLAUSES {
            let source = source_of(clause.topic);
            let promise = promise(source, clause.name);
            assert!(promise.ends_with('.'), "{clause:?}: {promise}");
            assert!(methods(source, clause.name).len() >= 2, "{clause:?}");
        }
        for (topic, name, expected) in [
            (
                "contradictions",
                "a_list_with_an_error_is_an_error",
                "refusal",
            ),
            (
                "contradictions",
                "a_list_with_an_error_is_an_error",
                "list_page",
            ),
            ("rows", "an_unknown_failure_is_not_retryable", "full_row"),
            (
                "refusals",
                "a_503_is_an_overload_and_may_have_been_delivered",
                "refusal_of",
            ),
        ] {
            let found = methods(source_of(topic), name);
            assert!(
                found.iter().any(|method| method == expected),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn later_editions_follow_earlier_ones_in_the_table() {
        let editions: Vec<&str> = CLAUSES.iter().map(|clause| clause.edition).collect();
        assert!(
            editions.is_sorted(),
            "a new clause belongs to a new edition"
        );
        let mut known = editions;
        known.dedup();
        assert_eq!(known, ["2026", "2026-11"]);
    }
}
