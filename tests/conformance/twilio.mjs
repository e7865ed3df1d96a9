// Twilio's SDK for Node.js sends by the simulator, and verifies what it posts.

import twilio from "twilio";
import { RECEIVER, SIMULATOR, check, inbound, received, refused, sdk } from "./common.mjs";

const ACCOUNT = `AC${"0".repeat(32)}`;
const TOKEN = "dev-twilio-auth-token";
const OURS = "+12016661234";
const CALLBACK = `${RECEIVER}/api/v1/webhooks/twilio?by=node`;

function client(token = TOKEN) {
  const one = twilio(ACCOUNT, token);
  one.api.baseUrl = SIMULATOR;
  return one;
}

const send = (to, body, more = {}) =>
  client().messages.create({ to, from: OURS, body, statusCallback: CALLBACK, ...more });

const fields = (request) => Object.fromEntries(new URLSearchParams(request.body.toString()));

async function accepted() {
  const message = await send("+18045552001", "Hello from Node.js");
  check("an SMS is accepted", /^SM[0-9a-f]{32}$/.test(message.sid), message.sid);
  check("its status is one that the SDK knows", ["queued", "accepted"].includes(message.status), message.status);
  check("its fields are read", message.accountSid === ACCOUNT && message.to === "+18045552001", message.to);
  check("its date is read as a time", message.dateCreated instanceof Date && !isNaN(message.dateCreated));
  check("it has no error", message.errorCode === null && message.errorMessage === null, message.errorCode);
  const mms = await send("+18045552002", "With a picture", { mediaUrl: [`${RECEIVER}/a.png`] });
  check("an MMS is accepted with its file", mms.sid.startsWith("MM") && mms.numMedia === "1", mms.numMedia);
  return message.sid;
}

async function lookedUp(sid) {
  const found = await client().messages(sid).fetch();
  check("a message is fetched", found.sid === sid, found.sid);
  const listed = await client().messages.list({ to: "+18045552001", limit: 20 });
  check("a message is listed by its recipient", listed.some((one) => one.sid === sid), listed.length);
}

async function isRefused(name, to, status, code) {
  const error = await refused(() => send(to, `${name} of Node.js`));
  const ok = error instanceof twilio.RestException && error.status === status && error.code === code;
  check(`${name}: the SDK's error has ${status} and ${code}`, ok, `${error?.status} ${error?.code} ${error?.message}`);
}

async function comesRight(name, to, status, code) {
  await isRefused(name, to, status, code);
  await isRefused(name, to, status, code);
  const error = await refused(() => send(to, `${name} of Node.js`));
  check(`${name}: the third call is accepted`, error === undefined, `${error}`);
}

async function verified(sid) {
  const ours = (one) => one.path.endsWith("by=node") && fields(one).MessageSid === sid;
  const receipts = await received(ours, 2);
  const statuses = receipts.map((one) => fields(one).MessageStatus);
  check("the receipts come", statuses.join() === "sent,delivered", statuses);
  for (const one of receipts) {
    const [signature, form] = [one.headers["x-twilio-signature"] ?? "", fields(one)];
    check("a receipt's signature is good", twilio.validateRequest(TOKEN, signature, one.url, form), one.url);
    check("another body's is not", !twilio.validateRequest(TOKEN, signature, one.url, { ...form, To: "+1" }));
    check("another token's is not", !twilio.validateRequest("another", signature, one.url, form));
  }
  const answer = await inbound({ provider: "twilio", from: "+18045552009", to: OURS, body: "Hi to Node.js" });
  const posted = await received((one) => fields(one).Body === "Hi to Node.js");
  check("a message comes in", posted.length === 1 && answer.status === 200, answer);
  for (const one of posted) {
    const good = twilio.validateRequest(TOKEN, one.headers["x-twilio-signature"] ?? "", one.url, fields(one));
    check("its signature is good", good, one.url);
  }
}

sdk("twilio");
const sid = await accepted();
await lookedUp(sid);
await isRefused("invalid", "+18045550400", 400, 21211);
await isRefused("optout", "+18045550610", 400, 21610);
await comesRight("throttle", "+18045550429", 429, 20429);
await comesRight("outage", "+18045550500", 500, 20500);
const wrong = await refused(() => client("wrong").messages.create({ to: "+18045552001", from: OURS, body: "x" }));
check("a wrong token is 401 with 20003", wrong?.status === 401 && wrong?.code === 20003, `${wrong?.status} ${wrong?.code}`);
await verified(sid);
