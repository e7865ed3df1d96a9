"""Vonage's SDK for Python verifies what the simulator posts.

It cannot send by it: that it speaks https is written into it, and the simulator does not. So a message that comes in is what
it is given.
"""

import json

from vonage_jwt.verify_jwt import verify_signature

from common import check, inbound, received, sdk

SECRET = "dev-vonage-signature-secret"


def main():
    sdk("vonage-jwt")
    answer = inbound({"provider": "vonage", "from": "+18045554009", "to": "+12016661234", "body": "Hi to Python"})
    is_of = lambda one: one.path.startswith("/api/v1/webhooks/vonage")
    posted = received(lambda one: is_of(one) and json.loads(one.body).get("text") == "Hi to Python")
    check("a message comes in", len(posted) == 1 and answer["status"] == 200, answer)
    for one in posted:
        token = one.headers.get("authorization", "").removeprefix("Bearer ")
        check("its token is good", verify_signature(token, SECRET), token)
        check("by another secret it is not", not verify_signature(token, "another"))


main()
