// Mailgun's SDK for Node.js sends by the simulator. It has nothing that verifies webhooks, so these are verified by Node's own
// HMAC, as Mailgun's pages say (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks).

import { createHmac, timingSafeEqual } from "node:crypto";
import Mailgun from "mailgun.js";
import { SIMULATOR, check, inbound, received, refused, sdk } from "./common.mjs";

const DOMAIN = "mail.usehatchapp.com";
const KEY = "dev-mailgun-api-key";
const SIGNING_KEY = "dev-mailgun-signing-key";
const OURS = "user@mail.usehatchapp.com";

const client = (apiKey = KEY) => new Mailgun(FormData).client({ username: "api", key: apiKey, url: SIMULATOR });

const send = (to, subject, more = {}, key = KEY) =>
  client(key).messages.create(DOMAIN, {
    from: `Hatch <${OURS}>`, to: [to], subject, text: "Hello", html: "<p>Hello</p>", "v:order": "42", ...more,
  });

const without = (id) => id.replace(/^<|>$/g, "");
const posted = (request) => {
  const isOne = request.path.startsWith("/api/v1/webhooks/mailgun") && request.body.toString().startsWith("{");
  return isOne ? JSON.parse(request.body.toString()) : undefined;
};
const eventsOf = (id) => (request) => posted(request)?.["event-data"]?.message?.headers?.["message-id"] === without(id);

function isGood({ timestamp, token, signature }, key = SIGNING_KEY) {
  const made = createHmac("sha256", key).update(`${timestamp}${token}`).digest();
  const shown = Buffer.from(signature ?? "", "hex");
  return made.length === shown.length && timingSafeEqual(made, shown);
}

function isSigned(signed) {
  check("a webhook's signature is good", isGood(signed), signed);
  check("by another key it is not", !isGood(signed, "another"));
  check("its token is as long as Mailgun's", signed.token?.length === 50, signed.token);
  check("its time is of now", Math.abs(Date.now() / 1000 - Number(signed.timestamp)) < 300, signed.timestamp);
}

async function verified() {
  const attachment = { data: Buffer.from("a file"), filename: "a.txt", contentType: "text/plain" };
  const answer = await send("node@example.com", "With a file", { attachment: [attachment] });
  check("a mail with a file is accepted", answer.status === 200 && answer.message === "Queued. Thank you.", answer);
  check("it has a name", /^<.+@.+>$/.test(answer.id), answer.id);
  const requests = await received(eventsOf(answer.id), 2);
  const events = requests.map((one) => posted(one)["event-data"]);
  check("the events come", events.map(({ event }) => event).join() === "accepted,delivered", events);
  for (const event of events) {
    const ok = event["user-variables"]?.order === "42" && event.recipient === "node@example.com";
    check("an event has our variable", ok, event);
  }
  requests.forEach((one) => isSigned(posted(one).signature));
  const page = await client().events.get(DOMAIN, { "message-id": without(answer.id), limit: 10 });
  const names = page.items.map(({ event }) => event).sort();
  check("the SDK finds its events", names.join() === "accepted,delivered", names);
}

async function isSuppressed(name, to, reason, code) {
  const answer = await send(to, name);
  check(`${name}: the mail is accepted`, answer.status === 200, answer);
  const isFailed = (one) => eventsOf(answer.id)(one) && posted(one)["event-data"].event === "failed";
  const [failed] = (await received(isFailed)).map((one) => posted(one)["event-data"]);
  const ok = failed?.severity === "permanent" && failed.reason === reason && failed["delivery-status"].code === code;
  check(`${name}: it fails for good with ${reason}`, ok, failed);
}

async function isRefused(name, to, status, key) {
  const error = await refused(() => send(to, name, {}, key));
  check(`${name}: the SDK's error has ${status} and words`, error?.status === status && error.details, `${error?.status} ${error?.details}`);
}

async function comesRight(name, to, status) {
  await isRefused(name, to, status);
  await isRefused(name, to, status);
  const error = await refused(() => send(to, name));
  check(`${name}: the third call is accepted`, error === undefined, `${error}`);
}

async function comesIn() {
  const mail = { provider: "mailgun", from: "ann@example.com", to: OURS, subject: "To Node.js", body: "Hi" };
  const answer = await inbound(mail);
  const isOne = (one) => one.path.startsWith("/api/v1/webhooks/mailgun/inbound") && one.body.includes("To Node.js");
  const requests = await received(isOne);
  check("a mail comes in", requests.length === 1 && answer.status === 200, answer);
  for (const one of requests) {
    const type = { headers: { "Content-Type": one.headers["content-type"] } };
    const form = await new Response(one.body, type).formData();
    check("its fields are as Mailgun's", form.get("sender") === "ann@example.com" && form.get("body-plain").trim() === "Hi", [...form.keys()]);
    isSigned(Object.fromEntries(["timestamp", "token", "signature"].map((name) => [name, form.get(name)])));
  }
}

sdk("mailgun.js");
await verified();
await isSuppressed("invalid", "invalid+node@example.com", "suppress-bounce", 605);
await isSuppressed("optout", "optout+node@example.com", "suppress-unsubscribe", 606);
await comesRight("throttle", "throttle+node@example.com", 429);
await comesRight("outage", "outage+node@example.com", 500);
await isRefused("a wrong key", "node@example.com", 401, "wrong");
const bad = await refused(() => client().messages.create(DOMAIN, { from: OURS, to: ["node@example.com"], subject: "x" }));
check("a mail without a text is 400", bad?.status === 400, `${bad?.status} ${bad?.details}`);
const domain = await client().domains.get(DOMAIN);
check("the SDK reads the domain", domain.name === DOMAIN && domain.state === "active", domain);
await comesIn();
