"""Files from public addresses: fetched once, resumed when cut, checked, and there whole or not at all.

The libraries that were looked at do less than is needed: pooch neither resumes nor bounds a stall, torch.hub does not
resume, huggingface_hub does both for its own hub alone.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import cast
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, getproxies, urlopen

from assay.core.errors import WeightsError
from assay.core.lock import holding
from assay.core.paths import file_hash
from assay.data.cache import ELSEWHERE, default_cache_root, writing

CONNECTING = 1.5
"""Seconds to wait for a connection before saying that there is none."""

STALLED = 20.0
"""Seconds without a byte after which a server counts as stalled."""

_TRIES = 5
_CHUNK = 1 << 18
_AS_THEY_ARE = "%:/?#[]@!$&'()*+,;="
"""Marks of an address that are sent as they are; other letters, as in a folder's name, are encoded."""
_log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Told how many bytes are here and how many there will be, None when nobody knows."""


def weights_cache() -> Path:
    """The folder of downloaded weights, within the cache that runs share (`ASSAY_CACHE`)."""
    return default_cache_root() / "weights"


def cached_path(url: str, sha256: str, folder: Path) -> Path:
    """Where the file of an address and a checksum is kept, or can be put by hand."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(Path(urlsplit(url).path).name)) or "weights"
    return folder / f"{sha256[:12]}-{name}"


def fetch(
    url: str,
    sha256: str,
    folder: Path,
    *,
    size: int | None = None,
    progress: Progress | None = None,
    stalled: float = STALLED,
) -> Path:
    """The file at an address, from the folder or downloaded into it.

    size: of the file in bytes, when known. progress: told of every chunk; a line in the log at each tenth by default.
    A download that is cut goes on where it stopped, now or at the next call, when the server can do that, else it
    starts again. Two processes that ask at once: the second waits and takes what the first has fetched.
    Raises WeightsError: no connection (within 2 seconds), an answer that is not the file, a server that stalls (each
    says where to put a file that was fetched by hand), another size or checksum (nothing is kept then); StoreError:
    full disk.
    """
    path = cached_path(url, sha256, folder)
    with holding(path.with_name(f"{path.name}.lock"), remedy=ELSEWHERE):
        there = file_hash(path) if path.is_file() else ""
        if there == sha256:
            return path
        part = path.with_name(f"{path.name}.part")
        if not (part.is_file() and size is not None and part.stat().st_size == size):
            _connect(url, sha256, path, there)
            _Transfer(url, part, size, progress or _Log(path.name), stalled, _put(path, sha256)).run()
        found = file_hash(part)
        if found != sha256:
            part.unlink()
            raise WeightsError(
                f"what {url} sent has SHA-256 {found}, expected {sha256}: refused and removed. Either it is another "
                "file, or it was changed on the way"
            )
        part.replace(path)
    return path


def reachable(url: str, patience: float = CONNECTING) -> bool:
    """Whether something accepts a connection where this address, or the proxy for it, is. Answers within `patience`."""
    address = urlsplit(url)
    proxy = "" if _past_proxies(address.hostname or "") else getproxies().get(address.scheme, "")
    if proxy:
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")  # `proxy:3128` is as good to urllib
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError:  # the proxy's, which the environment names
        return False
    done, answered = Event(), Event()

    def knock() -> None:
        try:
            socket.create_connection((address.hostname or "", port), timeout=patience).close()
            answered.set()
        except OSError:
            pass
        finally:
            done.set()

    # Looking up a name has no time limit of its own, so it is done aside and not waited for.
    Thread(target=knock, daemon=True).start()
    done.wait(patience)
    return answered.is_set()


def _past_proxies(host: str) -> bool:
    from urllib.request import proxy_bypass

    return bool(proxy_bypass(host))


