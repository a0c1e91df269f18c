"""An object store on loopback in a process of its own: ranges, keep-alive, a delay before each answer, and a count by client.

The first part of a path is the client's name: ``/<client>/<scene>/<band>.tif`` is served from the map of files, and
``/_count/<client>`` says how many requests and bytes of that client were answered.
"""

import asyncio
import contextlib
import json
import mmap
import re
import subprocess
import sys
import urllib.request
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where `benchmarks` is found
_RANGE = re.compile(rb"\r\nrange:\s*bytes=(\d+)-(\d*)", re.IGNORECASE)


@dataclass
class _Files:
    paths: dict[str, str]
    opened: dict[str, memoryview] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def content(self, name: str) -> memoryview | None:
        path = self.paths.get(name)
        if path is None:
            return None
        if path not in self.opened:
            with open(path, "rb") as file:
                self.opened[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self.opened[path]

    def answer(self, head: bytes) -> tuple[bytes, memoryview, int]:
        """Status with its own headers, body, and length that the answer states."""
        method, path = head.split(b" ", 2)[:2]
        client, _, name = path.decode().split("?")[0].lstrip("/").partition("/")
        nothing = memoryview(b"")
        if client == "_count":
            count = memoryview(json.dumps(self.counts[name]).encode())
            return b"200 OK", count, len(count)
        self.counts[client][0] += 1
        content = self.content(name)
        if content is None:
            return b"404 Not Found", nothing, 0
        asked = _RANGE.search(head)
        start, end = (int(asked[1]), int(asked[2] or len(content))) if asked else (0, len(content))
        part = content[start : end + 1]
        if method == b"HEAD":
            return b"200 OK", nothing, len(content)
        if not part:
            return b"416 Range Not Satisfiable", nothing, 0
        self.counts[client][1] += len(part)
        if not asked:
            return b"200 OK", part, len(part)
        span = b"%d-%d/%d" % (start, start + len(part) - 1, len(content))
        return b"206 Partial Content\r\nContent-Range: bytes " + span, part, len(part)


class _Connection(asyncio.Protocol):
    """One connection; answers leave in the order of the requests, each ``delay_s`` after it came."""

    def __init__(self, files: _Files, delay_s: float) -> None:
        self._files, self._delay_s = files, delay_s
        self._got, self._waiting = b"", deque[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            head, self._got = self._got.split(b"\r\n\r\n", 1)
            self._waiting.append(head)
            asyncio.get_running_loop().call_later(self._delay_s, self._send)

    def _send(self) -> None:
        status, body, length = self._files.answer(self._waiting.popleft())
        if not self._out.is_closing():
            head = b"HTTP/1.1 %s\r\nAccept-Ranges: bytes\r\nContent-Length: %d\r\n\r\n" % (status, length)
            self._out.writelines((head, body))


@dataclass(frozen=True)
class Server:
    """A running server's address."""

    url: str

    def count(self, client: str) -> tuple[int, int]:
        """Requests and bytes of bodies that a client had so far."""
        with urllib.request.urlopen(f"{self.url}/_count/{client}", timeout=60) as answer:
            requests, sent = json.load(answer)
        return requests, sent


@contextlib.contextmanager
def serve(files: dict[str, str], *, latency_s: float) -> Iterator[Server]:
    """A server of files by name in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.raster.server", str(latency_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(files) + "\n")
            process.stdin.flush()
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()  # it keeps nothing, and SIGTERM may be ignored


async def _main(latency_s: float) -> None:
    files, loop = _Files(json.loads(sys.stdin.readline())), asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(files, latency_s), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1])))
