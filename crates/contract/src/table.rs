//! The table of clauses, and the macro that makes tests of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::failure::told;
use crate::kit::Kit;
use crate::panics::{cut_what_is_printed, place, quietly, words};
use crate::wire::Wire;

/// What no clause takes as long as. An adapter that asks for ever breaks a promise too.
const AT_MOST: Duration = Duration::from_secs(60);

/// One promise that every adapter keeps.
#[derive(Clone, Copy)]
pub struct Clause {
    /// A sentence.
    pub name: &'static str,
    /// What it is about.
    pub topic: &'static str,
    /// The first edition that holds it.
    pub edition: &'static str,
    run: for<'a> fn(&'a Kit) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Clause {
    /// Holds a wire to the clause.
    ///
    /// # Panics
    /// If it does not keep it.
    pub fn hold(&self, wire: impl Wire) {
        cut_what_is_printed();
        // What the clause panics with is part of the failure, which is printed once.
        let kept = quietly(|| runtime().block_on(self.try_hold(Arc::new(wire))));
        kept.unwrap_or_else(|why| panic!("{why}"));
    }

    /// The same without a panic.
    ///
    /// # Errors
    /// The failure, cut to a screen: what the clause asks for, what was found, the last exchange without the key, and
    /// the methods of the wire that the clause uses.
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
        let found = match (failed, kit.faults.told()) {
            (Ok(()), None) => return Ok(()),
            (Err(why), None) => why,
            (Ok(()), Some(faults)) => faults,
            (Err(why), Some(faults)) => format!("{faults}\n{why}"),
        };
        Err(told(self.topic, self.name, &found, &kit.faults))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is a real one, and so is the time it takes"
)]
async fn in_time<T>(clause: impl Future<Output = T>) -> Result<T, String> {
    let ended = tokio::time::timeout(AT_MOST, clause).await;
    ended.map_err(|_| format!("it has not ended within {} s", AT_MOST.as_secs()))
}

/// The clause of a name.
///
/// # Panics
/// If there is none.
pub fn clause(name: &str) -> &'static Clause {
    let found = CLAUSES.iter().find(|clause| clause.name == name);
    found.unwrap_or_else(|| panic!("there is no clause {name}"))
}

/// What clauses run in. One thread is enough, and logs stay on it.
///
/// # Panics
/// If the machine has none to give.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Makes one test of each clause, named as the clause is:
///
/// ```ignore
/// // tests/contract.rs of the adapter
/// lmbatch_contract::contract_tests!(AcmeWire);
/// ```
///
/// Clauses belong to an edition. New ones come under a new edition, so that an upgrade of the kit makes no
/// test fail that passed. An edition holds all clauses of those before it:
///
/// | edition | written as | adds |
/// |---|---|---|
/// | 2026 | `edition = 2026`, and where none is named | the calls, errors and results |
/// | 2026-11 | `edition = "2026-11"` | what is asked, what is answered, tokens, records, lists |
///
/// A wire that can be set up in several ways is held to all clauses in each: one macro in a module each.
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

