"""What the checks for Python have in common: each says a line of JSON, which run.py counts."""

import base64
import importlib.metadata
import json
import os
import pathlib
import time
import urllib.request

SIMULATOR = os.environ["SIMULATOR"]
RECEIVER = os.environ["RECEIVER"]
FILES = pathlib.Path(os.environ["FILES"])

# How long a webhook may take to come.
PATIENCE_SECONDS = 15


def sdk(name):
    print(json.dumps({"sdk": name, "version": importlib.metadata.version(name)}), flush=True)


def check(name, ok, detail=""):
    print(json.dumps({"check": name, "ok": bool(ok), "detail": str(detail)}), flush=True)


def refused(call, kind):
    """The error of `kind` that `call` ends with; none where it does not."""
    try:
        call()
    except kind as error:
        return error
    return None


class Request:
    """What the simulator posted."""

    def __init__(self, said):
        self.path, self.headers = said["path"], said["headers"]
        self.url = f"{RECEIVER}{self.path}"
        self.body = base64.b64decode(said["body"])


def received(is_one, count=1):
    """The requests for which `is_one`, once there are so many."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with urllib.request.urlopen(f"{RECEIVER}/received") as answer:
            all_of_them = [Request(said) for said in json.load(answer)]
        found = [one for one in all_of_them if is_one(one)]
        if len(found) >= count or time.monotonic() > end:
            return found
        time.sleep(0.05)


def inbound(message):
    """Has the simulator deliver a message that comes in; its answer."""
    body = json.dumps(message).encode()
    request = urllib.request.Request(
        f"{SIMULATOR}/_sim/inbound", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
