"""Standard output and error of a process: wrapped lines, control characters, and what ends where they are full."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, cast

from assay.core.errors import visible
from assay.core.files import typed_path


class VisibleStream:
    """A stream that shows control characters as escapes.

    Args:
        stream: Where the text goes.
        lossy: Whether a stream that takes no more ends nothing: what is told beside the work goes nowhere then.
        escapes: False for what styles its own text.
    """

    def __init__(self, stream: IO[str], *, lossy: bool, escapes: bool = True) -> None:
        self._stream, self._lossy, self._escapes = stream, lossy, escapes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def rich_proxied_file(self) -> VisibleStream:
        """Where rich writes, whose colors are control characters."""
        inner = getattr(self._stream, "rich_proxied_file", None)
        return inner or VisibleStream(self._stream, lossy=self._lossy, escapes=False)

    def write(self, text: str) -> int:
        """Write a text."""
        line = visible(text) if self._escapes else text
        if encoding := getattr(self._stream, "encoding", None):  # such as ASCII, in the locale C
            line = line.encode(encoding, "backslashreplace").decode(encoding)
        with self._taking():
            self._stream.write(line)
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        with self._taking():
            self._stream.flush()

    @contextmanager
    def _taking(self) -> Generator[None]:
        """Send a lossy stream that takes no more nowhere, so that what waits does not fail again."""
        try:
            yield
        except OSError:
            if not self._lossy:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def visible_outputs() -> Generator[None]:
    """Show what is printed within this context with control characters as escapes.

    Standard error that is closed or full ends nothing. A closed one is opened: the next file would take its number.
    """
    if sys.stderr is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with ExitStack() as streams:
        if sys.stdout is not None:
            streams.enter_context(redirect_stdout(cast("IO[str]", VisibleStream(sys.stdout, lossy=False))))
        error = sys.stderr or streams.enter_context(open(2, "w", closefd=False, encoding="utf-8"))
        streams.enter_context(redirect_stderr(cast("IO[str]", VisibleStream(error, lossy=True))))
        yield


COMMAND = ": assay "
"""What precedes a command within a line."""


def terminal_width() -> int:
    """Return the columns of the terminal that standard output is; 0 where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else 0


_TYPED: ContextVar[Sequence[str]] = ContextVar("typed", default=())


@contextmanager
def paths_spelled(words: Sequence[str]) -> Generator[None]:
    """Print whole paths in this block where pages, which are shared, have the names of files alone.

    Args:
        words: Words of a command line; those that are paths are spelled, but for several of one name.
    """
    token = _TYPED.set(words)
    try:
        yield
    finally:
        _TYPED.reset(token)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, on a terminal wrapped between words; a command and the path of a page stay whole, to be copied."""
    width = terminal_width()
    for line in lines:
        text = spell_paths(line) if "…/" in line else line
        print("\n".join(_wrapped(text, width)) if width else text, flush=True)


def spell_paths(line: str) -> str:
    """Return a line with the paths that were typed in place of their names, see `paths_spelled`.

    Examples:
        >>> with paths_spelled(["compare", "/jane/a.csv", "--out", "/other/a"]):
        ...     spell_paths("compare …/a.csv --out …/a-again")
        'compare /jane/a.csv --out /other/a-again'
        >>> with paths_spelled(["audit", "--command", "/jane/python predict.py {images} {scores}"]):
        ...     spell_paths("--command '…/python predict.py {images} {scores}'")
        "--command '/jane/python predict.py {images} {scores}'"
    """
    parts = (part for word in _TYPED.get() for part in (word.rpartition("=")[2], *word.split()))  # a command in a word
    paths = {*map(Path, parts)} - {Path()}
    every = [(typed_path(path), shlex.quote(str(path))) for path in paths]
    named = sorted(every, key=lambda pair: -len(pair[0]))  # `…/a.csv` before `…/a`
    counts = Counter(name for name, _ in named)
    spelled = (pair for pair in named if pair[0].startswith("…/") and counts[pair[0]] == 1)
    return functools.reduce(lambda text, pair: text.replace(*pair), spelled, line)


def _wrapped(line: str, width: int) -> list[str]:
    if line.startswith(("report: ", "preview: ")) or "  " in line.strip():  # a path, or a row of a table
        return [line]
    prose, mark, command = line.partition(COMMAND)
    indent = line[: len(line) - len(line.lstrip())]
    parts = textwrap.wrap(
        f"{prose.strip()}:" if mark else prose.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    if mark and len(f"{parts[-1]} {mark[2:]}{command}") <= width:
        return [*parts[:-1], f"{parts[-1]} {mark[2:]}{command}"]
    return [*parts, f"{indent}  {mark[2:]}{command}"] if mark else parts or [""]
