//! Mistakes of adapter authors, and the clause that catches each.

/// A mistake, the setting that plants it in the adapter, and the clause that fails.
pub(crate) type Mistake = (&'static str, &'static str, &'static str);

/// Mistakes planted in a trial adapter for a real provider, and similar ones.
pub(crate) const MISTAKES: &[Mistake] = &[
    (
        "the model is left out",
        "model is left out",
        "the_model_is_sent",
    ),
    (
        "the system prompt is left out",
        "system is left out",
        "the_system_prompt_is_sent",
    ),
    (
        "system messages are left out",
        "system messages are left out",
        "system_messages_of_the_conversation_are_sent",
    ),
    (
        "all turns but the last are left out",
        "all turns but the last are left out",
        "every_turn_is_sent_in_order",
    ),
    (
        "the turns are sent in reverse",
        "the turns are sent in reverse",
        "every_turn_is_sent_in_order",
    ),
    (
        "every turn is sent as the user's",
        "every turn is sent as the user's",
        "every_turn_is_sent_with_its_role",
    ),
    (
        "all texts of a turn but the first are left out",
        "all texts of a turn but the first are left out",
        "every_text_of_a_turn_is_sent",
    ),
    (
        "every image is left out",
        "every image is left out",
        "images_are_sent",
    ),
    (
        "ids of files are left out",
        "ids of files are left out",
        "images_are_sent",
    ),
    (
        "every document is left out",
        "every document is left out",
        "documents_are_sent",
    ),
    (
        "every audio is left out",
        "every audio is left out",
        "audio_and_video_are_sent",
    ),
    (
        "every video is left out",
        "every video is left out",
        "audio_and_video_are_sent",
    ),
    ("tools are left out", "tools is left out", "tools_are_sent"),
    (
        "descriptions of tools are left out",
        "descriptions of tools are left out",
        "tools_are_sent",
    ),
    (
        "a choice of tools is left out",
        "choice is left out",
        "the_tool_choice_is_sent",
    ),
    (
        "a forced tool is sent as any tool",
        "a forced tool is sent as any tool",
        "the_tool_choice_is_sent",
    ),
    (
        "ids of sent calls are left out",
        "ids of sent calls are left out",
        "tool_calls_are_sent",
    ),
    (
        "arguments of calls are left out",
        "arguments of calls are left out",
        "tool_calls_are_sent",
    ),
    (
        "ids of results are left out",
        "ids of results are left out",
        "tool_results_are_sent_with_their_call_ids",
    ),
    (
        "results of tools are left out",
        "results of tools are left out",
        "tool_results_are_sent_with_their_call_ids",
    ),
    (
        "files in a tool result are left out",
        "files in a tool result are left out",
        "images_are_sent",
    ),
    (
        "the error of a tool is sent as a success",
        "the error of a tool is sent as a success",
        "a_failed_tool_result_is_sent_as_failed",
    ),
    (
        "the schema is left out",
        "schema is left out",
        "the_schema_of_a_structured_answer_is_sent",
    ),
    (
        "a raw body is encoded again",
        "a raw body is encoded again",
        "a_raw_body_is_sent_byte_for_byte",
    ),
    (
        "longer ids are declared than are accepted",
        "longer ids are declared than are accepted",
        "the_longest_declared_id_is_accepted",
    ),
    (
        "a continued conversation lacks the answer",
        "a continued conversation lacks the answer",
        "a_continued_conversation_is_the_longer_conversation",
    ),
    (
        "a continued conversation lacks the message",
        "a continued conversation lacks the message",
        "a_continued_conversation_is_the_longer_conversation",
    ),
    (
        "the ids of requests are permuted",
        "the ids of requests are permuted",
        "each_request_is_sent_under_its_own_id",
    ),
    (
        "max_tokens is left out",
        "max_tokens is left out",
        "the_token_limit_is_sent",
    ),
    (
        "temperature is left out",
        "temperature is left out",
        "the_temperature_is_sent",
    ),
    (
        "temperature is sent as top_p",
        "temperature is sent as top_p",
        "every_option_has_its_own_parameter",
    ),
    ("top_p is left out", "top_p is left out", "top_p_is_sent"),
    ("top_k is left out", "top_k is left out", "top_k_is_sent"),
    (
        "stop is left out",
        "stop is left out",
        "stop_sequences_are_sent",
    ),
    ("seed is left out", "seed is left out", "the_seed_is_sent"),
    (
        "the presence penalty is left out",
        "presence is left out",
        "the_presence_penalty_is_sent",
    ),
    (
        "the frequency penalty is left out",
        "frequency is left out",
        "the_frequency_penalty_is_sent",
    ),
    (
        "the thinking effort is left out",
        "effort is left out",
        "the_thinking_effort_is_sent",
    ),
    (
        "the thinking budget is left out",
        "budget is left out",
        "the_thinking_budget_is_sent",
    ),
    (
        "extra parameters are left out",
        "extra parameters are left out",
        "extra_parameters_are_sent",
    ),
    (
        "extra parameters are sent as the id",
        "extra parameters are sent as the id",
        "extra_parameters_do_not_change_ids",
    ),
    (
        "the upload has another purpose",
        "the upload has another purpose",
        "a_create_returns_the_batch_id_of_the_provider",
    ),
    (
        "the upload has another name",
        "the upload has another name",
        "a_create_returns_the_batch_id_of_the_provider",
    ),
    (
        "the create names another endpoint",
        "the create names another endpoint",
        "a_create_returns_the_batch_id_of_the_provider",
    ),
    (
        "every answer is reported as truncated",
        "every answer is reported as truncated",
        "a_complete_answer_has_no_problem",
    ),
    ("usage is dropped", "usage is dropped", "usage_is_returned"),
    (
        "input tokens are reported as output tokens",
        "input tokens are reported as output tokens",
        "usage_is_returned",
    ),
    (
        "the model of an answer is lost",
        "the model of an answer is lost",
        "the_model_of_an_answer_is_returned",
    ),
    (
        "the id of an answer is lost",
        "the id of an answer is lost",
        "the_id_of_an_answer_is_returned",
    ),
    (
        "all pieces of an answer but the first are lost",
        "all pieces of an answer but the first are lost",
        "every_piece_of_an_answer_is_returned",
    ),
    (
        "tool calls of answers are lost",
        "tool calls of answers are lost",
        "a_tool_call_is_returned",
    ),
    (
        "ids of received tool calls are lost",
        "ids of received tool calls are lost",
        "a_tool_call_is_returned",
    ),
    (
        "arguments of received tool calls are lost",
        "arguments of received tool calls are lost",
        "a_tool_call_is_returned",
    ),
    (
        "a call with arguments under an unknown name is a call without arguments",
        "arguments under an unknown name are lost",
        "arguments_under_an_unknown_name_are_not_lost",
    ),
    (
        "a thought is returned as text",
        "a thought is returned as text",
        "thoughts_are_not_part_of_the_text",
    ),
    (
        "the finish reason length is read as stop",
        "the finish reason length is read as stop",
        "an_answer_at_the_token_limit_is_truncated",
    ),
    (
        "an empty answer has no problem",
        "an empty answer has no problem",
        "an_answer_without_text_is_empty",
    ),
    (
        "a refusal is returned as text",
        "a refusal is returned as text",
        "a_refusal_of_the_model_is_reported",
    ),
    (
        "further answers are lost",
        "further answers are lost",
        "further_answers_are_kept_separately",
    ),
    (
        "further answers are added to the first",
        "further answers are added to the first",
        "further_answers_are_kept_separately",
    ),
    (
        "an answer that cannot be read is empty",
        "an answer that cannot be read is empty",
        "an_unreadable_answer_is_not_empty",
    ),
    (
        "an answer that cannot be read is expired",
        "an answer that cannot be read is expired",
        "an_unreadable_answer_is_not_empty",
    ),
    (
        "an answer that cannot be read is retryable",
        "an answer that cannot be read is retryable",
        "an_unreadable_answer_is_not_empty",
    ),
    (
        "every failed row is retryable",
        "every failed row is retryable",
        "a_permanent_failure_is_not_retryable",
    ),
    (
        "rows are matched by another id",
        "rows are matched by another id",
        "answers_are_returned_byte_for_byte",
    ),
    (
        "rows have no id",
        "rows have no id",
        "answers_are_returned_byte_for_byte",
    ),
    (
        "only the output file is read",
        "results_with_answers_and_failures_are_read",
        "results_with_answers_and_failures_are_read",
    ),
    (
        "the roles of parts are swapped",
        "the roles of parts are swapped",
        "results_parts_declare_their_role",
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
        "a_repeated_create_with_the_same_token_is_the_same_batch",
    ),
    (
        "token: all creates have the same",
        "token: all creates have the same",
        "a_create_with_another_token_is_another_batch",
    ),
    (
        "a 200 without a list is an empty list",
        "a 200 without a list is an empty list",
        "a_200_without_a_list_is_an_error",
    ),
    (
        "a search without a list finds nothing",
        "a search without a list finds nothing",
        "a_search_without_a_list_is_an_error",
    ),
    (
        "a create with a lost response is paid for twice without a list",
        "a 200 without a list is an empty list",
        "a_create_with_a_lost_response_is_paid_for_once_without_a_list",
    ),
    (
        "a list is not read beyond its first page",
        "paging_through_a_list_returns_every_batch_once",
        "paging_through_a_list_returns_every_batch_once",
    ),
    (
        "a list begins with the oldest",
        "a list begins with the oldest",
        "paging_through_a_list_returns_every_batch_once",
    ),
    (
        "numbered: pages are counted from one",
        "numbered: pages are counted from one",
        "paging_through_a_list_returns_every_batch_once",
    ),
    (
        "numbered: the last page is left out",
        "numbered: the last page is left out",
        "paging_through_a_list_returns_every_batch_once",
    ),
    (
        "a failed fence is reported as a success",
        "a failed fence is reported as a success",
        "a_failed_fence_is_an_error",
    ),
    (
        "a failed deletion is reported as a success",
        "a failed deletion is reported as a success",
        "a_failed_deletion_is_an_error",
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
        "a 200 without a list of uploads is an empty list",
        "a 200 without a list of uploads is an empty list",
        "uploads_are_listed_or_unsupported",
    ),
    (
        "a probe always succeeds",
        "a probe always succeeds",
        "a_refused_probe_is_an_error",
    ),
    (
        "created_at is read in the wrong unit",
        "created_at is read in the wrong unit",
        "the_creation_time_of_a_batch_is_read",
    ),
    (
        "created_at is lost",
        "created_at is lost",
        "the_creation_time_of_a_batch_is_read",
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
        "an unknown status is read as failed",
        "an unknown status is read as failed",
        "an_undocumented_status_is_unknown_and_not_an_error",
    ),
    (
        "a batch that does not exist has empty results",
        "a batch that does not exist has empty results",
        "a_batch_that_does_not_exist_has_no_results",
    ),
    (
        "a list has an earlier status",
        "a list has an earlier status",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list has a later status",
        "a list has a later status",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "an unknown status in a list is read as terminal",
        "an unknown status in a list is read as terminal",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list leaves out the times",
        "a list leaves out the times",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list has the time of the last change",
        "a list has the time of the last change",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list counts failures as answers",
        "a list counts failures as answers",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list gives the total alone",
        "a list gives the total alone",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "status pages are declared without a list",
        "status pages are declared without a list",
        "a_status_page_agrees_with_every_status",
    ),
    (
        "a list caches its pages",
        "a list caches its pages",
        "a_status_page_is_as_current_as_a_status",
    ),
    (
        "a list shows the end of a batch late",
        "a list has an earlier status",
        "a_status_page_is_as_current_as_a_status",
    ),
    (
        "counts are swapped",
        "request_counts_are_read",
        "request_counts_are_read",
    ),
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
        "the key is forwarded on a redirect",
        "a_redirect_of_a_download_forwards_no_key_and_no_request",
        "a_redirect_of_a_download_forwards_no_key_and_no_request",
    ),
    (
        "results of any batch that ended are waited for",
        "results of any batch that ended are waited for",
        "a_batch_that_ended_without_answers_is_complete",
    ),
    (
        "a failure with an answer is retryable",
        "a failure with an answer is retryable",
        "an_answer_takes_precedence_over_a_failure",
    ),
    (
        "a failure for an unknown reason is retryable",
        "a failure for an unknown reason is retryable",
        "an_unknown_failure_is_not_retryable",
    ),
    (
        "no id is read from a row that is not JSON",
        "no id is read from a row that is not JSON",
        "a_row_that_is_not_json_is_an_error_of_its_request",
    ),
    (
        "a status with an error is accepted",
        "a status with an error is accepted",
        "a_status_with_an_error_is_rejected",
    ),
    (
        "a list with an error is accepted",
        "a list with an error is accepted",
        "a_list_with_an_error_is_an_error",
    ),
    (
        "a cancel with an error is accepted",
        "a cancel with an error is accepted",
        "a_cancel_with_an_error_is_an_error",
    ),
    (
        "a fence with an error is accepted",
        "a fence with an error is accepted",
        "a_fence_with_an_error_is_an_error",
    ),
    (
        "any error object is taken for the provider's own",
        "any error object is taken for the provider's own",
        "a_create_with_an_incomplete_error_may_have_been_delivered",
    ),
    (
        "a list that is null is an empty list",
        "a list that is null is an empty list",
        "a_200_without_a_list_is_an_error",
    ),
];

/// Mistakes that no clause catches, with the reason.
pub(crate) const NOT_CAUGHT: &[(&str, &str)] = &[
    (
        "a create is sent by `post`, not by `create`",
        "the kit closes every connection, so that no client sends it again",
    ),
    (
        "a parameter of a status call is left out",
        "the methods of the wire that write a batch do not receive the request",
    ),
];
