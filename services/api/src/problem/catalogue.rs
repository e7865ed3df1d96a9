//! Every error that hatch answers with: what its code means, why it comes and what helps. Problems take their titles
//! and statuses from here; `docs/errors.md`, the pages below `/docs/errors` and the codes of the OpenAPI document are
//! written from here. A code keeps its meaning, its texts may change.

use axum::http::StatusCode;

use super::entry::{Entry, codes, problems};

problems! {
    INVALID_REQUEST = "invalid_request" [BAD_REQUEST]
        "The request is invalid"
        "The request cannot be understood, or breaks a rule. `errors` names each wrong field."
        "Correct the fields that `errors` names; each entry has a code and a sentence of its own. The OpenAPI \
         document says what each field may be. Nothing was recorded."
        "/to: is required";
    HTTPS_REQUIRED = "https_required" [BAD_REQUEST]
        "The connection is not encrypted"
        "The request came by plain HTTP to a listener of hatch that has a certificate (`tls.certificate_file`)."
        "Ask by `https://`, or have the proxy do so."
        "this address speaks TLS only: ask by https://";
    UNAUTHORIZED = "unauthorized" [UNAUTHORIZED]
        "The request has no valid credentials"
        "The request has no key, token or session, or one that is malformed, unknown, ended or of nobody. Which of \
         these it is, a stranger does not learn; the log of the process says it."
        "Send `Authorization: Bearer` and a valid key or token, or sign in. `hatch keys list` shows whether a key \
         has ended, `hatch keys create` makes one."
        "expected Authorization with Bearer and a valid API key or token, or a session's cookie";
    WRONG_SIGN_IN = "wrong_sign_in" [UNAUTHORIZED]
        "Nobody signs in by this"
        "Email, password, code or, with OpenID Connect, the identity are of no member who may sign in. Which of \
         them is wrong is not said."
        "Check email and password. Who has lost the password is removed and invited again (`hatch members remove`, \
         `hatch members invite`)."
        "expected the email, the password and, where one is asked for, the code of a member";
    TOTP_REQUIRED = "totp_required" [UNAUTHORIZED]
        "A second factor is asked for"
        "The password is right and the member has a second factor, and the request has no `totp`."
        "Send the six digits of the authenticator, or one of the recovery codes, as `totp`."
        "totp: expected the code of the authenticator, or one of the recovery codes";
    WRONG_SIGNATURE = "wrong_signature" [UNAUTHORIZED]
        "The signature is wrong"
        "A webhook is not signed by the provider of its path, or with another key, or for another URL than \
         `public_url` and the path."
        "Compare the key or token of the provider's account with the one in the settings of hatch, and the URL that \
         the provider posts to with `public_url`. `hatch doctor` names the URLs."
        "failed to match the signature to the request and our public URL";
    NOT_SIGNED_IN = "not_signed_in" [FORBIDDEN]
        "Only a person who has signed in can do this"
        "Password, second factor and sessions are of a person, and the request came by a key, by a token or without \
         credentials."
        "Sign in, and send the cookie of the session."
        "expected a request by the cookie of a session";
    WRONG_PASSWORD = "wrong_password" [FORBIDDEN]
        "The password is wrong"
        "The password that shows who asks, beside a new one or for a second factor, is not the one that counts now."
        "Send the present password."
        "password: expected the one that counts now";
    WRONG_CODE = "wrong_code" [FORBIDDEN]
        "The code is wrong"
        "The code of the authenticator is wrong, too old, or was used."
        "Wait for the next code, and check the clock of the device."
        "code: expected the six digits that the authenticator shows now, not used before";
    STRONGER_ROLE = "stronger_role" [FORBIDDEN]
        "The member could do more than who asks"
        "A role or a scope was to be given to somebody, or taken away, that the caller does not have. Owners are \
         changed by owners only."
        "Ask an owner, or use `hatch members` on the server."
        "the role owner: expected no more than the caller has";
    MISSING_SCOPE = "missing_scope" [FORBIDDEN]
        "A scope is missing"
        "The caller is known, and may not do this: it lacks the scope that `detail` names."
        "Use a key with that scope, or have a new one made by somebody who holds it."
        "this needs the scope messages:write";
    IP_NOT_ALLOWED = "ip_not_allowed" [FORBIDDEN]
        "The key is not for this address"
        "The key has `ip_ranges`, and the request came from an address outside them."
        "Ask from one of those networks, or use a key made for the network. Behind a proxy, `trusted_proxies` has \
         to name it, or its address is taken for the client's."
        "192.0.2.9 is in none of the key's ip_ranges";
    SENDER_NOT_ALLOWED = "sender_not_allowed" [FORBIDDEN]
        "The key is not for this sender"
        "The key has `senders`, and `from` is none of them. Nothing was recorded."
        "Send from one of the key's senders, or with a key for this one."
        "+12016661234 is none of the key's senders";
    CHANNEL_NOT_ALLOWED = "channel_not_allowed" [FORBIDDEN]
        "The key is not for this channel"
        "The key has `channels`, and the message's is none of them. Nothing was recorded."
        "Send by one of the key's channels, or with a key for this one."
        "email is none of the key's channels";
    RECIPIENT_NOT_ON_LIST = "recipient_not_on_list" [FORBIDDEN]
        "The key is not for this recipient"
        "A key of the type `team` writes to those on the tenant's team list only, and a recipient (`to`, `cc` or \
         `bcc`) is none of them. Nothing was recorded."
        "Add the address to the list (`hatch tenants team add`, `PUT /api/v1/team-recipients/{address}`), or send \
         with a key of the type `live`."
        "+18045551234 is not on the tenant's team list";
    MESSAGE_IS_LIVE = "message_is_live" [FORBIDDEN]
        "The key is for tests only"
        "A key of the type `test` changes tests only, and the message is none."
        "Use a key of the type `live`."
        "the message is no test: a key of the type test does not change it";
    TENANT_SUSPENDED = "tenant_suspended" [FORBIDDEN]
        "The tenant is suspended"
        "Whoever runs the installation has suspended the tenant of the key, token or member. Its messages wait."
        "Ask whoever runs the installation; a key with the scope `platform` resumes a tenant."
        "the credentials of this tenant are refused until it is resumed";
    STRONGER_KEY = "stronger_key" [FORBIDDEN]
        "The key could do more than the one that makes it"
        "A key may only make, rotate and end keys that can do no more than itself; `detail` says what is more."
        "Leave out what is more, or use a key that has it."
        "the scope messages:read: expected no more than the caller's key has";
    FOREIGN_SITE = "foreign_site" [FORBIDDEN]
        "The request was made by a page of another site"
        "A browser made the request for a page of another site, as `Origin` or `Sec-Fetch-Site` says."
        "Call hatch from a server, or from a page of its own origin."
        "Origin, Sec-Fetch-Site: expected a request that no page made, or one of our own";
    INVITATION_INVALID = "invitation_invalid" [NOT_FOUND]
        "The invitation is not valid"
        "The link was used, has expired, was replaced by a newer one, or is not whole."
        "Ask whoever invited you for a new link (`hatch members invite`)."
        "the invitation was used, has expired, or another one took its place: ask for a new one";
    NOT_FOUND = "not_found" [NOT_FOUND]
        "There is no such thing"
        "No endpoint has this path, or there is nothing of that id in the tenant of the key. What belongs to \
         another tenant is not found either."
        "Look at path and id, and whether the key is of the tenant whose thing it is. What was recorded just now, a \
         read with `?after=` waits for."
        "there is no such message";
    METHOD_NOT_ALLOWED = "method_not_allowed" [METHOD_NOT_ALLOWED]
        "The method is not allowed"
        "The path exists, and takes other methods."
        "Use one of those that the header `Allow` names."
        "see the Allow header";
    TIMEOUT = "timeout" [REQUEST_TIMEOUT]
        "The body came too slowly"
        "The body was not whole after a minute, or came by less than 4 KiB a second. Nothing was recorded."
        "Send the body at once; a slow network wants smaller bodies."
        "the body was not whole after 60 seconds";
    SEVERAL_TENANTS = "several_tenants" [CONFLICT]
        "The person is a member of several tenants"
        "The email and password, or the identity, are of members of several tenants, and none was named."
        "Send `tenant` with one of the ids in `errors`."
        "tenant: expected one of those in errors";
    MEMBER_JOINED = "member_joined" [CONFLICT]
        "The person is a member already"
        "The email that was to be invited is that of an active member."
        "Change the role by `PATCH /api/v1/members/{id}`."
        "email: a member has it; PATCH gives him another role";
    MEMBER_INACTIVE = "member_inactive" [CONFLICT]
        "The person is no active member"
        "The member was removed, or has not come by the invitation yet, by which nobody gets more than it was made \
         for."
        "Invite the person again, with the role that is wanted."
        "the member has not joined yet, or was removed: invite the person again";
    NO_PASSWORD = "no_password" [CONFLICT]
        "The member has no password"
        "A password or a second factor was to be set by the session of a member who signs in by an identity \
         provider (OpenID Connect) alone. Whoever takes such a session over is not to keep it by a password."
        "Sign in by the identity provider, which asks for second factors of its own. For a password, remove the \
         member and invite the person again."
        "the member signs in by an identity provider: removed and invited again, he chooses a password";
    TOTP_ENABLED = "totp_enabled" [CONFLICT]
        "There is a second factor already"
        "A second factor was to be set while there is one."
        "End the present one by `DELETE /api/v1/session/totp`, which takes the password, and begin again."
        "a second factor is asked for already: DELETE ends it, by the password";
    LAST_OWNER = "last_owner" [CONFLICT]
        "The tenant would have no owner"
        "The member who is to be removed, or to get another role, is the last active owner."
        "Make another member an owner first."
        "the member is the last owner: make somebody else one first";
    TOO_MANY_MEMBERS = "too_many_members" [CONFLICT]
        "The tenant has as many members as it may"
        "1,000 members have not been removed, or 10,000 were ever invited."
        "Remove members who have left."
        "1000 members have not been removed, of 1000 at most: remove one";
    CONFLICT = "conflict" [CONFLICT]
        "The message's status does not allow it"
        "What was asked for can only be done to a message in another status; `detail` names the one that it has."
        "Read the message again. A message that was sent cannot be canceled, and one that did not fail cannot be \
         retried."
        "the message is delivered";
    UNANSWERABLE = "unanswerable" [CONFLICT]
        "The conversation cannot be answered"
        "Nothing can be sent as an answer in this conversation; `detail` says why."
        "Send a message with `from` and `to` of its own."
        "it has no message that could be answered";
    KEY_ENDED = "key_ended" [CONFLICT]
        "The key has ended"
        "The key is revoked or has expired; `detail` says which. A key that has ended cannot be rotated."
        "Make a new key."
        "the key is revoked";
    TOO_MANY_KEYS = "too_many_keys" [CONFLICT]
        "The tenant has as many keys as it may"
        "As many keys have not ended as may be, or as many were made as may be at all; `detail` says which."
        "Revoke keys that nobody uses: `hatch keys list` shows when each was last used. `hatch keys create` makes \
         more."
        "1000 keys have not ended, of 1000 at most: revoke one";
    TEAM_LIST_FULL = "team_list_full" [CONFLICT]
        "The team list is full"
        "The tenant has as many addresses on its team list as it may."
        "Remove addresses that nobody uses (`hatch tenants team list`, `hatch tenants team remove`)."
        "the team list has 1000 addresses, as many as it may";
    NO_MASTER_KEY = "no_master_key" [CONFLICT]
        "The installation's master key is missing"
        "A secret is to be kept in the log (an account's, a second factor's), or one that is kept is to be read, \
         and no master key is set, or another one. Nothing was recorded."
        "Whoever runs the installation makes a key by `hatch master-key create` and sets it for every process as \
         `HATCH_MASTER_KEY_FILE`. Where `detail` names a key's id, that key has to be set, if only as \
         `HATCH_MASTER_KEY_PREVIOUS_FILE`. Accounts in files need none."
        "no master key is set: who runs the installation makes one by `hatch master-key create`, and sets it as \
         HATCH_MASTER_KEY_FILE";
    ACCOUNT_EXISTS = "account_exists" [CONFLICT]
        "There is an account of this name"
        "Names of provider accounts are of the installation: one of its files, of this tenant or of another one has \
         this one. The name of an account that was removed stays its tenant's."
        "Choose another name; an account of your own is changed by `PATCH`."
        "/name: main is taken in this installation";
    ACCOUNT_IN_USE = "account_in_use" [CONFLICT]
        "The provider's account is in use already"
        "Another account of this installation is the same one at the provider: whoever had both could sign the \
         other's webhooks."
        "Use the account that is there, change it by `PATCH`, or make one of its own at the provider, such as a \
         subaccount."
        "another account of this installation is this one at the provider";
    TOO_MANY_ACCOUNTS = "too_many_accounts" [CONFLICT]
        "The tenant has as many accounts as it may"
        "The tenant keeps as many provider accounts in the log as it may, which are 100."
        "Remove one that nobody uses, or have accounts configured in files."
        "100 accounts are kept, of 100 at most: remove one";
    POOL_EXISTS = "pool_exists" [CONFLICT]
        "There is a pool of this name"
        "The tenant has a pool of senders of this name, and a pool is known by its name."
        "Choose another name, or change the pool that is there by `PATCH`."
        "/name: the tenant has a pool support";
    TOO_MANY_POOLS = "too_many_pools" [CONFLICT]
        "The tenant has as many pools of senders as it may"
        "The tenant keeps as many pools in the log as it may, which are 100, or has given as many names to pools as it may \
         with those that were removed, which are 1,000; or has changed one 9,000 times."
        "Remove a pool that nobody uses, or make one again that was removed. The settings have `[[pools]]`, too."
        "100 pools, of 100 at most: remove one";
    ROUTE_EXISTS = "route_exists" [CONFLICT]
        "There is a route of this name"
        "Another route of the tenant has this name, by which plans, timelines and reasons tell of it."
        "Choose another name, leave it out, or change the route that is there by `PATCH`."
        "/name: the tenant has another route Great Britain";
    TOO_MANY_ROUTES = "too_many_routes" [CONFLICT]
        "The tenant has as many routes as it may"
        "The tenant keeps as many routes in the log as it may, which are 1,000, or has made as many as it may with \
         those that were removed, which are 10,000; or has changed one 9,000 times."
        "Remove routes that decide about nothing, or change one in place of making another. The settings have \
         `[[routes]]`, too."
        "1000 routes, of 1000 at most: remove one";
    NOT_REPLAYED = "not_replayed" [CONFLICT]
        "The webhook cannot be replayed"
        "The webhook is not in the quarantine, or is still not understood; `detail` says which."
        "Replay only what is in the quarantine (`GET /api/v1/webhook-log?outcome=quarantined`). What is still not \
         understood waits for a newer build."
        "it is not in the quarantine";
    TOO_LARGE = "too_large" [PAYLOAD_TOO_LARGE URI_TOO_LONG REQUEST_HEADER_FIELDS_TOO_LARGE]
        "The request is too large"
        "The body (413), the path with its query (414) or the headers (431) are over the limit that `detail` names."
        "Make it smaller: a batch may be cut in two, a file may be sent by its URL."
        "the body is over the limit of 1048576 bytes";
    CONTENT_TYPE = "content_type" [UNSUPPORTED_MEDIA_TYPE]
        "The content type is not supported"
        "The body is of another type than the endpoint takes, or it is compressed."
        "Send the `Content-Type` that `detail` names, and no `Content-Encoding`."
        "Content-Type: expected application/json";
    MISDIRECTED = "misdirected" [MISDIRECTED_REQUEST]
        "The request was made to another host"
        "The request names a host that is not one of this installation. So no page can point a name of its own \
         here."
        "Call hatch by the host of `public_url`, or add the name to the setting `hosts`. A proxy has to pass the \
         name on."
        "Host: expected a name of this installation: the loopback's, that of public_url, or one of the setting \
         hosts";
    OTHER_ROLE = "other_role" [MISDIRECTED_REQUEST]
        "Another role answers this request"
        "This process does not have the role that answers the request, which `detail` names."
        "Ask a process that has it; a gateway in front of the roles sends each request to the right one."
        "this process does not have the role query, which answers this: ask one that has it (`hatch serve --roles \
         query`)";
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused" [UNPROCESSABLE_ENTITY]
        "The idempotency key was used for another request"
        "The same `Idempotency-Key` came before with another request. Keys are of a tenant and an endpoint, and are \
         kept for ever."
        "Use a new key for a new request. To repeat one, repeat it unchanged."
        "Idempotency-Key: use a new key for a new request, or repeat the first one unchanged";
    NO_ACCOUNT = "no_account" [UNPROCESSABLE_ENTITY]
        "No account carries the channel"
        "No configured provider account carries the channel of the message for this tenant and sender, or, where \
         the key is of the type `test`, none carries tests; or the request names an `account` that the tenant does \
         not have, or that does not carry the message; or a route decides about the message, and no account that it names \
         carries it. `detail` says which. Nothing was recorded."
        "Configure an account for the channel, or send by another one. `hatch accounts list` shows what each \
         account carries."
        "no configured account carries sms: nothing was recorded";
    TOO_MANY_ATTEMPTS = "too_many_attempts" [TOO_MANY_REQUESTS]
        "Somebody tried to sign in too often"
        "More attempts came from the address, or for the email, than may: 5 in 20 seconds, and 20 in 5 minutes."
        "Wait as long as `Retry-After` says."
        "try again in 20 seconds";
    QUOTA_EXCEEDED = "quota_exceeded" [TOO_MANY_REQUESTS]
        "The client asks too often"
        "The client has used up the rate limit that `violated-policies` names. Nothing was done."
        "Wait as long as `Retry-After` says. `GET /api/v1/limits` shows all limits, and each answer what is left \
         (`RateLimit`); the setting `rate_limit` changes them."
        "the policy \"default\" lets 100 requests pass in 60 seconds";
    OVERLOADED = "overloaded" [TOO_MANY_REQUESTS]
        "Too much is under way"
        "More messages wait than can be sent soon, or the client's address has as many streams as one may. Nothing \
         was recorded."
        "Wait as long as `Retry-After` says, then repeat the request with the same key. Urgent messages pass by \
         `priority` `high` while bulk ones wait."
        "more messages are under way than can be finished soon";
    INTERNAL = "internal" [INTERNAL_SERVER_ERROR]
        "Something went wrong"
        "A fault of hatch. The cause is in its log under the request's id."
        "Repeat the request with the same `Idempotency-Key`. Whoever runs the installation finds the log line by \
         `request_id`."
        "the error is logged under this request id";
    UNAVAILABLE = "unavailable" [SERVICE_UNAVAILABLE BAD_GATEWAY]
        "The service is unavailable"
        "PostgreSQL is away, writes queue up, the read models are behind `after`, a limit of the process is \
         reached, or a role hung up (502). Whether a write happened is unknown."
        "Wait as long as `Retry-After` says, then repeat the request with the same `Idempotency-Key`: what was \
         recorded is not recorded again. `/ready` says what is away."
        "the log did not answer";
    OTHER = "other" []
        "The request cannot be answered"
        "The status says what is wrong, such as a path that is not UTF-8."
        "Look at status and `detail`."
        "Bad Request";
}

