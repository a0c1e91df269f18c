"""AWS Lambda on loopback: what Lithops and geo_assets ask of its control plane, of STS and of ECR, and calls that really run.

It plays what AWS does about calls that nobody waits for: two retries unless they are off, and a record of each that failed in the
bucket that the function names. What it counts as billed is the time of the handler, by region.
"""

import contextlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from geo_assets.testing.lambda_workers import Limits, Reply, Sandbox

ACCOUNT = "123456789012"
_EVENT_BYTES = 256 * 1024  # AWS has taken more since 2025; what fits into this fits everywhere
_RETRIES, _RETRY_S = 2, 0.2  # AWS waits for one minute and for two
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")
_ONE = r"/2015-03-31/functions/([^/]+)"
_IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/somebody</Arn><UserId>AIDASOMEBODY</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
).encode()


@dataclass(frozen=True)
class Billed:
    """One call, as it would be on the bill.

    Attributes:
        region: Where.
        handler_s: Seconds of the handler.
        start_s: Seconds that its sandbox took to start, if it was a new one.
        event: Whether nobody waited for its answer.
        failed: Whether it gave none.
    """

    region: str
    handler_s: float
    start_s: float
    event: bool
    failed: bool


@dataclass
class Function:
    """One function, with its sandboxes."""

    region: str
    name: str
    spec: dict[str, Any]
    events: dict[str, Any] = field(default_factory=dict)
    sandboxes: list[Sandbox] = field(default_factory=list)
    free: list[Sandbox] = field(default_factory=list)

    @property
    def arn(self) -> str:
        """Its name in all of AWS."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.name}"

    def described(self) -> dict[str, Any]:
        """As the control plane shows it."""
        named = ("MemorySize", "Timeout", "Role", "PackageType", "Architectures", "EphemeralStorage")
        shown: dict[str, Any] = {k: v for k, v in self.spec.items() if k in named}
        return {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            **shown,
        }


class LambdaCloud(ThreadingHTTPServer):
    """All regions of it, on one port; use it as a context.

    Args:
        handler: What functions call: ``package.module.function``.
        folder: Sandboxes have theirs in it.
        put: Puts a record into a bucket: region, bucket, key, body.
        environment: Variables of all sandboxes, such as where S3 is.
        concurrency: Sandboxes that run at a time in a region.

    Attributes:
        functions: By region and name.
        bill: All calls so far.
        records: Whether failures are written to the bucket.
        busy: How many further calls that nobody waits for are refused, as when there are too many.
    """

    daemon_threads = True

    def __init__(
        self, handler: str, folder: Path, put: Callable[[str, str, str, bytes], None], *, environment: dict[str, str], concurrency: int = 2
    ) -> None:  # fmt: skip
        super().__init__(("127.0.0.1", 0), _Handler)
        self._handler, self._folder, self._put, self._environment = handler, folder, put, environment
        self._concurrency = concurrency
        self.functions: dict[tuple[str, str], Function] = {}
        self.bill: list[Billed] = []
        self.records, self.busy = True, 0
        self._places: dict[str, threading.Semaphore] = {}
        self._lock, self._events = threading.Lock(), set[threading.Thread]()

    def __enter__(self) -> "LambdaCloud":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for function in self.functions.values():
            self.delete(function)
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def idle(self) -> bool:
        """Whether no call that nobody waits for is under way."""
        with self._lock:
            self._events = {t for t in self._events if t.is_alive()}
            return not self._events

    def billed_s(self, region: str) -> float:
        """Seconds of handlers and of starts in a region."""
        return sum(b.handler_s + b.start_s for b in self.bill if b.region == region and b.event)

    def delete(self, function: Function) -> None:
        """End its sandboxes."""
        for sandbox in function.sandboxes:
            sandbox.end()

    def run(self, function: Function, body: bytes, *, event: bool) -> Reply:
        """Run a call in a sandbox that is free, or a new one, once there is a place."""
        with self._lock:
            place = self._places.setdefault(function.region, threading.Semaphore(self._concurrency))
        with place:
            sandbox = self._sandbox(function)
            reply = sandbox.call(body)
            if not sandbox.alive:
                sandbox.end()
            with self._lock:
                if sandbox.alive:
                    function.free.append(sandbox)
                self.bill.append(Billed(function.region, reply.handler_s, reply.start_s, event, reply.failed))
        return reply

    def _sandbox(self, function: Function) -> Sandbox:
        with self._lock:
            while function.free:
                if (found := function.free.pop()).alive:
                    return found
            spec = function.spec
            limits = Limits(
                function.arn, function.region, int(spec.get("MemorySize", 128)), float(spec.get("Timeout", 3)),
                {**self._environment, **(spec.get("Environment") or {}).get("Variables", {})},
            )  # fmt: skip
            made = Sandbox(limits, self._handler, self._folder / uuid.uuid4().hex[:8])
            function.sandboxes.append(made)
            return made

    def later(self, function: Function, body: bytes) -> None:
        """Run a call that nobody waits for."""
        thread = threading.Thread(target=self._event, args=(function, body), daemon=True)
        with self._lock:
            self._events.add(thread)
        thread.start()

    def _event(self, function: Function, body: bytes) -> None:
        tries = 1 + int(function.events.get("MaximumRetryAttempts", _RETRIES))
        reply = self.run(function, body, event=True)
        for _ in range(tries - 1):
            if reply.failed:
                time.sleep(_RETRY_S)
                reply = self.run(function, body, event=True)
        if not reply.failed:
            return
        where = function.events.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        if where and self.records:
            self._record(function, body, reply, tries, where.rpartition(":")[2])

    def _record(self, function: Function, body: bytes, reply: Reply, tries: int, bucket: str) -> None:
        now = datetime.now(UTC)
        record = {
            "version": "1.0", "timestamp": now.isoformat(),
            "requestContext": {
                "requestId": reply.request_id, "functionArn": f"{function.arn}:$LATEST", "condition": "RetriesExhausted",
                "approximateInvokeCount": tries,
            },
            "requestPayload": json.loads(body),
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": json.loads(reply.body),
        }  # fmt: skip
        key = f"aws/lambda/async/{function.name}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        self._put(function.region, bucket, key, json.dumps(record).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LambdaCloud

    def log_message(self, *_: Any) -> None: ...

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = _SCOPE.search(self.headers.get("Authorization", ""))
        region, path = found[1] if found else "us-east-1", self.path.partition("?")[0]
        if b"GetCallerIdentity" in body:
            return self._say(200, _IDENTITY, {"Content-Type": "text/xml"})
        if "DescribeImages" in self.headers.get("X-Amz-Target", ""):
            image = {
                "imageDigest": "sha256:" + "0" * 64,
                "imageTags": ["latest"],
                "repositoryName": "any",
                "registryId": ACCOUNT,
            }
            return self._say(200, {"imageDetails": [image]})
        for method, pattern, answer in _ROUTES:
            if method == self.command and (match := re.fullmatch(pattern, path)):
                return answer(self, region, match, body)
        return self._refuse(404, "UnknownOperationException", f"{self.command} {path}")

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        said = {
            "Content-Type": "application/json",
            "x-amzn-RequestId": str(uuid.uuid4()),
            "Content-Length": str(len(body)),
        }
        for name, value in {**said, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, error: str, message: str) -> None:
        self._say(status, {"Type": "User", "Message": message, "message": message}, {"x-amzn-ErrorType": error})

    @contextlib.contextmanager
    def _named(self, region: str, match: re.Match[str]) -> Iterator[Function | None]:
        function = self.server.functions.get((region, match[1]))
        if function is None:
            self._refuse(404, "ResourceNotFoundException", f"Function not found: {match[1]}")
        yield function

    def _create(self, region: str, _: re.Match[str], body: bytes) -> None:
        spec = json.loads(body)
        key = (region, spec["FunctionName"])
        if key in self.server.functions:
            return self._refuse(409, "ResourceConflictException", f"Function already exist: {key[1]}")
        self.server.functions[key] = function = Function(region, key[1], spec)
        return self._say(201, function.described())

    def _get(self, region: str, match: re.Match[str], _: bytes) -> None:
        with self._named(region, match) as function:
            if function:
                self._say(200, {"Configuration": function.described(), "Code": function.spec.get("Code", {})})

    def _configuration(self, region: str, match: re.Match[str], _: bytes) -> None:
        with self._named(region, match) as function:
            if function:
                self._say(200, function.described())

    def _delete(self, region: str, match: re.Match[str], _: bytes) -> None:
        with self._named(region, match) as function:
            if function:
                self.server.delete(self.server.functions.pop((region, function.name)))
                self._say(204, b"")

    def _events(self, region: str, match: re.Match[str], body: bytes) -> None:
        with self._named(region, match) as function:
            if function and self.command == "PUT":
                function.events = json.loads(body)
            if function and not function.events:
                self._refuse(404, "ResourceNotFoundException", "The function has no EventInvokeConfig")
            elif function:
                self._say(200, {"FunctionArn": f"{function.arn}:$LATEST", **function.events})

    def _invoke(self, region: str, match: re.Match[str], body: bytes) -> None:
        with self._named(region, match) as function:
            if not function:
                return
            if self.headers.get("X-Amz-Invocation-Type") != "Event":
                reply = self.server.run(function, body, event=False)
                self._say(200, reply.body, {"X-Amz-Function-Error": "Unhandled"} if reply.failed else {})
            elif len(body) > _EVENT_BYTES:
                self._refuse(
                    413,
                    "RequestTooLargeException",
                    f"{len(body)} byte payload is too large for the Event invocation type",
                )
            elif self.server.busy > 0:
                self.server.busy -= 1
                self._refuse(429, "TooManyRequestsException", "Rate Exceeded.")
            else:
                self.server.later(function, body)
                self._say(202, b"")


_ROUTES: list[tuple[str, str, Callable[[_Handler, str, re.Match[str], bytes], None]]] = [
    ("POST", "/2015-03-31/functions", _Handler._create),
    ("GET", _ONE, _Handler._get),
    ("DELETE", _ONE, _Handler._delete),
    ("GET", f"{_ONE}/configuration", _Handler._configuration),
    ("POST", f"{_ONE}/invocations", _Handler._invoke),
    ("PUT", "/2019-09-25/functions/([^/]+)/event-invoke-config", _Handler._events),
    ("GET", "/2019-09-25/functions/([^/]+)/event-invoke-config", _Handler._events),
]
