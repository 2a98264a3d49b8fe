//! Mistakes that authors of adapters make, and the clause that catches each.

/// A mistake, what plants it in the adapter, and the clause that fails by it.
pub(crate) type Mistake = (&'static str, &'static str, &'static str);

/// Mistakes that a trial planted in an adapter for a real provider, and others of their kinds.
pub(crate) const MISTAKES: &[Mistake] = &[
    (
        "the model is left out",
        "model is left out",
        "the_model_arrives",
    ),
    (
        "the system prompt is left out",
        "system is left out",
        "the_system_prompt_arrives",
    ),
    (
        "system messages are left out",
        "system messages are left out",
        "system_messages_of_the_conversation_arrive",
    ),
    (
        "all turns but the last are left out",
        "all turns but the last are left out",
        "every_turn_arrives_in_its_order",
    ),
    (
        "the turns are sent in reverse",
        "the turns are sent in reverse",
        "every_turn_arrives_in_its_order",
    ),
    (
        "everything is said by the user",
        "everything is said by the user",
        "every_turn_arrives_as_its_speakers",
    ),
    (
        "all texts of a turn but the first are left out",
        "all texts of a turn but the first are left out",
        "every_text_of_a_turn_arrives",
    ),
    (
        "every image is left out",
        "every image is left out",
        "an_image_arrives",
    ),
    (
        "ids of files are left out",
        "ids of files are left out",
        "an_image_arrives",
    ),
    (
        "every document is left out",
        "every document is left out",
        "a_document_arrives",
    ),
    (
        "every audio is left out",
        "every audio is left out",
        "sounds_and_films_arrive",
    ),
    (
        "every video is left out",
        "every video is left out",
        "sounds_and_films_arrive",
    ),
    ("tools are left out", "tools is left out", "tools_arrive"),
    (
        "descriptions of tools are left out",
        "descriptions of tools are left out",
        "tools_arrive",
    ),
    (
        "a choice of tools is left out",
        "choice is left out",
        "a_choice_of_tools_arrives",
    ),
    (
        "a forced tool is any tool",
        "a forced tool is any tool",
        "a_choice_of_tools_arrives",
    ),
    (
        "ids of sent calls are left out",
        "ids of sent calls are left out",
        "tool_calls_arrive",
    ),
    (
        "arguments of calls are left out",
        "arguments of calls are left out",
        "tool_calls_arrive",
    ),
    (
        "ids of results are left out",
        "ids of results are left out",
        "tool_results_arrive_under_their_calls",
    ),
    (
        "results of tools are left out",
        "results of tools are left out",
        "tool_results_arrive_under_their_calls",
    ),
    (
        "what a tool gives beside its text is left out",
        "what a tool gives beside its text is left out",
        "an_image_arrives",
    ),
    (
        "the error of a tool is sent as a success",
        "the error of a tool is sent as a success",
        "a_failed_tool_result_arrives_as_failed",
    ),
    (
        "the schema is left out",
        "schema is left out",
        "a_schema_arrives",
    ),
    (
        "a raw body is written anew",
        "a raw body is written anew",
        "a_raw_body_arrives_byte_for_byte",
    ),
    (
        "longer ids are declared than are taken",
        "longer ids are declared than are taken",
        "the_longest_declared_id_is_taken",
    ),
    (
        "the ids of requests are permuted",
        "the ids of requests are permuted",
        "each_request_travels_under_its_own_id",
    ),
    (
        "max_tokens is left out",
        "max_tokens is left out",
        "the_most_tokens_arrive",
    ),
    (
        "temperature is left out",
        "temperature is left out",
        "the_temperature_arrives",
    ),
    (
        "temperature is sent as top_p",
        "temperature is sent as top_p",
        "every_option_is_a_parameter_of_its_own",
    ),
    ("top_p is left out", "top_p is left out", "top_p_arrives"),
    ("top_k is left out", "top_k is left out", "top_k_arrives"),
    ("stop is left out", "stop is left out", "stop_texts_arrive"),
    ("seed is left out", "seed is left out", "the_seed_arrives"),
    (
        "the presence penalty is left out",
        "presence is left out",
        "the_presence_penalty_arrives",
    ),
    (
        "the frequency penalty is left out",
        "frequency is left out",
        "the_frequency_penalty_arrives",
    ),
    (
        "the effort of thinking is left out",
        "effort is left out",
        "an_effort_of_thinking_arrives",
    ),
    (
        "the budget of thinking is left out",
        "budget is left out",
        "a_budget_of_thinking_arrives",
    ),
    (
        "the provider's own parameters are left out",
        "the provider's own parameters are left out",
        "parameters_of_the_provider_arrive",
    ),
    (
        "the provider's own parameters are the id",
        "the provider's own parameters are the id",
        "parameters_of_the_provider_change_no_id",
    ),
    (
        "the upload has another purpose",
        "the upload has another purpose",
        "a_create_gives_the_providers_batch_id",
    ),
    (
        "the upload has another name",
        "the upload has another name",
        "a_create_gives_the_providers_batch_id",
    ),
    (
        "the create names another endpoint",
        "the create names another endpoint",
        "a_create_gives_the_providers_batch_id",
    ),
    (
        "an answer is cut off whatever it is",
        "an answer is cut off whatever it is",
        "a_whole_answer_has_no_problem",
    ),
    ("usage is dropped", "usage is dropped", "usage_comes_back"),
    (
        "what was read is told as written",
        "what was read is told as written",
        "usage_comes_back",
    ),
    (
        "the model of an answer is lost",
        "the model of an answer is lost",
        "the_model_that_answered_comes_back",
    ),
    (
        "the id of an answer is lost",
        "the id of an answer is lost",
        "the_id_of_an_answer_comes_back",
    ),
    (
        "all pieces of an answer but the first are lost",
        "all pieces of an answer but the first are lost",
        "every_piece_of_an_answer_comes_back",
    ),
    (
        "calls of answers are lost",
        "calls of answers are lost",
        "a_tool_call_comes_back",
    ),
    (
        "ids of received calls are lost",
        "ids of received calls are lost",
        "a_tool_call_comes_back",
    ),
    (
        "arguments of received calls are lost",
        "arguments of received calls are lost",
        "a_tool_call_comes_back",
    ),
    (
        "a thought is a text",
        "a thought is a text",
        "a_thought_is_no_part_of_the_text",
    ),
    (
        "length is stop",
        "length is stop",
        "an_answer_that_was_cut_off_is_truncated",
    ),
    (
        "an empty answer has no problem",
        "an empty answer has no problem",
        "an_answer_without_words_is_empty",
    ),
    (
        "a refusal is a text",
        "a refusal is a text",
        "a_refusal_is_told",
    ),
    (
        "further answers are lost",
        "further answers are lost",
        "further_answers_are_kept_apart",
    ),
    (
        "further answers are added to the first",
        "further answers are added to the first",
        "further_answers_are_kept_apart",
    ),
    (
        "an answer that cannot be read is empty",
        "an answer that cannot be read is empty",
        "an_answer_of_another_type_is_not_empty",
    ),
    (
        "an answer that cannot be read is expired",
        "an answer that cannot be read is expired",
        "an_answer_of_another_type_is_not_empty",
    ),
    (
        "an answer that cannot be read is asked again",
        "an answer that cannot be read is asked again",
        "an_answer_of_another_type_is_not_empty",
    ),
    (
        "every failed row may be asked again",
        "every failed row may be asked again",
        "a_permanent_failure_is_not_asked_again",
    ),
    (
        "rows are known by another id",
        "rows are known by another id",
        "answers_come_back_byte_for_byte",
    ),
    (
        "rows name nobody",
        "rows name nobody",
        "answers_come_back_byte_for_byte",
    ),
    (
        "only the output file is read",
        "answers_and_failures_are_read",
        "answers_and_failures_are_read",
    ),
    (
        "the roles of parts are swapped",
        "the roles of parts are swapped",
        "parts_say_what_they_hold",
    ),
    (
        "results are asked for by the route of the connection",
        "results are asked for by the route of the connection",
        "results_are_read_by_an_adapter_of_another_route",
    ),
    (
        "results without a class are empty",
        "results without a class are empty",
        "results_are_read_by_an_adapter_of_another_route",
    ),
    (
        "a class of another route has no results",
        "a class of another route has no results",
        "results_are_read_by_an_adapter_of_another_route",
    ),
    (
        "token: the label is sent in its place",
        "token: the label is sent in its place",
        "a_create_carries_its_token",
    ),
    (
        "token: each create has a new one",
        "token: each create has a new one",
        "a_create_asked_again_under_its_token_is_the_same_batch",
    ),
    (
        "token: all creates have the same",
        "token: all creates have the same",
        "a_create_under_another_token_is_another_batch",
    ),
    (
        "a list that is none is empty",
        "a list that is none is empty",
        "a_list_that_is_none_is_an_error",
    ),
    (
        "a search through no list finds nothing",
        "a search through no list finds nothing",
        "a_search_through_no_list_is_an_error",
    ),
    (
        "a lost create is paid for twice where the list is none",
        "a list that is none is empty",
        "a_lost_create_is_not_paid_for_twice_where_the_list_is_none",
    ),
    (
        "a list is not read beyond its first page",
        "a_list_goes_through_every_page_and_stops",
        "a_list_goes_through_every_page_and_stops",
    ),
    (
        "a list begins with the oldest",
        "a list begins with the oldest",
        "a_list_goes_through_every_page_and_stops",
    ),
    (
        "numbered: pages are counted from one",
        "numbered: pages are counted from one",
        "a_list_goes_through_every_page_and_stops",
    ),
    (
        "numbered: the last page is left out",
        "numbered: the last page is left out",
        "a_list_goes_through_every_page_and_stops",
    ),
    (
        "a fence that fails is put up",
        "a fence that fails is put up",
        "a_fence_that_fails_is_an_error",
    ),
    (
        "a deletion that fails is done",
        "a deletion that fails is done",
        "a_deletion_that_fails_is_an_error",
    ),
    (
        "uploads are not listed",
        "uploads are not listed",
        "uploads_are_listed_or_unsupported",
    ),
    (
        "uploads of others are listed",
        "uploads of others are listed",
        "uploads_are_listed_or_unsupported",
    ),
    (
        "only the first page of uploads is read",
        "only the first page of uploads is read",
        "uploads_are_listed_or_unsupported",
    ),
    (
        "a list of uploads that is none is empty",
        "a list of uploads that is none is empty",
        "uploads_are_listed_or_unsupported",
    ),
    (
        "a probe always says yes",
        "a probe always says yes",
        "a_probe_that_is_refused_fails",
    ),
    (
        "created_at is read in the wrong unit",
        "created_at is read in the wrong unit",
        "the_time_of_a_batch_is_read",
    ),
    (
        "created_at is lost",
        "created_at is lost",
        "the_time_of_a_batch_is_read",
    ),
    (
        "the label is not read",
        "the label is not read",
        "the_label_of_a_batch_is_read",
    ),
    (
        "the problems of a failed batch are lost",
        "the problems of a failed batch are lost",
        "the_problems_of_a_failed_batch_are_read",
    ),
    (
        "an unknown status is failed",
        "an unknown status is failed",
        "an_unknown_status_word_is_unknown_and_not_an_error",
    ),
    (
        "a batch that is gone has empty results",
        "a batch that is gone has empty results",
        "a_batch_that_is_gone_has_no_results",
    ),
    (
        "a list has an earlier status",
        "a list has an earlier status",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list has a later status",
        "a list has a later status",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "an unknown word in a list is the end",
        "an unknown word in a list is the end",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list leaves the times out",
        "a list leaves the times out",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list has the time of the last change",
        "a list has the time of the last change",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list counts failures as answers",
        "a list counts failures as answers",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list gives the total alone",
        "a list gives the total alone",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "statuses are polled by lists that there are none of",
        "statuses are polled by lists that there are none of",
        "a_list_says_of_every_batch_what_its_status_says",
    ),
    (
        "a list keeps its pages",
        "a list keeps its pages",
        "a_list_is_as_new_as_a_status",
    ),
    (
        "a list shows the end of a batch late",
        "a list has an earlier status",
        "a_list_is_as_new_as_a_status",
    ),
    ("counts are swapped", "counts_are_read", "counts_are_read"),
    (
        "the key is sent in another form",
        "the key is sent in another form",
        "every_call_carries_the_key",
    ),
    (
        "the key is left out of a list",
        "every_call_carries_the_key",
        "every_call_carries_the_key",
    ),
    (
        "the key goes along on a redirect",
        "a_redirect_of_a_download_takes_nothing_along",
        "a_redirect_of_a_download_takes_nothing_along",
    ),
    (
        "results of any batch that ended are waited for",
        "results of any batch that ended are waited for",
        "a_batch_that_ended_without_answers_is_complete",
    ),
    (
        "a failure beside an answer is asked again",
        "a failure beside an answer is asked again",
        "an_answer_beside_a_failure_is_the_answer",
    ),
    (
        "a failure of an unknown reason may be asked again",
        "a failure of an unknown reason may be asked again",
        "an_unknown_failure_is_not_asked_again",
    ),
    (
        "no id is read from a row that is not JSON",
        "no id is read from a row that is not JSON",
        "a_row_that_is_no_json_is_its_requests_error",
    ),
    (
        "a status beside an error is believed",
        "a status beside an error is believed",
        "a_status_beside_an_error_is_not_believed",
    ),
    (
        "a list beside an error is believed",
        "a list beside an error is believed",
        "a_list_beside_an_error_is_an_error",
    ),
    (
        "a cancel beside an error is believed",
        "a cancel beside an error is believed",
        "a_cancel_beside_an_error_is_an_error",
    ),
    (
        "a fence beside an error is put up",
        "a fence beside an error is put up",
        "a_fence_beside_an_error_is_an_error",
    ),
    (
        "any error object is the provider's own",
        "any error object is the provider's own",
        "a_refusal_that_is_not_whole_may_have_been_delivered",
    ),
    (
        "a list that is null is empty",
        "a list that is null is empty",
        "a_list_that_is_none_is_an_error",
    ),
];

/// Mistakes that no clause catches, and why.
pub(crate) const NOT_CAUGHT: &[(&str, &str)] = &[
    (
        "a create is sent by `post`, not by `create`",
        "the kit closes every connection, so that no client sends it again",
    ),
    (
        "a parameter of a status call is left out",
        "the words for a batch do not see the request",
    ),
];
