"""The first hour of the README, by a client that is generated from schema/openapi.json.

Usage: python first_hour.py URL_OF_HATCH URL_OF_THE_SIMULATOR
"""

import datetime
import sys
import time
import uuid

import httpx
from hatch_client import Client, models
from hatch_client.api.consent import put_consent
from hatch_client.api.conversations import get_conversation, list_conversation_messages
from hatch_client.api.messages import (
    cancel_message,
    get_message,
    list_dead_letters,
    list_message_events,
    list_messages,
    send_batch,
    send_message,
)
from hatch_client.api.operations import ready

url, simulator = sys.argv[1:]
client = Client(base_url=url)
CUSTOMER = "+18045551234"


def body(response, kind):
    """The body of an answer, which is of that kind."""
    assert isinstance(response.parsed, kind), (response.status_code, response.content)
    return response.parsed


def eventually(ask):
    """Asks until there is an answer."""
    for _ in range(600):
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


def with_status(message_id: uuid.UUID, status: models.Status) -> models.Message:
    def ask():
        message = body(get_message.sync_detailed(message_id, client=client), models.Message)
        return message if message.status == status else None

    return eventually(ask)


def send(**fields) -> models.Accepted:
    request = models.SendRequest.from_dict(fields)
    return body(send_message.sync_detailed(client=client, body=request), models.Accepted)


# A message, and the same request again: it is sent once.
request = models.SendRequest.from_dict({"to": CUSTOMER, "body": "Hello", "metadata": {"order": "42"}})
key = "the first hour in Python"
sent = body(send_message.sync_detailed(client=client, body=request, idempotency_key=key), models.Accepted)
again = send_message.sync_detailed(client=client, body=request, idempotency_key=key)
assert body(again, models.Accepted).id == sent.id
assert again.headers["idempotent-replayed"] == "true"

message = with_status(sent.id, models.Status.DELIVERED)
assert message.to == [CUSTOMER] and message.attachments == [] and message.error is None
assert message.metadata["order"] == "42"

# What happened to it, by a class for each event.
events = body(list_message_events.sync_detailed(sent.id, client=client), models.EventList).data
assert isinstance(events[0], models.MessageRequestedEvent), events[0]
assert events[0].data.body == "Hello" and events[0].position == sent.position
of_sending = [event for event in events if isinstance(event, models.MessageSentEvent)]
assert {event.data.provider_message_id for event in of_sending} == {message.provider_message_id}
assert any(isinstance(event, models.MessageDeliveredEvent) for event in events), events

# An error names each wrong field.
wrong = models.SendRequest.from_dict({"to": "+1804", "body": ""})
problem = body(send_message.sync_detailed(client=client, body=wrong), models.Problem)
assert problem.status == 400 and [error.pointer for error in problem.errors] == ["/to", "/body"]

# One for tomorrow is called off.
tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
later = send(to=CUSTOMER, body="Later", send_at=tomorrow.isoformat())
assert later.status == models.Status.SCHEDULED
canceled = body(cancel_message.sync_detailed(later.id, client=client), models.Changed)
assert canceled.status == models.Status.CANCELED

# Several at once, of which one cannot be sent.
batch = models.Batch.from_dict({"messages": [{"to": CUSTOMER, "body": "One"}, {"to": "nobody"}]})
taken, refused = body(send_batch.sync_detailed(client=client, body=batch), models.BatchResults).data
assert isinstance(taken, models.Accepted) and refused.error.status == 400

# A refused one is a dead letter.
refused = send(to="+18045550400", body="Nobody")
failed = with_status(refused.id, models.Status.FAILED)
assert failed.error.class_ == models.ErrorClass.INVALID_RECIPIENT
letters = body(list_dead_letters.sync_detailed(client=client, limit=1), models.MessageList)
assert letters.data[0].id == refused.id

# The customer writes, and both are one conversation.
inbound = {"provider": "twilio", "from": CUSTOMER, "to": message.from_, "body": "Is it on its way?"}
httpx.post(f"{simulator}/_sim/inbound", json=inbound).raise_for_status()


def answered():
    answer = list_messages.sync_detailed(
        client=client, direction=models.Direction.INBOUND, participant=CUSTOMER
    )
    return next(iter(body(answer, models.MessageList).data), None)


reply = eventually(answered)
assert reply.status == models.Status.RECEIVED and reply.conversation_id == sent.conversation_id
answer = get_conversation.sync_detailed(sent.conversation_id, client=client)
conversation = body(answer, models.Conversation)
assert conversation.channels == [models.Channel.SMS]
assert conversation.last_message.direction == models.Direction.INBOUND
answer = list_conversation_messages.sync_detailed(sent.conversation_id, client=client, limit=1)
page = body(answer, models.MessageList)
assert len(page.data) == 1 and page.next_cursor is not None

# He does not want to be written to any more, and is not.
wish = models.ConsentRequest.from_dict({"address": CUSTOMER, "state": "opted_out"})
assert not body(put_consent.sync_detailed(client=client, body=wish), models.Consent).allowed
unwanted = send(to=CUSTOMER, body="Hello")
assert with_status(unwanted.id, models.Status.FAILED).error.class_ == models.ErrorClass.OPTED_OUT

readiness = body(ready.sync_detailed(client=client), models.Readiness)
assert readiness.dependencies["postgresql"].status == "up"
print("the first hour is over")
