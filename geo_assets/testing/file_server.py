"""Files behind HTTP on loopback, with ranges as an object store gives them, and every fault of a real one on request."""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    Attributes:
        status: Sent instead of the file; 200 sends the whole file, as a server does that ignores ranges.
        location: Target of a redirect.
        cut: Bytes of the body after which the connection is closed.
        reset: Whether it is closed with a reset instead.
        stall_s: Wait before the answer, or after ``cut`` bytes.
        trickle_s: Wait before each byte of the body.
        head_trickle_s: Wait before each byte of a header that says nothing.
        retry_after: Value of that header.
        flip: Whether all bytes of the body are inverted.
        grow: Zero bytes sent after the body, more than were asked for.
        content_range: Value of that header, if not the true one.
        length: Value of Content-Length, if not the true one.
        tag: Value of ETag, if not the true one; "" leaves it out.
        encoding: Value of Content-Encoding.
        chunked: Whether the body comes in chunks, without its length.
        interim: Answers with this status that come first, as many as ``interims``.
        interims: How many.
    """

    status: int = 206
    location: str = ""
    cut: int | None = None
    reset: bool = False
    stall_s: float = 0.0
    trickle_s: float = 0.0
    head_trickle_s: float = 0.0
    retry_after: str = ""
    flip: bool = False
    grow: int = 0
    content_range: str | None = None
    length: int | None = None
    tag: str | None = None
    encoding: str = ""
    chunked: bool = False
    interim: int = 103
    interims: int = 0


@dataclass
class FileServer:
    """Files by name, below ``url``.

    Attributes:
        files: Content by name.
        faults: What happens to the coming requests, one each; None is the right answer. Used up from the front.
        always: What happens to every request once ``faults`` are used up.
        token: Value that the query parameter ``token`` must have, if not empty; else the answer is 403.
        requests: Name and range of each request, in order.
        headers: What came with each request, names in Title-Case.
        sent: Bytes of the bodies so far.
        connections: How many clients have connected.
    """

    files: dict[str, bytes]
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    token: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    connections: int = 0
    url: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    _tags: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def href(self, name: str) -> str:
        """Address of a file."""
        return f"{self.url}/{name}"

    def tag(self, name: str) -> str:
        """ETag of a file."""
        content = self.files[name]
        known = self._tags.get(name)
        if known is None or known[0] is not content:
            known = self._tags[name] = content, f'"{zlib.crc32(content):08x}"'
        return known[1]

    def fault(self, path: str, span: str) -> Fault:
        """Note a request, and say what happens to it."""
        parts = urllib.parse.urlsplit(path)
        self.requests.append((parts.path.lstrip("/"), span))
        planned = self.faults.pop(0) if self.faults else self.always
        if planned:
            return planned
        given = urllib.parse.parse_qs(parts.query).get("token", [""])[0]
        return Fault(status=403) if self.token and given != self.token else Fault()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement of its headers
    server: "_Server"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""

    def do_GET(self) -> None:
        files = self.server.files
        name = urllib.parse.urlsplit(self.path).path.lstrip("/")
        span = self.headers.get("Range", "")
        files.headers.append({k.title(): v for k, v in self.headers.items()})
        fault = files.fault(self.path, span)
        content = files.files.get(name)
        if fault.stall_s and fault.cut is None:
            files.stop.wait(fault.stall_s)
        with contextlib.suppress(OSError):  # the client may have gone
            for _ in range(fault.interims):
                self.wfile.write(f"HTTP/1.1 {fault.interim} Wait\r\nLink: </style.css>\r\n\r\n".encode())
            if fault.interims:
                self.wfile.flush()
                time.sleep(0.1)  # so that the answer comes later
            if fault.status not in (200, 206):
                self._status(fault)
            elif content is None:
                self._status(Fault(status=404))
            else:
                self._content(name, content, span, fault)

    def _status(self, fault: Fault) -> None:
        self.send_response(fault.status)
        for name, value in (("Location", fault.location), ("Retry-After", fault.retry_after)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def setup(self) -> None:
        super().setup()
        self.server.files.connections += 1

    def _content(self, name: str, content: bytes, span: str, fault: Fault) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", span)
        start, end = (int(asked[1]), min(int(asked[2]) + 1, len(content))) if asked else (0, len(content))
        whole = fault.status == 200 or not asked
        if whole:
            start, end = 0, len(content)
        body = content[start:end] + bytes(fault.grow)
        if fault.flip:
            body = bytes(b ^ 0xFF for b in body)
        self.send_response(200 if whole else 206)
        self.send_header("Last-Modified", "Fri, 20 Nov 2020 12:00:00 GMT")
        if not whole:
            place = f"bytes {start}-{end - 1}/{len(content)}"
            self.send_header("Content-Range", place if fault.content_range is None else fault.content_range)
        tag = self.server.files.tag(name) if fault.tag is None else fault.tag
        for header, value in (("ETag", tag), ("Content-Encoding", fault.encoding)):
            if value:
                self.send_header(header, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:1000], body[1000:]) if p) + b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(body) if fault.length is None else fault.length))
        if fault.head_trickle_s:
            self.flush_headers()
            self._trickle(b"X-Nothing: " + b"." * 60_000 + b"\r\n", fault.head_trickle_s)
        self.end_headers()
        self._body(body, fault)

    def _trickle(self, data: bytes, wait_s: float) -> None:
        for i in range(len(data)):
            self.wfile.write(data[i : i + 1])
            self.wfile.flush()
            if self.server.files.stop.wait(wait_s):
                return

    def _body(self, body: bytes, fault: Fault) -> None:
        files = self.server.files
        part = body[: fault.cut]
        if fault.trickle_s:
            self._trickle(part, fault.trickle_s)
        else:
            self.wfile.write(part)
        self.wfile.flush()
        files.sent += len(part)
        if fault.cut is None:
            return
        if fault.stall_s:
            files.stop.wait(fault.stall_s)
        self.close_connection = True
        if fault.reset:
            time.sleep(0.01)  # so that the part arrives before the reset throws it away
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many threads connect at once
    files: FileServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: clients that go away are part of the game."""


@contextlib.contextmanager
def serve_files(files: dict[str, bytes], *, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """A running server on 127.0.0.1; its ``url`` is the folder of the files."""
    http = _Server(("127.0.0.1", 0), _Handler)
    http.files = FileServer(files, url=f"http{'s' if tls else ''}://127.0.0.1:{http.server_port}")
    if tls:  # shaken hands over in the handler's thread, where a client that goes away does no harm
        http.socket = tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield http.files
    finally:
        http.files.stop.set()
        http.shutdown()
        http.server_close()
        thread.join()
