"""Sandboxes of AWS Lambda on this machine: AWS's own runtime client (``awslambdaric``) in a process with its limits.

Each sandbox serves the Runtime API (2018-06-01) on loopback, runs one call at a time, and is kept warm for the next.
"""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

_LOOK_S = 0.1
_START_S = 120.0
_RESULT = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)$")


@dataclass(frozen=True)
class Limits:
    """What a function may take, and what it is told.

    Attributes:
        arn: Its name.
        region: Where it is.
        memory_mb: Memory of a sandbox, of all its processes.
        timeout_s: Time of a call.
        environment: Its variables.
    """

    arn: str
    region: str
    memory_mb: int
    timeout_s: float
    environment: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """How a call ended.

    Attributes:
        request_id: Of the call.
        body: What the handler returned, or what became of it.
        failed: Whether it raised, or was ended.
        handler_s: Seconds that the call took.
        start_s: Seconds that the sandbox took to start, if this was its first call.
    """

    request_id: str
    body: bytes
    failed: bool
    handler_s: float
    start_s: float


class _Api(ThreadingHTTPServer):
    """The Runtime API of one sandbox."""

    daemon_threads = True

    def __init__(self, limits: Limits) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.limits = limits
        self.asked = threading.Event()
        self.calls: queue.SimpleQueue[tuple[str, bytes, float] | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sandbox that is ended leaves its connection open: no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.set()
        call = self.server.calls.get()
        if call is None:
            self.close_connection = True
            return
        request_id, body, until = call
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(until * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", self.server.limits.arn)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if found := _RESULT.match(self.path):
            self.server.results.put((found[1], found[2], body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Sandbox:
    """One sandbox.

    Args:
        limits: Of its function.
        handler: What it calls: ``package.module.function``.
        folder: Its own, for temporary files and its log.
    """

    def __init__(self, limits: Limits, handler: str, folder: Path) -> None:
        self._limits, self._folder = limits, folder
        self._api = _Api(limits)
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()
        (folder / "tmp").mkdir(parents=True)
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH")}
        environment = {
            **kept, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}", "_HANDLER": handler,
            "AWS_LAMBDA_FUNCTION_NAME": limits.arn.rpartition(":")[2], "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(limits.memory_mb), "AWS_REGION": limits.region, "AWS_DEFAULT_REGION": limits.region,
            "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox", "LAMBDA_TASK_ROOT": str(folder),
            "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp"), **limits.environment,
        }  # fmt: skip
        self._began, self._fresh, self._ended = time.monotonic(), True, False
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", handler], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can take another call."""
        return self._process.poll() is None

    def call(self, body: bytes) -> Reply:
        """Run one call to its end, within its limits."""
        request_id, start_s = str(uuid.uuid4()), 0.0
        if self._fresh:
            while not self._api.asked.wait(0.05) and self.alive and time.monotonic() - self._began < _START_S:
                pass
            start_s, self._fresh = time.monotonic() - self._began, False
        began = time.monotonic()
        self._api.calls.put((request_id, body, time.time() + self._limits.timeout_s))
        failed, found = self._result(request_id, began + self._limits.timeout_s)
        return Reply(request_id, found, failed, time.monotonic() - began, start_s)

    def _result(self, request_id: str, until: float) -> tuple[bool, bytes]:
        while True:
            with contextlib.suppress(queue.Empty):
                whose, kind, body = self._api.results.get(timeout=_LOOK_S)
                if whose == request_id:
                    return kind == "error", body
            if time.monotonic() > until:
                self.end()
                return True, _error(
                    "Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {self._limits.timeout_s:.2f} seconds"
                )  # fmt: skip
            if not self.alive:
                code = self._process.returncode
                how = "signal: killed" if code == -signal.SIGKILL else f"exit status {code}"
                return True, _error(
                    "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {how}"
                )
            self._end_the_largest()

    def _end_the_largest(self) -> None:
        """The kernel of a sandbox ends its largest process when memory runs out."""
        with contextlib.suppress(psutil.Error):
            me = psutil.Process(self._process.pid)
            held = {p: p.memory_full_info().pss for p in [me, *me.children(recursive=True)]}
            if sum(held.values()) > self._limits.memory_mb * 2**20:
                max(held, key=lambda p: held[p]).kill()

    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text(errors="replace")

    def end(self) -> None:
        """End its processes, and the Runtime API."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._api.calls.put(None)
        self._api.shutdown()
        self._api.server_close()


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