/// What `code` of an entry of `errors` can be. An example begins with the pointer.
pub(crate) static FIELDS: &[Entry] = codes! {
    "not_json" "The body is not JSON"
        "The body is no JSON, or not UTF-8; `detail` says from where on."
        "Send one JSON value, written by a JSON library."
        ": the body is not JSON at line 1, column 10";
    "required" "The field is missing"
        "The field is missing, and nothing stands in for it."
        "Add it."
        "/to: is required";
    "unknown_field" "There is no such field"
        "There is no field or parameter of this name here; `detail` lists those that there are."
        "Look at how it is written, or leave it out."
        "/sender: unknown field: there are from, to, body";
    "duplicate" "The field is there twice"
        "The field or parameter is there twice, and nobody can tell which one counts."
        "Send it once."
        "/to: is there twice";
    "wrong_type" "The value is of another type"
        "The value is of another JSON type than the field."
        "Send the type that `detail` names."
        "/to: expected a text";
    "unknown_value" "The value is none of those that there are"
        "The field has a list of values, and this is none of them."
        "Send one of those that `detail` lists."
        "/priority: expected one of high, normal, bulk";
    "invalid_value" "The value is not of the form that is expected"
        "The value is of the right type, and not of the form that `detail` says."
        "Send it in that form."
        "/send_at: expected a time as RFC 3339 has it, such as 2026-11-21T04:38:27Z";
    "invalid_phone_number" "The value is no phone number"
        "The number is not written as E.164 has it, or its country has no number like it."
        "Write `+`, the country code and the number, without blanks: `+12016661234`."
        "/to: no phone number of this country code has this many digits";
    "invalid_email_address" "The value is no email address"
        "The text is no email address, or is too long for one."
        "Write `name@example.com`; the name that people see goes before it: `Ann <ann@example.com>`."
        "/to: expected an email address";
    "invalid_name" "The value is no name of a chat participant"
        "The text is no name of a chat participant: it is empty, too long, or holds a forbidden character."
        "Send a shorter name of letters, digits and plain signs."
        "/to: expected a name";
    "out_of_range" "The value is too small or too large"
        "The number, time or position is beyond what the field takes."
        "Send a value within the bounds that `detail` names."
        "?limit: expected 1 to 200";
    "too_long" "The value is too long"
        "The text has more characters or bytes than the field takes."
        "Cut it."
        "/subject: expected at most 998 characters";
    "wrong_count" "The list has too many entries, or too few"
        "The list has more or fewer entries than the field takes."
        "Send as many as `detail` says; a large batch may be cut in several."
        "/messages: expected 1 to 1000 messages, got 0";
    "forbidden_character" "The value holds a character that it must not hold"
        "The text holds a character that cannot stand there, such as a NUL or a line break in a header."
        "Leave the character out."
        "/body: must not hold U+0000";
    "not_allowed" "The field cannot stand in this request"
        "The field exists, and does not fit the rest of the request, such as a subject in an SMS."
        "Leave it out, or send by a channel that has it."
        "/subject: an sms has no subject";
    "not_available" "hatch cannot do it yet"
        "The field asks for something that this version of hatch does not do."
        "Leave it out."
        "/channel: voice is not available yet";
    "contradiction" "The field says something else than another field"
        "Two fields say different things of the same."
        "Leave one of them out, or have both say the same."
        "/type: says another channel than /channel";
};

