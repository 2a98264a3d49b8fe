// Checks with one line of JSON each, from which `cargo xtask interop` makes a table.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// The emulator: scheme, host and port, without a path.
export const URL_ = process.env.LMBATCH_INTEROP_URL;

// The emulator accepts any key except one that begins with "bad"; see docs/guide/emulator.md.
export const KEY = "emulated";
export const BAD_KEY = "bad-key";

// A batch at the brisk pace ends after 0.65 seconds of virtual time.
const UNTIL_THE_END = 2;

// The checks of one SDK, which run in their order and share state.
export function suite(sdk) {
  const pins = JSON.parse(readFileSync(new URL("./package.json", import.meta.url)));
  const name = `node ${sdk} ${pins.dependencies[sdk]}`;
  const check = async (title, run) => {
    const start = performance.now();
    const line = { suite: name, name: title, ok: true, detail: "" };
    try {
      await run();
    } catch (error) {
      console.error(error);
      line.ok = false;
      line.detail = String(error).slice(0, 400);
      process.exitCode = 1;
    }
    line.seconds = Math.round(performance.now() - start) / 1000;
    console.log(JSON.stringify(line));
  };
  return check;
}

// The error with which a promise ends: of exactly this class, with these values.
export async function raises(kind, run, facts = {}) {
  const error = await run().then(
    (value) => assert.fail(`${kind.name} expected: ${JSON.stringify(value)}`),
    (error) => error,
  );
  if (error.constructor !== kind) throw error;
  for (const [name, expected] of Object.entries(facts)) {
    assert.deepEqual(error[name], expected, name);
  }
  return error;
}

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: body && JSON.stringify(body) };
  assert.ok((await fetch(URL_ + path, init)).ok);
}

// Advances virtual time, so that the batches created before have ended.
export const advance = (seconds = UNTIL_THE_END) =>
  post(`/_emulator/advance/${seconds}`);

// Makes the next call of this operation return this response, without performing the call.
export const fault = (operation, code, body, headers = []) =>
  post("/_emulator/faults", { operation, kind: { status: { code, body, headers } } });

// All items of a paged list.
export async function all(pages) {
  const found = [];
  for await (const one of await pages) found.push(one);
  return found;
}
