"""A file server on this machine that cuts, ignores ranges, stalls, or sends something else."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behavior:
    """What the server does, and what it was asked.

    cut: bytes after which the connection is closed, for the first `cuts` answers. ranges: whether it honors them.
    stall: place in the content from which on nothing comes. requests: the Range header of each request. served: bytes.
    """

    content: bytes
    cut: int = 0
    cuts: int = 0
    ranges: bool = True
    stall: int | None = None
    status: int = 200
    kind: str = "application/octet-stream"
    length: bool = True
    requests: list[str | None] = field(default_factory=list)
    served: int = 0
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(behavior: Behavior) -> Generator[str]:
    """The address of the file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behavior.requests.append(wanted)
            if behavior.status != 200:
                self.send_error(behavior.status)
                return
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behavior.ranges else 0
            if begin >= len(behavior.content):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(behavior.content) - 1}/{len(behavior.content)}")
            if behavior.length:
                self.send_header("Content-Length", str(len(behavior.content) - begin))
            self.send_header("Content-Type", behavior.kind)
            self.end_headers()
            self.send(behavior.content[begin:], begin)

        def send(self, body: bytes, begin: int) -> None:
            if behavior.stall is not None:
                self.wfile.write(body[: max(0, behavior.stall - begin)])
                self.wfile.flush()
                behavior.released.wait(20)
                return
            if behavior.cuts > 0:
                behavior.cuts -= 1
                body = body[: behavior.cut]
            behavior.served += len(body)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/files/weights%20v1.pth"
    finally:
        behavior.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
