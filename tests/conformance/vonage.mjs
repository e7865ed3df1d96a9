// Vonage's SDKs for Node.js send by the simulator, and verify what it posts.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Auth } from "@vonage/auth";
import { tokenGenerate, verifySignature } from "@vonage/jwt";
import { MMSImage, Messages, SMS } from "@vonage/messages";
import { FILES, RECEIVER, SIMULATOR, check, inbound, received, refused, sdk } from "./common.mjs";

const APPLICATION = "00000000-0000-4000-8000-000000000001";
const SECRET = "dev-vonage-signature-secret";
const OURS = "12016661234";
const WEBHOOK = `${RECEIVER}/api/v1/webhooks/vonage?by=node`;

const key = readFileSync(`${FILES}/vonage.private.pem`, "utf8");

const client = (applicationId = APPLICATION) =>
  new Messages(new Auth({ applicationId, privateKey: key }), { apiHost: SIMULATOR });

const send = (to, text, more = {}) =>
  client().send(new SMS({ to, from: OURS, text, clientRef: "order-42", webhookUrl: WEBHOOK, ...more }));

const json = (request) => JSON.parse(request.body.toString());
const isOf = (request) => request.path.startsWith("/api/v1/webhooks/vonage");

async function accepted() {
  const { messageUUID } = await send("18045553001", "Hello from Node.js");
  check("an SMS is accepted", /^[0-9a-f-]{36}$/.test(messageUUID), messageUUID);
  const image = { url: `${RECEIVER}/a.png`, caption: "A picture" };
  const mms = await client().send(new MMSImage({ to: "18045553002", from: OURS, image, webhookUrl: WEBHOOK }));
  check("an MMS is accepted with its file", /^[0-9a-f-]{36}$/.test(mms.messageUUID), mms.messageUUID);
  return messageUUID;
}

// What the SDK's error says: its HTTP status, and Vonage's code.
async function said(error) {
  const body = await error?.response?.json().catch(() => undefined);
  return { status: error?.response?.status, code: body?.type?.split("#")[1], title: body?.title };
}

async function isRefused(name, to, status, code) {
  const error = await refused(() => send(to, `${name} of Node.js`));
  const told = await said(error);
  const ok = told.status === status && told.code === code && told.title;
  check(`${name}: the SDK's error has ${status} and ${code}`, ok, { ...told, error: `${error}` });
}

async function comesRight(name, to, status, code) {
  await isRefused(name, to, status, code);
  await isRefused(name, to, status, code);
  const error = await refused(() => send(to, `${name} of Node.js`));
  check(`${name}: the third call is accepted`, error === undefined, `${error}`);
}

async function optedOut() {
  const { messageUUID } = await send("18045550610", "optout of Node.js");
  const [rejected] = await received((one) => isOf(one) && json(one).message_uuid === messageUUID);
  const told = rejected && json(rejected);
  const ok = told?.status === "rejected" && told.error?.type.endsWith("#1240");
  check("optout: it is accepted, then rejected with 1240", ok, told);
}

// The SDK verifies the token alone: that the body is the one that was signed, its hash says.
function isSigned(request) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  check("a webhook's token is good", verifySignature(token, SECRET), token);
  check("by another secret it is not", !verifySignature(token, "another"));
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString() || "{}");
  const hash = createHash("sha256").update(request.body).digest("hex");
  check("it has the hash of the body", claims.payload_hash === hash, claims);
  check("it is Vonage's, and of now", claims.iss === "Vonage" && Math.abs(Date.now() / 1000 - claims.iat) < 300, claims);
  check("it names the application", claims.application_id === APPLICATION, claims);
}

async function verified(messageUUID) {
  const statuses = await received((one) => isOf(one) && json(one).message_uuid === messageUUID, 2);
  const words = statuses.map((one) => json(one).status);
  check("the statuses come", words.join() === "submitted,delivered", words);
  for (const one of statuses) {
    const told = json(one);
    const ok = told.client_ref === "order-42" && told.to === "18045553001" && told.channel === "sms";
    check("a status has our reference", ok && one.path.endsWith("by=node"), told);
    isSigned(one);
  }
  const answer = await inbound({ provider: "vonage", from: "+18045553009", to: `+${OURS}`, body: "Hi to Node.js" });
  const posted = await received((one) => isOf(one) && json(one).text === "Hi to Node.js");
  check("a message comes in", posted.length === 1 && answer.status === 200, answer);
  posted.forEach(isSigned);
}

sdk("@vonage/messages");
sdk("@vonage/auth");
sdk("@vonage/jwt");
check("the SDK makes a token", verifySignature.length === 2 && tokenGenerate(APPLICATION, key).split(".").length === 3);
const messageUUID = await accepted();
await isRefused("invalid", "18045550400", 422, "1170");
await optedOut();
await comesRight("throttle", "18045550429", 429, "1000");
await comesRight("outage", "18045550500", 500, "1030");
const unknown = await refused(() => client("00000000-0000-4000-8000-0000000000ff").send(new SMS({ to: "18045553001", from: OURS, text: "x" })));
check("an unknown application is 401", (await said(unknown)).status === 401, `${unknown}`);
await verified(messageUUID);
