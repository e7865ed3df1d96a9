"""SendGrid's SDK for Python sends by the simulator, and verifies what it posts."""

import base64
import json

from python_http_client import exceptions
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from sendgrid.helpers.mail import Attachment, CustomArg, Mail

from common import FILES, SIMULATOR, check, inbound, received, refused, sdk

KEY = "dev-sendgrid-api-key"
OURS = "user@usehatchapp.com"


def send(to, subject, key=KEY, attachment=None):
    mail = Mail(from_email=OURS, to_emails=to, subject=subject, plain_text_content="Hello", html_content="<p>Hello</p>")
    mail.add_custom_arg(CustomArg("order", "42"))
    if attachment:
        content = base64.b64encode(attachment).decode()
        mail.add_attachment(Attachment(content, "a.txt", "text/plain", "attachment"))
    return SendGridAPIClient(key, host=SIMULATOR).send(mail)


def events_to(address, names):
    """The requests with events to `address`, once all of `names` came, and those events."""
    def of(request):
        if not request.path.startswith("/api/v1/webhooks/sendgrid") or not request.body.startswith(b"["):
            return []
        return [one for one in json.loads(request.body) if one.get("email") == address]

    requests, events = [], []
    for count in range(1, len(names) + 1):
        requests = received(lambda one: of(one), count)
        events = [event for request in requests for event in of(request)]
        if {event["event"] for event in events} >= set(names):
            break
    return requests, events


def is_dropped(name, to, reason):
    answer = send(to, name)
    check(f"{name}: the mail is accepted", answer.status_code == 202, answer.status_code)
    _, events = events_to(to, ["dropped"])
    reasons = [event.get("reason") for event in events if event["event"] == "dropped"]
    check(f"{name}: it is dropped for {reason}", reasons == [reason], reasons)


def comes_right(name, to, kind):
    for _ in range(2):
        error = refused(lambda: send(to, name), kind)
        body = json.loads(error.body) if error is not None else {}
        check(f"{name}: the SDK raises {kind.__name__} with errors", body.get("errors", [{}])[0].get("message"), body)
    error = refused(lambda: send(to, name), exceptions.HTTPError)
    check(f"{name}: the third call is accepted", error is None, error)


def verified():
    answer = send("python@example.com", "With a file", attachment=b"a file")
    check("a mail with a file is accepted", answer.status_code == 202 and answer.body == b"", answer.status_code)
    message_id = answer.headers.get("X-Message-Id")
    check("it has a name", message_id, answer.headers)
    requests, events = events_to("python@example.com", ["processed", "delivered"])
    check("the events come", {event["event"] for event in events} == {"processed", "delivered"}, events)
    for event in events:
        check("an event has our argument and the mail's name",
              event.get("order") == "42" and event["sg_message_id"].startswith(f"{message_id}."), event)
    pem = (FILES / "sendgrid.public.pem").read_text()
    lines = "".join(line for line in pem.splitlines() if "PUBLIC KEY" not in line)
    webhook = EventWebhook(lines)
    for one in requests:
        is_signed(webhook, one)


def is_signed(webhook, request):
    signature = request.headers.get(EventWebhookHeader.SIGNATURE.lower(), "")
    timestamp = request.headers.get(EventWebhookHeader.TIMESTAMP.lower(), "")
    body = request.body.decode()
    check("a webhook's signature is good", webhook.verify_signature(body, signature, timestamp))
    check("another body's is not", not webhook.verify_signature(body + " ", signature, timestamp))
    check("another time's is not", not webhook.verify_signature(body, signature, timestamp + "0"))


def comes_in():
    mail = {"provider": "sendgrid", "from": "ann@example.com", "to": OURS, "subject": "To Python", "body": "Hi"}
    status = inbound(mail)
    posted = received(lambda one: one.path.startswith("/api/v1/webhooks/sendgrid/inbound") and b"To Python" in one.body)
    check("a mail comes in", len(posted) == 1 and status["status"] == 200, status)
    pem = (FILES / "sendgrid.public.pem").read_text()
    webhook = EventWebhook("".join(line for line in pem.splitlines() if "PUBLIC KEY" not in line))
    for one in posted:
        is_signed(webhook, one)


def main():
    sdk("sendgrid")
    verified()
    is_dropped("invalid", "invalid+python@example.com", "Invalid")
    is_dropped("optout", "optout+python@example.com", "Unsubscribed Address")
    comes_right("throttle", "throttle+python@example.com", exceptions.TooManyRequestsError)
    comes_right("outage", "outage+python@example.com", exceptions.InternalServerError)
    wrong = refused(lambda: send("python@example.com", "x", key="SG.wrong"), exceptions.UnauthorizedError)
    check("a wrong key is an UnauthorizedError", wrong is not None, wrong)
    bad = refused(lambda: SendGridAPIClient(KEY, host=SIMULATOR).client.mail.send.post(
        request_body={"personalizations": [], "from": {"email": OURS}}), exceptions.BadRequestsError)
    check("a mail without recipients is a BadRequestsError", bad is not None and json.loads(bad.body)["errors"], bad)
    comes_in()


main()
