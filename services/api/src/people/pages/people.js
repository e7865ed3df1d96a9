"use strict";

// What each code of a problem says to a person.
const WORDS = {
  wrong_sign_in: "Email, password or code are wrong.",
  totp_required: "Enter the code that your authenticator shows.",
  several_tenants: "You are a member of several tenants: choose one.",
  too_many_attempts: "Too many attempts. Wait a little, and try again.",
  invitation_invalid: "This invitation was used or has expired. Ask for a new one.",
  unavailable: "The service does not answer now. Try again in a moment.",
};

const at = (id) => document.getElementById(id);

function say(text) {
  at("said").textContent = text;
  at("said").hidden = !text;
}

function show(problem) {
  const fields = (problem.errors || []).map((error) => error.detail).join("; ");
  say(WORDS[problem.code] || fields || problem.detail || "Something went wrong.");
  if (problem.code === "totp_required") {
    at("second").hidden = false;
    at("totp").focus();
  }
  if (problem.code === "several_tenants") choose(problem.errors || []);
}

// Anybody can make a link to this page: of what it says only what is known is shown, and a tenant's name as such.
function showTold({ code, errors }) {
  if (!Object.hasOwn(WORDS, code)) return;
  const isTenant = ({ detail }) => /^[0-9a-f-]{36} .{1,100}$/.test(detail);
  show({ code, errors: Array.isArray(errors) ? errors.filter(isTenant) : [] });
}

function choose(errors) {
  at("tenant").replaceChildren(...errors.map(({ detail }) => {
    const space = detail.indexOf(" ");
    return new Option(detail.slice(space + 1), detail.slice(0, space));
  }));
  at("several").hidden = false;
  at("tenant").focus();
}

async function ask(method, path, body) {
  const request = { method, credentials: "same-origin", headers: {} };
  if (body) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(path, request);
  const text = await answer.text();
  const said = text ? JSON.parse(text) : {};
  if (!answer.ok) throw said;
  return said;
}

// Runs what a button does, once at a time.
function on(id, event, work) {
  const element = at(id);
  if (!element) return;
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    const buttons = [...document.querySelectorAll("button")];
    buttons.forEach((button) => { button.disabled = true; });
    say("");
    try {
      await work();
    } catch (problem) {
      show(problem.code ? problem : { code: "unavailable" });
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  });
}

// A path of this site, and of no other. What a browser makes of it is what counts: without its dots, `/.//name` is `//name`,
// which is another site.
function next() {
  const wanted = new URLSearchParams(location.search).get("return_to") || "";
  if (!wanted.startsWith("/")) return "";
  try {
    const url = new URL(wanted, location.origin);
    const path = url.pathname + url.search + url.hash;
    return url.origin === location.origin && !path.startsWith("//") ? path : "";
  } catch {
    return "";
  }
}

// The tenant that was chosen, or the one that the page was opened for.
function tenant() {
  if (at("several") && !at("several").hidden) return at("tenant").value;
  return new URLSearchParams(location.search).get("tenant") || undefined;
}

async function greet() {
  const who = await ask("GET", "/api/v1/session");
  if (!who.member) return;
  at("who").textContent = `${who.member.email} (${who.member.role})`;
  at("sign-in").hidden = true;
  at("oidc").hidden = true;
  at("in").hidden = false;
}

on("sign-in", "submit", async () => {
  const body = { email: at("email").value, password: at("password").value };
  if (at("totp").value) body.totp = at("totp").value;
  if (tenant()) body.tenant = tenant();
  await ask("POST", "/api/v1/session", body);
  at("password").value = "";
  if (next()) location.assign(next());
  else await greet();
});

on("out", "click", async () => {
  await ask("DELETE", "/api/v1/session");
  location.reload();
});

on("accept", "submit", async () => {
  const body = { invitation: location.hash.slice(1), password: at("password").value };
  if (at("name").value.trim()) body.name = at("name").value;
  await ask("POST", "/api/v1/invitations/accept", body);
  location.assign("/auth/sign-in");
});

on("oidc", "click", async () => {
  const wish = {};
  if (at("accept")) wish.invitation = location.hash.slice(1);
  if (tenant()) wish.tenant = tenant();
  if (next()) wish.return_to = next();
  const { url } = await ask("POST", "/auth/oidc/start", wish);
  location.assign(url);
});

if (at("sign-in")) {
  // Who comes back from elsewhere is told what went wrong there.
  const told = location.hash.slice(1);
  if (told) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      showTold(JSON.parse(decodeURIComponent(told.replaceAll("+", " "))));
    } catch {
      // It was no word of ours.
    }
  }
  greet().catch(() => {});
}