/// The clauses of the edition 2026, in order, given to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! clauses_of_2026 {
    ($then:ident, $($with:tt)*) => {
        $crate::$then! { $($with)*;
            create::a_create_gives_the_providers_batch_id,
            create::a_create_sends_every_request_once,
            create::a_create_is_one_call,
            create::what_is_staged_is_not_uploaded_again,
            create::a_create_can_be_recognised,
            create::ids_of_64_characters_come_back,
            create::ids_with_spaces_come_back,
            create::ids_that_look_like_paths_come_back,
            create::ids_of_any_letters_come_back,
            create::ids_on_the_wire_keep_the_declared_rule,
            create::limits_are_declared_and_agree,
            create::a_request_over_the_limit_is_refused_before_anything_is_sent,
            create::a_body_for_an_undeclared_endpoint_is_refused,
            create::a_request_is_one_line_of_json,
            doubt::a_create_whose_answer_is_reset_is_in_doubt,
            doubt::a_create_that_is_answered_by_a_500_is_in_doubt,
            doubt::a_create_whose_answer_is_cut_short_is_in_doubt,
            doubt::a_create_that_is_answered_200_with_an_error_is_in_doubt,
            doubt::a_create_that_is_answered_by_a_web_page_is_in_doubt,
            doubt::a_create_that_found_no_connection_was_not_sent,
            doubt::a_lost_create_is_found_again,
            doubt::a_wrong_clock_hides_no_batch,
            doubt::a_search_passes_over_the_batches_of_others,
            doubt::a_lost_create_is_not_paid_for_twice,
            secrets::every_call_carries_the_key,
            secrets::the_key_is_in_no_url_and_no_body,
            secrets::an_adapter_shows_no_key,
            secrets::an_account_outlives_its_key,
            secrets::an_error_does_not_repeat_what_the_provider_wrote,
            secrets::an_error_does_not_repeat_a_web_page,
            secrets::logs_hold_no_key,
            secrets::logs_hold_no_prompt_and_no_answer,
            status::every_status_word_is_understood,
            status::every_status_is_told_apart,
            status::an_unknown_status_word_is_unknown_and_not_an_error,
            status::a_failed_batch_is_an_answer,
            status::counts_are_read,
            status::counts_may_be_absent,
            status::counts_may_be_null,
            status::counts_may_be_strings,
            status::unknown_members_of_a_batch_change_nothing,
            status::the_order_of_members_changes_nothing,
            status::members_of_another_type_are_as_good_as_absent,
            status::unknown_members_of_a_created_batch_change_nothing,
            status::a_status_that_is_a_web_page_is_an_error,
            status::a_status_that_is_an_error_in_disguise_is_an_error,
            status::a_status_of_another_batch_is_not_believed,
            status::a_status_that_breaks_off_may_be_asked_for_again,
            status::a_status_is_asked_for_once,
            outcomes::answers_come_back_byte_for_byte,
            outcomes::an_errored_row_is_one_errored_outcome,
            outcomes::outcomes_may_come_in_any_order,
            outcomes::an_outcome_that_comes_twice_counts_once,
            outcomes::a_request_without_a_row_is_missing,
            outcomes::rows_of_others_are_nobodys,
            outcomes::a_malformed_row_spoils_nothing_around_it,
            outcomes::a_row_with_nothing_but_its_id_is_not_an_answer,
            outcomes::unknown_members_of_a_row_change_nothing,
            outcomes::an_expired_batch_still_yields_its_answers,
            outcomes::a_cancelled_batch_still_yields_its_answers,
            outcomes::scan_and_decode_agree,
            outcomes::a_failure_of_the_provider_may_be_asked_again,
            results::answers_alone_are_read,
            results::failures_alone_are_read,
            results::answers_and_failures_are_read,
            results::a_batch_without_results_is_held,
            results::empty_results_are_held,
            results::a_part_that_does_not_show_yet_is_waited_for,
            results::spoilt_results_are_read_again,
            results::results_of_an_unfinished_batch_are_not_complete,
            results::blank_lines_mean_nothing,
            results::lines_may_end_in_cr_lf,
            results::a_byte_order_mark_means_nothing,
            results::the_last_line_may_lack_its_end,
            results::separators_within_a_row_do_not_end_it,
            results::a_row_of_the_most_bytes_is_delivered,
            results::a_row_of_one_byte_more_spoils_only_itself,
            results::results_that_end_early_lose_no_other_row,
            results::a_download_that_breaks_off_is_read_again,
            results::results_that_are_refused_for_now_are_read_later,
            results::results_that_are_gone_are_an_error,
            results::a_web_page_in_place_of_results_is_nobodys_outcome,
            results::a_part_is_read_as_lines,
            calls::a_list_goes_through_every_page_and_stops,
            calls::a_list_of_nothing_is_empty,
            calls::a_page_of_a_list_is_one_exchange,
            calls::a_page_that_leads_to_itself_ends_the_list,
            calls::a_page_whose_next_page_cannot_be_read_is_an_error,
            calls::a_404_of_a_proxy_for_a_list_may_pass,
            calls::a_list_says_what_a_status_says,
            calls::unknown_members_of_a_list_change_nothing,
            calls::a_cancel_is_one_call,
            calls::a_second_cancel_is_no_error,
            calls::a_cancel_of_an_ended_batch_is_no_error,
            calls::a_cancel_that_is_refused_is_an_error,
            calls::a_cancel_that_a_proxy_answers_is_an_error,
            calls::what_is_gone_can_be_discarded,
            calls::a_fence_is_put_up_or_unsupported,
            calls::a_fence_that_a_proxy_answers_is_not_put_up,
            calls::a_200_that_does_not_confirm_a_deletion_is_no_fence,
            calls::reading_from_the_middle_gives_the_rest_or_is_unsupported,
            refusals::a_401_is_about_the_key_and_permanent,
            refusals::a_403_is_about_the_key_and_permanent,
            refusals::a_404_of_a_batch_names_the_batch,
            refusals::a_404_of_a_create_is_a_refusal,
            refusals::a_4xx_with_the_providers_own_error_is_a_refusal,
            refusals::a_4xx_without_the_providers_own_error_may_have_been_delivered,
            refusals::a_408_may_have_been_delivered,
            refusals::a_409_may_have_been_delivered,
            refusals::a_413_is_about_the_input_and_permanent,
            refusals::a_429_is_a_rate_limit_and_temporary,
            refusals::a_retry_after_in_seconds_is_kept,
            refusals::a_retry_after_as_a_date_is_counted_from_the_servers_date,
            refusals::a_retry_after_in_milliseconds_is_not_one_in_seconds,
            refusals::no_retry_after_is_no_wish,
            refusals::a_retry_after_that_is_no_time_is_no_wish,
            refusals::a_500_is_temporary_and_may_have_been_delivered,
            refusals::a_502_with_a_web_page_is_temporary_and_may_have_been_delivered,
            refusals::a_503_is_an_overload_and_may_have_been_delivered,
            refusals::a_529_is_an_overload_and_may_have_been_delivered,
            refusals::an_error_says_whose_it_is_and_what_was_being_done,
            redirects::a_redirect_of_a_create_is_not_followed,
            redirects::a_redirect_of_other_calls_is_not_followed,
            redirects::a_redirect_of_a_download_takes_nothing_along,
        }
    };
}

