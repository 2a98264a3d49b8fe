// Google's Node SDK drives the emulator: files, batches by file and inline, results and errors.
// Version 2 of it calls /v1beta, and version 3 of the Python SDK calls /v1.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ApiError, GoogleGenAI } from "@google/genai";

import { BAD_KEY, KEY, URL_, advance, all, fault, raises, suite } from "./checks.mjs";

const check = suite("@google/genai");
const MODEL = "gemini-2.5-flash";

const connect = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: URL_ } });
const client = connect(KEY);
const content = (text) => ({ role: "user", parts: [{ text }] });

function upload(lines, displayName = "requests") {
  const text = lines.map((line) => JSON.stringify(line) + "\n").join("");
  const file = new Blob([text], { type: "application/jsonl" });
  return client.files.upload({ file, config: { displayName, mimeType: "application/jsonl" } });
}

async function byFile(texts) {
  const lines = Object.entries(texts).map(([key, text]) => ({
    key,
    request: { contents: [content(text)] },
  }));
  const { name } = await upload(lines);
  return client.batches.create({ model: MODEL, src: name, config: { displayName: "by file" } });
}

function inline(texts, displayName = "inline") {
  const src = Object.entries(texts).map(([key, text]) => ({
    contents: [content(text)],
    metadata: { key },
  }));
  return client.batches.create({ model: MODEL, src, config: { displayName } });
}

async function rows(job) {
  const folder = await mkdtemp(join(tmpdir(), "lmbatch-"));
  const downloadPath = join(folder, "rows.jsonl");
  await client.files.download({ file: job.dest.fileName, downloadPath });
  const parsed = (await readFile(downloadPath, "utf8")).trim().split("\n");
  await rm(folder, { recursive: true });
  return new Map(parsed.map((row) => JSON.parse(row)).map((row) => [row.key, row]));
}

await check("a file is uploaded, retrieved, listed and deleted", async () => {
  const sent = [];
  for (let n = 0; n < 3; n++) sent.push(await upload([{ key: "a" }], `file ${n}`));
  assert.equal((await client.files.get({ name: sent[0].name })).displayName, "file 0");
  const found = await all(client.files.list({ config: { pageSize: 1 } }));
  assert.ok(found.length >= 3);
  await client.files.delete({ name: sent[0].name });
});

await check("a batch by file is created, retrieved, and its results downloaded", async () => {
  const made = await byFile({ a: "hello", b: "lmb:error-400" });
  assert.equal(made.state, "JOB_STATE_PENDING");
  await advance();
  const done = await client.batches.get({ name: made.name });
  assert.equal(done.state, "JOB_STATE_SUCCEEDED");
  const found = await rows(done);
  const parts = found.get("a").response.candidates[0].content.parts;
  assert.equal(parts[0].text, "echo: hello");
  assert.equal(found.get("b").error.code, 3);
});

await check("a batch with its requests inside, and its results inside", async () => {
  const made = await inline({ a: "hello", b: "lmb:error-429" });
  await advance();
  const done = await client.batches.get({ name: made.name });
  const found = done.dest.inlinedResponses;
  const answer = found.find((row) => row.metadata?.key === "a");
  assert.equal(answer.response.candidates[0].content.parts[0].text, "echo: hello");
  assert.equal(found.find((row) => row.metadata?.key === "b").error.code, 8);
});

await check("batches are listed page by page, newest first", async () => {
  const made = [];
  for (let n = 0; n < 5; n++) made.push((await inline({ a: "hi" }, `${n}`)).name);
  const found = await all(client.batches.list({ config: { pageSize: 2 } }));
  assert.deepEqual(found.map((job) => job.name).slice(0, 5), made.toReversed());
});

await check("a batch is cancelled, then deleted", async () => {
  const made = await byFile({ a: "hi", b: "hi" });
  await client.batches.cancel({ name: made.name });
  await advance();
  assert.equal((await client.batches.get({ name: made.name })).state, "JOB_STATE_CANCELLED");
  await client.batches.delete({ name: made.name });
  await raises(ApiError, () => client.batches.get({ name: made.name }), { status: 404 });
});

await check("400: a field that is unknown, and a key that is refused, which is no 401 here", async () => {
  const { name } = await upload([{ key: "a", request: { contents: [content("x")], odd: 1 } }]);
  await raises(ApiError, () => client.batches.create({ model: MODEL, src: name }), { status: 400 });
  const stranger = connect(BAD_KEY);
  await raises(ApiError, () => stranger.batches.get({ name: "batches/x" }), { status: 400 });
});

await check("401: a token that is refused", async () => {
  const error = { code: 401, message: "no", status: "UNAUTHENTICATED" };
  await fault("status", 401, JSON.stringify({ error }));
  await raises(ApiError, () => client.batches.get({ name: "batches/x" }), { status: 401 });
});

await check("404: a batch that is not there", () =>
  raises(ApiError, () => client.batches.cancel({ name: "batches/x" }), { status: 404 }),
);

await check("413: a create that a proxy refuses", async () => {
  await fault("create", 413, "<html><title>413</title></html>");
  await raises(ApiError, () => inline({ a: "hi" }), { status: 413 });
});

await check("429: a create that is too much", async () => {
  const error = { code: 429, message: "no", status: "RESOURCE_EXHAUSTED" };
  await fault("create", 429, JSON.stringify({ error }));
  await raises(ApiError, () => inline({ a: "hi" }), { status: 429 });
});
