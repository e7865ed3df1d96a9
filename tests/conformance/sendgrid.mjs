// SendGrid's SDKs for Node.js send by the simulator, and verify what it posts.

import { readFileSync } from "node:fs";
import eventwebhook from "@sendgrid/eventwebhook";
import sendgrid from "@sendgrid/mail";
import { FILES, SIMULATOR, check, inbound, received, refused, sdk } from "./common.mjs";

const { EventWebhook, EventWebhookHeader } = eventwebhook;
const WRONG = "SG.wrong";
const OURS = "user@usehatchapp.com";

const service = (key) => {
  const one = new sendgrid.MailService();
  one.client.setApiKey(key);
  one.client.setDefaultRequest("baseUrl", `${SIMULATOR}/`);
  return one;
};

const send = (to, subject, more = {}, key = "dev-sendgrid-api-key") =>
  service(key).send({
    to, from: OURS, subject, text: "Hello", html: "<p>Hello</p>", customArgs: { order: "42" }, ...more,
  });

const eventsOf = (request, address) => {
  const isOne = request.path.startsWith("/api/v1/webhooks/sendgrid") && request.body.toString().startsWith("[");
  return isOne ? JSON.parse(request.body.toString()).filter((event) => event.email === address) : [];
};

async function eventsTo(address, names) {
  let [requests, events] = [[], []];
  for (let count = 1; count <= names.length; count += 1) {
    requests = await received((one) => eventsOf(one, address).length > 0, count);
    events = requests.flatMap((one) => eventsOf(one, address));
    if (names.every((name) => events.some((event) => event.event === name))) break;
  }
  return [requests, events];
}

const webhook = new EventWebhook();
const publicKey = webhook.convertPublicKeyToECDSA(readFileSync(`${FILES}/sendgrid.public.pem`, "utf8"));

function isSigned(request) {
  const signature = request.headers[EventWebhookHeader.SIGNATURE().toLowerCase()] ?? "";
  const timestamp = request.headers[EventWebhookHeader.TIMESTAMP().toLowerCase()] ?? "";
  const body = request.body.toString();
  check("a webhook's signature is good", webhook.verifySignature(publicKey, body, signature, timestamp));
  check("another body's is not", !webhook.verifySignature(publicKey, `${body} `, signature, timestamp));
  check("another time's is not", !webhook.verifySignature(publicKey, body, signature, `${timestamp}0`));
}

async function verified() {
  const content = Buffer.from("a file").toString("base64");
  const attachments = [{ content, filename: "a.txt", type: "text/plain", disposition: "attachment" }];
  const [answer] = await send("node@example.com", "With a file", { attachments });
  check("a mail with a file is accepted", answer.statusCode === 202, answer.statusCode);
  const id = answer.headers["x-message-id"];
  check("it has a name", id, answer.headers);
  const [requests, events] = await eventsTo("node@example.com", ["processed", "delivered"]);
  check("the events come", events.map((event) => event.event).sort().join() === "delivered,processed", events);
  for (const event of events) {
    const ok = event.order === "42" && event.sg_message_id.startsWith(`${id}.`);
    check("an event has our argument and the mail's name", ok, event);
  }
  requests.forEach(isSigned);
}

async function isDropped(name, to, reason) {
  const [answer] = await send(to, name);
  check(`${name}: the mail is accepted`, answer.statusCode === 202, answer.statusCode);
  const [, events] = await eventsTo(to, ["dropped"]);
  const reasons = events.filter((event) => event.event === "dropped").map((event) => event.reason);
  check(`${name}: it is dropped for ${reason}`, reasons.join() === reason, reasons);
}

async function isRefused(name, to, status, more, key) {
  const error = await refused(() => send(to, name, more, key));
  const ok = error?.code === status && error?.response?.body?.errors?.[0]?.message;
  check(`${name}: the SDK's error has ${status} and its errors`, ok, `${error?.code} ${JSON.stringify(error?.response?.body)}`);
}

async function comesRight(name, to, status) {
  await isRefused(name, to, status);
  await isRefused(name, to, status);
  const error = await refused(() => send(to, name));
  check(`${name}: the third call is accepted`, error === undefined, `${error}`);
}

sdk("@sendgrid/mail");
sdk("@sendgrid/eventwebhook");
await verified();
await isDropped("invalid", "invalid+node@example.com", "Invalid");
await isDropped("optout", "optout+node@example.com", "Unsubscribed Address");
await comesRight("throttle", "throttle+node@example.com", 429);
await comesRight("outage", "outage+node@example.com", 500);
await isRefused("a wrong key", "node@example.com", 401, {}, WRONG);
const answer = await inbound({ provider: "sendgrid", from: "ann@example.com", to: OURS, subject: "To Node.js", body: "Hi" });
const isInbound = (one) => one.path.startsWith("/api/v1/webhooks/sendgrid/inbound") && one.body.includes("To Node.js");
const posted = await received(isInbound);
check("a mail comes in", posted.length === 1 && answer.status === 200, answer);
posted.forEach(isSigned);
