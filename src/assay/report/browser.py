"""Open the page of a run in the browser."""

from __future__ import annotations

import os
import shlex
import sys
import webbrowser
from getpass import getuser
from pathlib import Path


def open_page(page: Path) -> None:
    """Open a page in the browser; over SSH or without a screen, print on standard error how to copy it."""
    page = page.absolute()
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) == 4:  # addresses and ports of the client and of this machine
        target = f"{getuser()}@{f'[{connection[2]}]' if ':' in connection[2] else connection[2]}:{page}"
        print(f"on your own machine: scp {shlex.quote(target)} .", file=sys.stderr)
        return
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not screen or not webbrowser.open(page.as_uri()):
        is_single_file = page.name != "index.html"
        advice = "which needs no other file" if is_single_file else "with the pages that it links to, or use --bundle"
        print(f"no browser here: copy {page}, {advice}", file=sys.stderr)
