// The first hour of the README, by a client whose types are generated from schema/openapi.json.
// Usage: node first_hour.js URL_OF_HATCH URL_OF_THE_SIMULATOR
import createClient from "openapi-fetch";
import type { components, paths } from "./hatch";

declare const process: { argv: string[] };

type Schemas = components["schemas"];

const [url = "", simulator = ""] = process.argv.slice(2);
const customer = "+18045551234";
const hatch = createClient<paths>({ baseUrl: url });

/** The body of an answer that succeeded. */
function body<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

function check(holds: boolean, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

/** Asks until there is an answer. */
async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("it did not happen within a minute");
}

async function withStatus(id: string, status: Schemas["Status"]): Promise<Schemas["Message"]> {
  return eventually(async () => {
    const message = body(await hatch.GET("/api/v1/messages/{id}", { params: { path: { id }, query: {} } }));
    return message.status === status ? message : undefined;
  });
}

// A message, and the same request again: it is sent once.
const request: Schemas["SendRequest"] = { to: customer, body: "Hello", metadata: { order: "42" } };
const key = { header: { "Idempotency-Key": "the first hour in TypeScript" } };
const sent: Schemas["Accepted"] = body(
  await hatch.POST("/api/v1/messages", { body: request, params: key }),
);
const again = await hatch.POST("/api/v1/messages", { body: request, params: key });
check(body(again).id === sent.id, again.data);
check(again.response.headers.get("idempotent-replayed") === "true", "it is a replay");

const message = await withStatus(sent.id, "delivered");
const to: string[] = message.to;
const file: string | null | undefined = message.attachments[0]?.url;
const why: Schemas["SendError"] | null = message.error;
check(to[0] === customer && file === undefined && why === null, message);
check(message.metadata["order"] === "42", message.metadata);

// What happened to it, by types that say what each event has.
const events = body(
  await hatch.GET("/api/v1/messages/{id}/events", { params: { path: { id: sent.id }, query: {} } }),
);
const names: string[] = [];
for (const event of events.data) {
  if (event.type === "hatch.MessageSent.v1") {
    const providers: string = event.data.provider_message_id;
    check(providers === message.provider_message_id, event);
  }
  names.push(event.type);
}
check(names[0] === "hatch.MessageRequested.v1" && names.includes("hatch.MessageDelivered.v1"), names);

// An error names each wrong field.
const wrong = await hatch.POST("/api/v1/messages", { body: { to: "+1804", body: "" }, params: {} });
const pointers = wrong.error?.errors?.map((error) => error.pointer);
check(wrong.response.status === 400 && pointers?.join() === "/to,/body", wrong.error);

// One for tomorrow is called off.
const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
const later = body(
  await hatch.POST("/api/v1/messages", { body: { to: customer, body: "Later", send_at: tomorrow }, params: {} }),
);
check(later.status === "scheduled", later);
const id = { path: { id: later.id } };
check(body(await hatch.POST("/api/v1/messages/{id}/cancel", { params: id })).status === "canceled", later);

// Several at once, of which one cannot be sent.
const batch = body(
  await hatch.POST("/api/v1/messages/batch", {
    body: { messages: [{ to: customer, body: "One" }, { to: "nobody" }] },
    params: {},
  }),
);
const results = batch.data.map((result) => ("error" in result ? result.error.status : result.status));
check(results.join() === "queued,400", batch);

// A refused one is a dead letter, and may be tried again.
const refused = body(
  await hatch.POST("/api/v1/messages", { body: { to: "+18045550400", body: "Nobody" }, params: {} }),
);
const failed = await withStatus(refused.id, "failed");
check(failed.error !== null && failed.error.class === "invalid_recipient", failed);
const letters = body(await hatch.GET("/api/v1/dead-letters", { params: { query: { limit: 1 } } }));
check(letters.data[0]?.id === refused.id, letters);

// The customer writes, and both are one conversation.
await fetch(`${simulator}/_sim/inbound`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ provider: "twilio", from: customer, to: message.from, body: "Is it on its way?" }),
});
const reply = await eventually(async () => {
  const query = { direction: "inbound" as const, participant: customer };
  return body(await hatch.GET("/api/v1/messages", { params: { query } })).data[0];
});
check(reply.status === "received" && reply.conversation_id === sent.conversation_id, reply);
const conversation: Schemas["Conversation"] = body(
  await hatch.GET("/api/v1/conversations/{id}", { params: { path: { id: sent.conversation_id }, query: {} } }),
);
const channel: Schemas["Channel"] | undefined = conversation.channels[0];
check(channel === "sms" && conversation.last_message.direction === "inbound", conversation);
const page = body(
  await hatch.GET("/api/v1/conversations/{id}/messages", {
    params: { path: { id: sent.conversation_id }, query: { limit: 1 } },
  }),
);
check(page.data.length === 1 && page.next_cursor !== null, page);

// He does not want to be written to any more, and is not.
const wish: Schemas["ConsentRequest"] = { address: customer, state: "opted_out", evidence: "on the phone" };
check(!body(await hatch.PUT("/api/v1/consent", { body: wish, params: {} })).allowed, wish);
const unwanted = body(await hatch.POST("/api/v1/messages", { body: request, params: {} }));
check((await withStatus(unwanted.id, "failed")).error?.class === "opted_out", unwanted);

const ready = body(await hatch.GET("/ready"));
check(ready.dependencies["postgresql"]?.status === "up", ready);
console.log("the first hour is over");