def _connect(url: str, sha256: str, path: Path, there: str) -> None:
    """there: the SHA-256 of the file that lies at the path and is another; empty for none."""
    if not _is_address(url):
        raise WeightsError(
            f"'{url}' is no address to download from; expected https:// or http://, a host, and a number if it has a "
            "port"
        )
    if not reachable(url):
        raise WeightsError(
            f"cannot reach {urlsplit(url).netloc}. Fetch {url} by hand on a machine that can, and {_put(path, sha256)}"
            + (f". The file that lies there has SHA-256 {there}" if there else "")
        )


def _put(path: Path, sha256: str) -> str:
    """What to do with a file that was fetched by hand."""
    return f"put it at {path} (SHA-256 {sha256}); or give its path with initialisation: {{file: {{path: ...}}}}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its port is no number, or none that there is
        return False


@dataclass
class _Transfer:
    """One download into a part file, in as many requests as it takes. put: what to do with a file fetched by hand."""

    url: str
    part: Path
    size: int | None
    progress: Progress
    stalled: float
    put: str

    def run(self) -> None:
        """Until the server has sent all, or five requests in a row have brought nothing new."""
        barren, cause = 0, ""
        while barren < _TRIES:
            before = self._here()
            try:
                if self._request(before):
                    return
                cause = "the connection was cut"
            except TimeoutError:
                self._give_up(f"nothing came for {self.stalled:g} seconds")
            except HTTPError as error:
                self._give_up(f"the server answered {error.code} {error.reason}")
            except (OSError, http.client.HTTPException) as error:  # of a line that is gone, or of its encryption
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    self._give_up(f"nothing came for {self.stalled:g} seconds")
                cause = str(getattr(error, "reason", error)) or type(error).__name__
            barren = barren + 1 if self._here() <= before else 0
        self._give_up(cause)

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _request(self, start: int) -> bool:
        """One answer, written behind what is here; whether it was whole."""
        headers = {"User-Agent": "assay", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            answer = urlopen(Request(quote(self.url, _AS_THEY_ARE), headers=headers), timeout=self.stalled)
        except HTTPError as error:
            if error.code != 416:
                raise
            self.part.unlink(missing_ok=True)  # what is here is longer than the file: it is of another one
            return False
        with cast(http.client.HTTPResponse, answer):
            if not (answer.status == 206 and _range_start(answer) == start):
                start = 0
            total = _total(answer, start) or self.size
            self._check(answer, total)
            with writing(self.part), self.part.open("ab" if start else "wb") as file:
                while chunk := answer.read1(_CHUNK):
                    file.write(chunk)
                    start += len(chunk)
                    self.progress(start, total)
                file.flush()
                os.fsync(file.fileno())
        return total is None or start == total

    def _check(self, answer: http.client.HTTPResponse, total: int | None) -> None:
        if "text/html" in (answer.headers.get("Content-Type") or ""):
            self._give_up("the server answered with a web page, not a file")
        if self.size is not None and total is not None and total != self.size:
            self._give_up(f"the server has {total:,} bytes there, expected {self.size:,}: it is another file")

    def _give_up(self, cause: str) -> None:
        here = self._here()
        kept = f" {here:,} bytes are kept, and the same command goes on from there." if here else ""
        raise WeightsError(f"download of {self.url} stopped: {cause}.{kept} Or fetch it by hand and {self.put}")


def _range_start(answer: http.client.HTTPResponse) -> int:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return int(found[1]) if found else -1


def _total(answer: http.client.HTTPResponse, start: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return start + int(length) if length and length.isdigit() else None


@dataclass
class _Log:
    """A line in the log at each tenth of the file, or at every 10 MB where its length is not known."""

    name: str
    said: list[int] = field(default_factory=lambda: [-1])

    def __call__(self, here: int, total: int | None) -> None:
        step = here * 10 // total if total else here // 10_000_000
        if step != self.said[0]:
            self.said[0] = step
            of = f" of {total / 1e6:.0f}" if total else ""
            _log.info("%s: %.0f%s MB", self.name, here / 1e6, of)
