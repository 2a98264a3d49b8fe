// Anthropic's Node SDK drives the emulator: message batches, results and errors.

import assert from "node:assert/strict";

import Anthropic, { ContentTooLargeError } from "@anthropic-ai/sdk";

import { BAD_KEY, KEY, URL_, advance, all, fault, raises, suite } from "./checks.mjs";

const check = suite("@anthropic-ai/sdk");

// Errors are checked, not retried.
const client = new Anthropic({ baseURL: URL_, apiKey: KEY, maxRetries: 0 });
const batches = client.messages.batches;

const request = (custom_id, content) => ({
  custom_id,
  params: { model: "claude-haiku-4-5", max_tokens: 99, messages: [{ role: "user", content }] },
});
const create = (...requests) => batches.create({ requests });

async function results(id) {
  const found = await all(batches.results(id));
  return new Map(found.map((row) => [row.custom_id, row.result]));
}

await check("a batch is created, retrieved, and its results streamed", async () => {
  const made = await create(request("a", "hello"), request("b", "lmb:error-500"));
  assert.equal(made.processing_status, "in_progress");
  await advance();
  const done = await batches.retrieve(made.id);
  assert.equal(done.processing_status, "ended");
  assert.deepEqual(
    { ...done.request_counts },
    { processing: 0, succeeded: 1, errored: 1, canceled: 0, expired: 0 },
  );
  const found = await results(made.id);
  assert.equal(found.get("a").message.content[0].text, "echo: hello");
  assert.equal(found.get("b").error.error.type, "api_error");
});

await check("batches are listed page by page, newest first", async () => {
  const made = [];
  for (let n = 0; n < 5; n++) made.push((await create(request("a", `${n}`))).id);
  const found = (await all(batches.list({ limit: 2 }))).map((batch) => batch.id);
  assert.deepEqual(found.slice(0, 5), made.toReversed());
});

await check("a batch is cancelled, then deleted", async () => {
  const made = await create(...["a", "b", "c", "d"].map((id) => request(id, "hi")));
  assert.equal((await batches.cancel(made.id)).processing_status, "canceling");
  await advance();
  const kinds = [...(await results(made.id)).values()].map((result) => result.type);
  assert.deepEqual(kinds.toSorted(), ["canceled", "canceled", "succeeded", "succeeded"]);
  assert.equal((await batches.delete(made.id)).type, "message_batch_deleted");
});

await check("400: an id that is doubled", () =>
  raises(Anthropic.BadRequestError, () => create(request("a", "x"), request("a", "y")), {
    status: 400,
    type: "invalid_request_error",
  }),
);

await check("401: a key that is refused", () =>
  raises(
    Anthropic.AuthenticationError,
    () => new Anthropic({ baseURL: URL_, apiKey: BAD_KEY }).messages.batches.retrieve("x"),
    { status: 401, type: "authentication_error" },
  ),
);

await check("404: a batch that is not there", async () => {
  for (const call of ["retrieve", "cancel", "delete", "results"]) {
    await raises(Anthropic.NotFoundError, () => batches[call]("msgbatch_x"), { status: 404 });
  }
});

await check("413: a create that is too large", async () => {
  await fault("create", 413, "<html><title>413</title></html>");
  await raises(ContentTooLargeError, () => create(request("a", "hi")), { status: 413 });
});

await check("429: a create that is too much; the SDK tries again by itself", async () => {
  const error = { type: "rate_limit_error", message: "slow down" };
  const body = JSON.stringify({ type: "error", error, request_id: "r" });
  await fault("create", 429, body);
  await raises(Anthropic.RateLimitError, () => create(request("a", "hi")), { status: 429 });
  await fault("create", 429, body, [["retry-after-ms", "1"]]);
  const requests = [request("a", "hi")];
  assert.ok((await batches.create({ requests }, { maxRetries: 1 })).id);
});
