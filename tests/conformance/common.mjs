// What the checks for Node.js have in common: each says a line of JSON, which run.py counts.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const { SIMULATOR, RECEIVER, FILES } = process.env;

// How long a webhook may take to come.
const PATIENCE_MS = 15_000;

export function sdk(name) {
  const about = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  console.log(JSON.stringify({ sdk: name, version: JSON.parse(readFileSync(about, "utf8")).version }));
}

export function check(name, ok, detail = "") {
  const text = typeof detail === "string" ? detail : JSON.stringify(detail) ?? String(detail);
  console.log(JSON.stringify({ check: name, ok: Boolean(ok), detail: text }));
}

// The error that `call` ends with; none where it does not.
export async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

// The requests for which `isOne`, once there are so many.
export async function received(isOne, count = 1) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const all = await (await fetch(`${RECEIVER}/received`)).json();
    const requests = all.map(({ path, headers, body }) => {
      return { path, headers, url: `${RECEIVER}${path}`, body: Buffer.from(body, "base64") };
    });
    const found = requests.filter(isOne);
    if (found.length >= count || Date.now() > end) return found;
    await sleep(50);
  }
}

// Has the simulator deliver a message that comes in; its answer.
export async function inbound(message) {
  const answer = await fetch(`${SIMULATOR}/_sim/inbound`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(message),
  });
  return answer.json();
}
