#!/usr/bin/env python3
"""Has the providers' official SDKs send by hatch's simulator, and verify what it posts.

The SDKs are written by the providers, so that they know what no test of ours can: what an answer has to look like for
their customers' code to read it, and how a webhook has to be signed for it to be believed. What is installed is in
package-lock.json and requirements.txt, and comes into .tools/conformance. Everything else is traffic of the loopback.

Exit status: 0 all checks passed, 1 one did not, 75 an SDK could not be installed (and no check failed).
"""

import argparse
import base64
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Each SDK's checks: the provider, what it is written in, and the script.
CHECKS = [
    ("twilio", "python", "twilio_sdk.py"),
    ("twilio", "node", "twilio.mjs"),
    ("sendgrid", "python", "sendgrid_sdk.py"),
    ("sendgrid", "node", "sendgrid.mjs"),
    ("vonage", "python", "vonage_sdk.py"),
    ("vonage", "node", "vonage.mjs"),
    ("mailgun", "node", "mailgun.mjs"),
]

NODE_MIN = 20
START_SECONDS = 30
CHECKS_SECONDS = 180
TEMPORARY = 75

# Bytes of one request that is kept, and how many are.
BODY_MAX = 8 * 1024 * 1024
KEPT_MAX = 10_000


class Receiver(http.server.ThreadingHTTPServer):
    """Takes whatever the simulator posts, in hatch's place, and shows it to the checks at /received."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept, self.lock = [], threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/received":
            return self.keep()
        with self.server.lock:
            body = json.dumps(self.server.kept).encode()
        self.answer(200, body)

    def do_POST(self):
        self.keep()

    def keep(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        # Callbacks may come by a proxy's form of the request line.
        path = self.path
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[3]
        request = {
            "method": self.command,
            "path": path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": base64.b64encode(body).decode(),
        }
        with self.server.lock:
            if len(self.server.kept) < KEPT_MAX:
                self.server.kept.append(request)
        self.answer(200)


def say(text):
    print(f"conformance: {text}", file=sys.stderr, flush=True)


def same(one, other):
    return one.exists() and one.read_bytes() == other.read_bytes()


def quietly(what, command, **kwargs):
    """Runs an installer; says the end of what it printed where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **kwargs)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-5:])
        say(f"{what} cannot be installed: is the registry to be reached from here?\n{tail}")
    return done.returncode == 0


def install_python(folder):
    made_by, wanted = folder / "made-by", HERE / "requirements.txt"
    if not same(made_by, wanted):
        say("installing what requirements.txt names from PyPI into .tools/conformance/python")
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python3")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "2"]
        if not quietly("an environment of Python", [sys.executable, "-m", "venv", str(folder)]):
            return None
        if not quietly("the SDKs for Python", [*pip, "--requirement", str(wanted)]):
            return None
        shutil.copy(wanted, made_by)
    return str(folder / "bin" / "python3")


def install_node(folder):
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        say("without Node.js and npm the SDKs for Node.js are not checked")
        return None
    major = subprocess.run([node, "-p", "process.versions.node.split('.')[0]"], capture_output=True, text=True, check=True)
    if int(major.stdout) < NODE_MIN:
        say(f"the SDKs need Node.js {NODE_MIN} or newer: they are not checked")
        return None
    made_by, wanted = folder / "made-by", HERE / "package-lock.json"
    if not same(made_by, wanted):
        say("installing what package-lock.json names by npm into .tools/conformance/node")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder / name)
        command = [npm, "ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1"]
        if not quietly("the SDKs for Node.js", command):
            return None
        shutil.copy(wanted, made_by)
    # A module is looked for beside the script that asks for it.
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder / script.name)
    return node


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_simulator(program, receiver, folder):
    """The simulator alone, with a folder of its own, which posts to the receiver."""
    url = f"http://127.0.0.1:{free_port()}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HATCH_")}
    environment = kept | {
        "HATCH_SIMULATOR_LISTEN": url.removeprefix("http://"),
        "HATCH_PUBLIC_URL": receiver.url,
        "HATCH_DATA_DIR": str(folder),
    }
    log = open(folder / "simulator.log", "wb")
    child = subprocess.Popen([program, "simulator"], env=environment, cwd=folder, stdout=log, stderr=log)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/_sim/messages", timeout=2):
                return child, url
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    stop(child)
    text = (folder / "simulator.log").read_text(errors="replace")
    sys.exit(f"conformance: the simulator does not start:\n{text}")


def stop(child):
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def run_checks(command, environment):
    """What a script of checks says, a line of JSON each; and what it printed beside that, where it failed."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHECKS_SECONDS, check=False)
        output, error, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        output, error, status = late.stdout or "", "it took too long", 1
        if isinstance(output, bytes):
            output = output.decode(errors="replace")
    said = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if status != 0:
        said.append({"check": "it runs to its end", "ok": False, "detail": error.strip()[-800:]})
    return said


def table(rows):
    head = ("SDK", "version", "checks passed")
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def main():
    parser = argparse.ArgumentParser(description="Check the simulator by the providers' official SDKs")
    parser.add_argument("--program", default=str(ROOT / "target/debug/hatch"), help="the built hatch")
    parser.add_argument("--only", default="", help="providers with commas between them, such as twilio,sendgrid")
    parser.add_argument("--verbose", action="store_true", help="show each check that passed, too")
    asked = parser.parse_args()
    only = {name for name in asked.only.split(",") if name}
    unknown = only - {provider for provider, _, _ in CHECKS}
    if unknown:
        parser.error(f"no SDK is known of {', '.join(sorted(unknown))}")
    checks = [check for check in CHECKS if not only or check[0] in only]
    tools = ROOT / ".tools" / "conformance"
    written_in = {language for _, language, _ in checks}
    installers = {"python": lambda: install_python(tools / "python"), "node": lambda: install_node(tools / "node")}
    runs = {language: installers[language]() for language in sorted(written_in)}

    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    rows, failures, missing = [], [], False
    with tempfile.TemporaryDirectory(prefix="hatch-conformance-") as name:
        folder = pathlib.Path(name)
        simulator, url = start_simulator(asked.program, receiver, folder)
        # What others wrote sees no secret of this machine's, and goes by no proxy: everything is on the loopback.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment = kept | {
            "SIMULATOR": url,
            "RECEIVER": receiver.url,
            "FILES": str(folder / "simulator"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            for provider, language, script in checks:
                if runs[language] is None:
                    missing = True
                    rows.append((f"{provider} ({language})", "not installed", "not checked"))
                    continue
                where = HERE if language == "python" else tools / "node"
                said = run_checks([runs[language], str(where / script)], environment)
                sdks = [one["sdk"] for one in said if "sdk" in one]
                done = [one for one in said if "check" in one]
                passed = [one for one in done if one["ok"]]
                counted = f"{len(passed)} of {len(done)}"
                for n, sdk in enumerate(sdks or [provider]):
                    version = next((one["version"] for one in said if one.get("sdk") == sdk), "?")
                    rows.append((f"{sdk} ({language})", version, counted if n == 0 else "with it"))
                for one in done:
                    if not one["ok"]:
                        failures.append(f"{provider} ({language}): {one['check']}: {one.get('detail', '')}")
                    elif asked.verbose:
                        print(f"ok  {provider} ({language}): {one['check']}")
        finally:
            stop(simulator)
            receiver.shutdown()
    print(table(rows))
    for failure in failures:
        print(f"FAILED  {failure}")
    if failures:
        return 1
    return TEMPORARY if missing else 0


if __name__ == "__main__":
    sys.exit(main())
