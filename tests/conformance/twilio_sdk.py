"""Twilio's SDK for Python sends by the simulator, and verifies what it posts."""

import datetime
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from common import RECEIVER, SIMULATOR, check, inbound, received, refused, sdk

ACCOUNT = "AC" + "0" * 32
TOKEN = "dev-twilio-auth-token"
OURS = "+12016661234"
CALLBACK = f"{RECEIVER}/api/v1/webhooks/twilio?by=python"


def client(token=TOKEN):
    one = Client(ACCOUNT, token)
    one.api.base_url = SIMULATOR
    return one


def send(to, body, **more):
    return client().messages.create(to=to, from_=OURS, body=body, status_callback=CALLBACK, **more)


def fields(request):
    return dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True))


def accepted():
    message = send("+18045551001", "Hello from Python")
    check("an SMS is accepted", message.sid.startswith("SM") and len(message.sid) == 34, message.sid)
    check("its status is one that the SDK knows", message.status in ("queued", "accepted"), message.status)
    check("its fields are read", (message.account_sid, message.to, message.from_, message.body)
          == (ACCOUNT, "+18045551001", OURS, "Hello from Python"), message.to)
    check("its date is read as a time", isinstance(message.date_created, datetime.datetime), message.date_created)
    check("numbers are texts, as Twilio has them", message.num_segments == "1" and message.num_media == "0",
          f"{message.num_segments!r} {message.num_media!r}")
    check("it has no error", message.error_code is None and message.error_message is None, message.error_code)
    files = [f"{RECEIVER}/a.png", f"{RECEIVER}/b.jpg"]
    mms = send("+18045551002", "With pictures", media_url=files)
    check("an MMS is accepted with its files", mms.sid.startswith("MM") and mms.num_media == "2", mms.num_media)
    return message.sid


def looked_up(sid):
    found = client().messages(sid).fetch()
    check("a message is fetched", found.sid == sid and found.body == "Hello from Python", found.body)
    listed = client().messages.list(to="+18045551001", from_=OURS, limit=20)
    check("a message is listed by its recipient", sid in [one.sid for one in listed], len(listed))
    unknown = refused(lambda: client().messages("SM" + "f" * 32).fetch(), TwilioRestException)
    check("an unknown message is 404 with 20404", unknown is not None and (unknown.status, unknown.code) == (404, 20404), unknown)


def is_refused(name, to, status, code):
    error = refused(lambda: send(to, f"{name} of Python"), TwilioRestException)
    ok = error is not None and (error.status, error.code) == (status, code) and error.msg
    check(f"{name}: the SDK's error has {status} and {code}", ok, error)


def comes_right(name, to, status, code):
    for _ in range(2):
        is_refused(name, to, status, code)
    message = refused(lambda: send(to, f"{name} of Python"), TwilioRestException)
    check(f"{name}: the third call is accepted", message is None, message)


def verified(sid):
    ours = lambda one: one.path.endswith("by=python") and fields(one).get("MessageSid") == sid
    receipts = received(ours, 2)
    statuses = [fields(one)["MessageStatus"] for one in receipts]
    check("the receipts come", statuses == ["sent", "delivered"], statuses)
    validator = RequestValidator(TOKEN)
    for one in receipts:
        signature, form = one.headers.get("x-twilio-signature", ""), fields(one)
        check("a receipt's signature is good", validator.validate(one.url, form, signature), one.url)
        check("another body's is not", not validator.validate(one.url, form | {"To": "+1"}, signature))
        check("another token's is not", not RequestValidator("another").validate(one.url, form, signature))
    status = inbound({"provider": "twilio", "from": "+18045551009", "to": OURS, "body": "Hi to Python"})
    posted = received(lambda one: fields(one).get("Body") == "Hi to Python")
    check("a message comes in", len(posted) == 1 and status["status"] == 200, status)
    for one in posted:
        good = validator.validate(one.url, fields(one), one.headers.get("x-twilio-signature", ""))
        check("its signature is good", good, one.url)


def main():
    sdk("twilio")
    sid = accepted()
    looked_up(sid)
    is_refused("invalid", "+18045550400", 400, 21211)
    is_refused("optout", "+18045550610", 400, 21610)
    comes_right("throttle", "+18045550429", 429, 20429)
    comes_right("outage", "+18045550500", 500, 20500)
    wrong = refused(lambda: client("wrong").messages.create(to="+18045551001", from_=OURS, body="x"), TwilioRestException)
    check("a wrong token is 401 with 20003", wrong is not None and (wrong.status, wrong.code) == (401, 20003), wrong)
    verified(sid)


main()
