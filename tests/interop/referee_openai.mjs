// OpenAI's Node SDK drives the emulator: files, batches, results and errors.

import assert from "node:assert/strict";

import OpenAI, { toFile } from "openai";

import { BAD_KEY, KEY, URL_, advance, all, fault, raises, suite } from "./checks.mjs";

const check = suite("openai");
const ENDPOINT = "/v1/responses";

// Errors are checked, not retried.
const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY, maxRetries: 0 });

const line = (custom_id, input) => ({
  custom_id,
  method: "POST",
  url: ENDPOINT,
  body: { model: "gpt-5-mini", input },
});

async function upload(lines, name = "requests.jsonl") {
  const text = lines.map((line) => JSON.stringify(line) + "\n").join("");
  return client.files.create({ file: await toFile(Buffer.from(text), name), purpose: "batch" });
}

async function create(lines, more = {}) {
  const { id } = await upload(lines);
  return client.batches.create({
    input_file_id: id,
    endpoint: ENDPOINT,
    completion_window: "24h",
    ...more,
  });
}

async function rows(fileId) {
  const text = await (await client.files.content(fileId)).text();
  const parsed = text.trim().split("\n").map((row) => JSON.parse(row));
  return new Map(parsed.map((row) => [row.custom_id, row]));
}

await check("a file is uploaded, retrieved, listed and deleted", async () => {
  const sent = await upload([line("a", "hi")]);
  assert.deepEqual(await client.files.retrieve(sent.id), sent);
  await upload([line("a", "ho")]);
  const ids = (await all(client.files.list({ limit: 1 }))).map((file) => file.id);
  assert.ok(ids.includes(sent.id) && new Set(ids).size === ids.length);
  assert.ok((await client.files.delete(sent.id)).deleted);
});

await check("a batch is created, retrieved, and its results read", async () => {
  const made = await create([line("a", "hello"), line("b", "lmb:error-400")], {
    metadata: { run: "x" },
  });
  assert.equal(made.status, "validating");
  assert.deepEqual(made.metadata, { run: "x" });
  await advance();
  const done = await client.batches.retrieve(made.id);
  assert.equal(done.status, "completed");
  assert.deepEqual(done.request_counts, { total: 2, completed: 1, failed: 1 });
  const answer = (await rows(done.output_file_id)).get("a").response.body;
  assert.equal(answer.output[0].content[0].text, "echo: hello");
  assert.equal((await rows(done.error_file_id)).get("b").response.status_code, 400);
});

await check("batches are listed page by page, newest first", async () => {
  const made = [];
  for (let n = 0; n < 5; n++) made.push((await create([line("a", `${n}`)])).id);
  const found = (await all(client.batches.list({ limit: 2 }))).map((batch) => batch.id);
  assert.deepEqual(found.slice(0, 5), made.toReversed());
});

await check("a batch is cancelled; half of it is answered", async () => {
  const made = await create(["a", "b", "c", "d"].map((id) => line(id, "hi")));
  assert.equal((await client.batches.cancel(made.id)).status, "cancelling");
  await advance();
  const done = await client.batches.retrieve(made.id);
  assert.equal(done.status, "cancelled");
  assert.equal((await rows(done.output_file_id)).size, 2);
});

await check("400: a create for a wrong endpoint", () =>
  raises(OpenAI.BadRequestError, () => create([line("a", "hi")], { endpoint: "/v1/nowhere" }), {
    status: 400,
    param: "endpoint",
  }),
);

await check("401: a key that is refused", () =>
  raises(
    OpenAI.AuthenticationError,
    () => client.withOptions({ apiKey: BAD_KEY }).batches.retrieve("batch_x"),
    { status: 401, code: "invalid_api_key" },
  ),
);

await check("404: a batch and a file that are not there", async () => {
  await raises(OpenAI.NotFoundError, () => client.batches.retrieve("batch_x"), { status: 404 });
  await raises(OpenAI.NotFoundError, () => client.files.content("file-x"), { status: 404 });
});

// A status without an exception class in the SDK.
await check("413: a file that is too large", async () => {
  await fault("upload", 413, JSON.stringify({ error: { message: "too large", code: null } }));
  await raises(OpenAI.APIError, () => upload([line("a", "hi")]), { status: 413 });
});

await check("429: a create that is too much; the SDK tries again by itself", async () => {
  const body = JSON.stringify({ error: { message: "no", code: "rate_limit_exceeded" } });
  const { id } = await upload([line("a", "hi")]);
  const request = { input_file_id: id, endpoint: ENDPOINT, completion_window: "24h" };
  await fault("create", 429, body);
  await raises(OpenAI.RateLimitError, () => client.batches.create(request), { status: 429 });
  await fault("create", 429, body, [["retry-after-ms", "1"]]);
  assert.ok((await client.batches.create(request, { maxRetries: 1 })).id);
});
