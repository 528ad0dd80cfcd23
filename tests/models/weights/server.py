"""A file server on this machine that cuts, ignores ranges, stalls, or sends something else."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does, and what it was asked.

    cut: bytes after which the connection is closed, for the first `cuts` answers. ranges: whether it honours them.
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
def serving(behaviour: Behaviour) -> Generator[str]:
    """The address of the file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.requests.append(wanted)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.ranges else 0
            if begin >= len(behaviour.content):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header(
                    "Content-Range", f"bytes {begin}-{len(behaviour.content) - 1}/{len(behaviour.content)}"
                )
            if behaviour.length:
                self.send_header("Content-Length", str(len(behaviour.content) - begin))
            self.send_header("Content-Type", behaviour.kind)
            self.end_headers()
            self.send(behaviour.content[begin:], begin)

        def send(self, body: bytes, begin: int) -> None:
            if behaviour.stall is not None:
                self.wfile.write(body[: max(0, behaviour.stall - begin)])
                self.wfile.flush()
                behaviour.released.wait(20)
                return
            if behaviour.cuts > 0:
                behaviour.cuts -= 1
                body = body[: behaviour.cut]
            behaviour.served += len(body)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/files/weights%20v1.pth"
    finally:
        behaviour.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
