"""Open pages in the browser."""

from __future__ import annotations

import os
import shlex
import sys
import webbrowser
from getpass import getuser
from pathlib import Path


def open_page(page: Path) -> None:
    """Open a page in the browser; over SSH, or without a screen, say on standard error how to copy it."""
    page = page.absolute()
    client = os.environ.get("SSH_CONNECTION", "").split()
    if len(client) == 4:  # addresses and ports of the client and of this machine
        target = f"{getuser()}@{f'[{client[2]}]' if ':' in client[2] else client[2]}:{page}"
        print(f"on your own machine: scp {shlex.quote(target)} .", file=sys.stderr)
        return
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not screen or not webbrowser.open(page.as_uri()):
        alone = page.name != "index.html"
        also = "which needs no other file" if alone else "with the pages that it links to, or use --bundle"
        print(f"no browser here: copy {page}, {also}", file=sys.stderr)