/// What `code` of a message's `error` can be that hatch gives by itself. All others are the provider's.
pub(crate) static MESSAGES: &[Entry] = codes! {
    "opted_out" "The recipient does not wish to be written to"
        "The recipient has withdrawn the consent for the programme, or the provider's account sends nothing to the \
         address. The message was not sent, and no attempt was made."
        "Do not write to this recipient. Where a person wishes to be written to again, `PUT /api/v1/consent` \
         records it."
        "+18045551234 does not wish to be written to";
    "expired" "The message could not be sent while it was valid"
        "No attempt succeeded before the message's validity ended, for example while the account was refused."
        "Look at the earlier errors of the message (`GET /api/v1/messages/{id}/events`), mend what they name, and \
         retry the message if it is still of use."
        "it could not be sent for as long as it was valid";
    "in_doubt" "It is unknown whether the message was sent"
        "The provider was asked and no answer was read. To send the message again could send it twice. hatch looks \
         it up where the provider can tell."
        "Wait for the look-up or the receipt. Where none comes, `dispatcher.in_doubt` says what is done."
        "no answer in time";
    "not_found" "The provider does not know the message"
        "An attempt was in doubt, and the provider says that it has no such message. So it was not sent."
        "Nothing, while attempts are left: hatch sends it again. Else retry the message."
        "the provider knows nothing of the attempt";
    "waiting_for_account" "No account carries the channel"
        "The message waits, because no provider account carries its channel now. It is sent when there is one."
        "Configure an account for the channel; `hatch doctor` shows which channels are carried."
        "no account carries sms: it is sent when there is one";
    "waiting_for_rate" "The message stands in the line of its account"
        "The account is given so many messages a second or a day, or so many calls at a time, and these are used up. The \
         message was not sent yet, and goes in its turn."
        "Nothing. If lines are long, raise the account's limits, or share its messages with another account by a route."
        "it stands in the line of its account (rate), and goes in its turn";
    "throttled" "The provider has been asked too often"
        "The provider answered that it was too much at once. The message was surely not sent. Only \
         errors of older messages have this code: newer ones have the provider's own, such as `20429`, or HTTP's `429`."
        "Nothing: hatch tries again. If it lasts, lower the account's rate, or have the provider raise it."
        "HTTP 429";
    "body" "The provider cannot take the text"
        "The message has no text and no file, or a longer text than its provider takes. It was not sent."
        "Send a shorter text, or by an account whose provider takes it."
        "a text of 1,000 characters at most is taken";
    "token" "No token for the provider could be signed"
        "The account's private key signs no token, so the provider was not called."
        "Set the private key of the account anew; `hatch accounts list` shows which account it is."
        "no token could be signed";
    "connect" "The provider could not be reached"
        "No connection to the provider was made, so the message was surely not sent."
        "Nothing, if it passes: hatch tries again. Else look at the network between hatch and the provider."
        "no connection: connection refused";
    "dns" "The provider's name was not resolved"
        "The resolver of the machine does not know the provider's host, so the message was surely not sent."
        "Look at the resolver, and at `base_url` of the account."
        "the provider's name was not resolved";
    "request" "The request to the provider could not be built"
        "A value of the account's settings fits in no request."
        "Look at `base_url` and the credentials of the account."
        "the request could not be built";
    "recipients" "The provider takes another number of recipients"
        "The message has more recipients than the provider takes in one message, or none that it can reach."
        "Send one message to each recipient."
        "the provider takes exactly one recipient a message";
    "attachments" "The provider cannot carry the attachments"
        "The message has more files than the provider takes, or a file without a URL where the provider fetches \
         files."
        "Send fewer files, and files by their URLs."
        "the provider fetches each file by its URL, and one has none";
    "channel" "The provider does not carry the channel"
        "The account was chosen for a message that its provider cannot carry."
        "Look at `channels` of the account."
        "the provider takes mail with a recipient only";
    "bounced" "A mail server sent the mail back"
        "A bounce came for the mail that gives no status of its own."
        "Read the bounce in the conversation or the webhook log, and correct the address."
        "a mail server sent it back";
    "unknown" "The receipt gives no reason"
        "The provider reported that the message did not arrive, without a reason."
        "Look the message up at the provider, by its `provider_message_id`."
        "the receipt gives no reason";
};