/// The clauses that the edition 2026-11 adds, in order, given to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! clauses_of_2026_11 {
    ($then:ident, $($with:tt)*) => {
        $crate::$then! { $($with)*;
            content::each_request_travels_under_its_own_id,
            content::the_model_arrives,
            content::the_system_prompt_arrives,
            content::system_messages_of_the_conversation_arrive,
            content::every_turn_arrives_in_its_order,
            content::every_turn_arrives_as_its_speakers,
            content::every_text_of_a_turn_arrives,
            content::an_image_arrives,
            content::a_document_arrives,
            content::sounds_and_films_arrive,
            content::tools_arrive,
            content::a_choice_of_tools_arrives,
            content::tool_calls_arrive,
            content::tool_results_arrive_under_their_calls,
            content::a_failed_tool_result_arrives_as_failed,
            content::a_schema_arrives,
            content::a_raw_body_arrives_byte_for_byte,
            content::the_longest_declared_id_is_taken,
            options::the_most_tokens_arrive,
            options::the_temperature_arrives,
            options::top_p_arrives,
            options::top_k_arrives,
            options::the_seed_arrives,
            options::the_presence_penalty_arrives,
            options::the_frequency_penalty_arrives,
            options::every_option_is_a_parameter_of_its_own,
            options::stop_texts_arrive,
            options::an_effort_of_thinking_arrives,
            options::a_budget_of_thinking_arrives,
            options::parameters_of_the_provider_arrive,
            options::parameters_of_the_provider_change_no_id,
            answers::a_whole_answer_has_no_problem,
            answers::usage_comes_back,
            answers::the_model_that_answered_comes_back,
            answers::the_id_of_an_answer_comes_back,
            answers::every_piece_of_an_answer_comes_back,
            answers::a_tool_call_comes_back,
            answers::a_thought_is_no_part_of_the_text,
            answers::an_answer_that_was_cut_off_is_truncated,
            answers::an_answer_without_words_is_empty,
            answers::a_refusal_is_told,
            answers::further_answers_are_kept_apart,
            answers::an_answer_of_another_type_is_not_empty,
            answers::a_permanent_failure_is_not_asked_again,
            tokens::a_create_carries_its_token,
            tokens::a_create_asked_again_under_its_token_is_the_same_batch,
            tokens::a_create_under_another_token_is_another_batch,
            records::a_list_that_is_none_is_an_error,
            records::a_search_through_no_list_is_an_error,
            records::a_lost_create_is_not_paid_for_twice_where_the_list_is_none,
            records::a_fence_that_fails_is_an_error,
            records::a_deletion_that_fails_is_an_error,
            records::the_time_of_a_batch_is_read,
            records::the_label_of_a_batch_is_read,
            records::the_problems_of_a_failed_batch_are_read,
            records::parts_say_what_they_hold,
            records::results_are_read_by_an_adapter_of_another_route,
            records::uploads_are_listed_or_unsupported,
            records::a_probe_that_is_refused_fails,
            records::a_batch_that_is_gone_has_no_results,
            lists::a_list_says_of_every_batch_what_its_status_says,
            lists::a_list_is_as_new_as_a_status,
            rows::a_batch_that_ended_without_answers_is_complete,
            rows::an_answer_beside_a_failure_is_the_answer,
            rows::an_unknown_failure_is_not_asked_again,
            rows::a_row_that_is_no_json_is_its_requests_error,
            belief::a_status_beside_an_error_is_not_believed,
            belief::a_list_beside_an_error_is_an_error,
            belief::a_cancel_beside_an_error_is_an_error,
            belief::a_fence_beside_an_error_is_an_error,
            belief::a_refusal_that_is_not_whole_may_have_been_delivered,
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
    fn every_clause_that_is_written_is_in_the_table_and_in_its_order() {
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
    fn every_clause_has_a_promise_and_names_the_methods_of_the_wire() {
        for clause in CLAUSES {
            let source = source_of(clause.topic);
            let promise = promise(source, clause.name);
            assert!(promise.ends_with('.'), "{clause:?}: {promise}");
            assert!(methods(source, clause.name).len() >= 2, "{clause:?}");
        }
        for (topic, name, expected) in [
            ("belief", "a_list_beside_an_error_is_an_error", "refusal"),
            ("belief", "a_list_beside_an_error_is_an_error", "list_page"),
            ("rows", "an_unknown_failure_is_not_asked_again", "full_row"),
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
    fn an_edition_holds_the_clauses_of_those_before_it() {
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
