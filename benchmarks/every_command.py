"""Every command under each trouble: does it end as undisturbed, or in one sentence?

    python benchmarks/every_command.py [--only COMMAND ...] [--troubles NAME ...] [--light] [--seed N] [--out FILE]

A command of the table runs twice undisturbed, in folders of its own, then under each trouble. A trial is right where it
ends with the same exit code, words and files (but for those that differ between the undisturbed runs); or where it says
at most three lines, without a traceback, with exit code 2, 74 or 130. Once the trouble is over, the same command must
end as undisturbed, or ask for a new folder and end so there. A file that a link leads to keeps its content, and no
half-written file is left. Commands are forks of this process, which has the libraries in memory. `--light` tries what
the gate tries: troubles that meet a command in the same way each time, of slow ones those that end it early; it
compares no files and repeats nothing. Exits 1 on any wrong trial.
"""

from __future__ import annotations

import argparse
import atexit
import csv
import ctypes
import functools
import hashlib
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from assay.store.files import read_checked_json, write_checked_json
from assay.store.folder import RunFolder
from assay.store.local import LOCAL
from assay.store.manifest import write_manifest
from assay.store.soundness import Soundness

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from _commands import (
    DATA,
    PATIENCE,
    TIMED,
    Wrong,
    add_row,
    adopt_orphans,
    become_command,
    end_processes,
    ends_in_sentence,
    import_most,
    is_private,
    trouble_parser,
    write_rows,
    write_scores,
)
from _shared import Page
from tests.audit.search.test_leads import audited
from tests.worlds.studies import TINY

TIMES = re.compile(
    r"[0-9a-f]{64}|\d{4}-\d\d-\d\dT[\d:.+Z]*|\d+(\.\d+)? ?(ms|s|min|h|GB|MB)\b"
    r"|\d\d:\d\d(:\d\d)?|\d+(\.\d+)? of processor"
)
NEVER_EQUAL = TIMED | {"tiny.registration.json", "made.zip"}
"""Files that hold a time to the second: two runs may have written the same."""
PLACED = {"made.yaml", "prepared.json", "run.json"}
"""Files that name what was read, which has another path behind a link."""


@dataclass(frozen=True)
class Command:
    """A command with its smallest arguments.

    Attributes:
        words: What follows `assay`, in a folder with what is read.
        reads: What it reads there.
        writes: What it writes there: a file, or a folder. Empty for nothing.
    """

    words: str
    reads: Sequence[str] = ()
    writes: str = ""


COMMANDS: Mapping[str, Command] = {
    "run": Command("run tiny.yaml --workers 0 --out made --quiet", ["tiny.yaml"], "made"),
    "register": Command("register tiny.yaml --out made", ["tiny.yaml"], "made"),
    "replicate": Command("replicate runs/tiny --seeds 1 --workers 0 --out made --quiet", ["runs/tiny"], "made"),
    "look": Command(f"look set {DATA} --out made", ["set"], "made"),
    "validate": Command("validate scores.csv --out made", ["scores.csv"], "made"),
    "preview": Command("preview tiny.yaml --out made", ["tiny.yaml"], "made"),
    "results": Command("results runs/tiny --table estimates", ["runs/tiny"]),
    "figure": Command("figure runs/tiny auroc made.svg", ["runs/tiny"], "made.svg"),
    "export": Command("export runs/tiny all made", ["runs/tiny"], "made"),
    "compare": Command("compare predictions.csv --by loss --margin 0.1 --out made", ["predictions.csv"], "made"),
    "audit": Command(f"audit model.onnx --images set {DATA} --columns sex --domain phantom-chest --budget 300 "
                     "--out made --quiet", ["model.onnx", "set"], "made"),
    "audit compare": Command("audit compare audits/a audits/b --out made", ["audits/a", "audits/b"], "made"),
    "audit prepare": Command(f"audit prepare made --images set {DATA} --size 64 --most 200 --quiet", ["set"], "made"),
    "audit score": Command("audit score prepared scored.csv --out made --quiet", ["prepared", "scored.csv"], "made"),
    "audit remedy": Command("audit remedy audits/a made --quiet", ["audits/a"], "made"),
    "report": Command("report runs/tiny", ["runs/tiny"], "runs/tiny"),
    "open": Command("open runs/tiny --bundle made.zip", ["runs/tiny"], "made.zip"),
    "status": Command("status runs/tiny", ["runs/tiny"]),
    "cancel": Command("cancel runs/half", ["runs/half"], "runs/half"),
    "clean": Command("clean runs/tiny --yes", ["runs/tiny"]),
    "show": Command("show tiny.yaml", ["tiny.yaml"]),
    "example": Command("example made", [], "made"),
    "init": Command("init set --out made.yaml", ["set"], "made.yaml"),
    "list": Command("list losses"),
    "fetch": Command("fetch aptos"),
    "doctor": Command("doctor runs/tiny", ["runs/tiny"]),
    "seal": Command("seal runs/tiny --key key", ["runs/tiny", "key"], "runs/tiny"),
}  # fmt: skip
"""Name -> its smallest arguments. A test holds that every command of the command line is here."""


SLOW = {"run", "replicate", "preview", "audit", "audit prepare", "audit score", "example"}
"""Commands that take seconds."""
EARLY = (
    ("output full", "error closed", "link inside", "pipe", "read-only", "no user", "no cache"),
    ("pipe ", "read-only"),
)
"""Beginnings of names of troubles that the gate tries, and those of slow commands."""


@dataclass(frozen=True)
class Trouble:
    """One trouble of a command.

    Attributes:
        name: For the notes.
        meet: Called in the process of the command, before it starts.
        make: Called in the folder of the trial, with what it returns called once the trouble is over.
        victims: Files that must keep their content.
        other_words: Whether it may change what a command prints, such as what is in the cache.
    """

    name: str
    meet: Callable[[], object] = lambda: None
    make: Callable[[Path], Callable[[], object]] = lambda _: lambda: None
    victims: Sequence[str] = ()
    other_words: bool = False


@dataclass(frozen=True)
class End:
    """How a command ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it said on standard error.
        files: Hash of every file in its folder.
        opened: Files that it opened.
    """

    code: int
    out: str
    err: str
    files: Mapping[str, str]
    opened: int


# Commands as forks


def ended(words: Sequence[str], folder: Path, meet: Callable[[], object] = lambda: None) -> End:
    """Run a command in a fork of this process, and return how it ended."""
    pipes = [os.pipe() for _ in range(3)]
    pid = os.fork()
    if not pid:
        become_command(words, folder, {"COLUMNS": "100"}, functools.partial(_redirect, pipes, meet))
    texts = [b"", b"", b""]
    readers = [threading.Thread(target=_drain, args=(pipe, texts, at)) for at, pipe in enumerate(pipes)]
    for reader in readers:
        reader.start()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = end_processes(PATIENCE)
    for reader in readers:
        reader.join()
    if left:
        raise Wrong(f"{left} processes are left")
    out, err, opened = (text.decode(errors="replace") for text in texts)
    if code == -signal.SIGALRM:
        raise Wrong(f"at work after {PATIENCE} s: {err[-300:]}")
    return End(code, TIMES.sub("T", out), err.strip(), files(folder), int(opened or 0))


def _drain(pipe: tuple[int, int], texts: list[bytes], at: int) -> None:
    os.close(pipe[1])
    with os.fdopen(pipe[0], "rb") as file:
        texts[at] = file.read()


def _redirect(pipes: Sequence[tuple[int, int]], meet: Callable[[], object]) -> None:
    """Write to pipes what a command prints, says and opens; then meet the trouble."""
    signal.alarm(PATIENCE)
    (_, out), (_, err), (_, notes) = pipes
    os.dup2(out, 1)
    os.dup2(err, 2)
    streams()
    opened = [0]
    sys.addaudithook(lambda event, _: opened.__setitem__(0, opened[0] + (event == "open")))
    atexit.register(lambda: os.write(notes, str(opened[0]).encode()))
    meet()


def streams(*closed: int) -> None:
    """Open standard output and error as Python does when it starts; of a closed one there is none."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if number in closed:
            os.close(number)
        file = None
        if number not in closed:
            file = os.fdopen(number, "w", 3 - 2 * number, encoding="utf-8", closefd=False)
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)


def files(root: Path) -> dict[str, str]:
    """Return the hash of every file in a folder and behind its links, by its path; pipes have none."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if name != "aside"]
        for path in (Path(folder, name) for name in names if name != "aside"):
            if path.is_file() and not is_private(path.name):
                found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


# Troubles


def outputs(_: Command, __: End, ___: random.Random) -> Iterator[Trouble]:
    """Close standard output and error, and send them to a full device."""
    for number, name in ((1, "output"), (2, "error")):
        yield Trouble(f"{name} closed", functools.partial(streams, number), other_words=number == 1)
        yield Trouble(f"{name} full", functools.partial(_full, number), other_words=number == 1)


def _full(number: int) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    streams()


def links(command: Command, _: End, __: random.Random) -> Iterator[Trouble]:
    """Put a link in place of what a command reads and of what it writes."""
    for name in command.reads:
        yield Trouble(f"link {name}", make=functools.partial(_moved, name=name))
    if command.writes and command.writes not in command.reads:
        for there in (True, False):
            place = functools.partial(_led, name=command.writes, there=there)
            yield Trouble(f"link to {'something' if there else 'nothing'}", make=place)
        if "." not in command.writes:
            yield Trouble("link inside", make=functools.partial(_planted, name=command.writes), victims=["victim"])
    elif command.writes:
        yield Trouble("link inside", make=functools.partial(_planted, name=command.writes), victims=["victim"])


def _moved(folder: Path, name: str) -> Callable[[], object]:
    path, aside = folder / name, folder / "aside"
    path.rename(aside)
    path.symlink_to(aside)
    return lambda: (path.unlink(), aside.rename(path))


def _led(folder: Path, name: str, there: bool) -> Callable[[], object]:
    path, aside = folder / name, folder / "aside"
    if there:
        aside.write_text("earlier") if "." in name else aside.mkdir()
    path.symlink_to(aside)

    def undo() -> None:
        if path.is_symlink():
            path.unlink()
            if (aside.is_file() and aside.read_text(errors="replace") != "earlier") or files(aside):
                aside.rename(path)
        if aside.exists():
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()

    return undo


def _planted(folder: Path, name: str) -> Callable[[], object]:
    (folder / "victim").write_text("kept")
    page = folder / name / "report.html"
    page.parent.mkdir(exist_ok=True)
    kept = page.read_bytes() if page.exists() else b""
    page.unlink(missing_ok=True)
    page.symlink_to(folder / "victim")

    def undo() -> None:
        (folder / "victim").unlink()
        if page.is_symlink():
            page.unlink()
        if kept:
            page.write_bytes(kept)
        elif not any(page.parent.iterdir()):
            page.parent.rmdir()

    return undo


def pipes(command: Command, _: End, draw: random.Random) -> Iterator[Trouble]:
    """Put a pipe in place of what a command reads, and of a file in it."""
    for name in command.reads:
        yield Trouble(f"pipe {name}", _waits_for_none, make=functools.partial(_piped, name=name))
        inside = functools.partial(_piped_inside, name=name, draw=draw.random())
        if not Path(name).suffix:  # in a folder
            yield Trouble(f"pipe in {name}", _waits_for_none, inside)


def _waits_for_none() -> None:
    """End with a word where a pipe is opened that nobody writes to: to open it is to wait."""

    def look(event: str, given: tuple[object, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes) and not int(str(given[2] or 0)) & os.O_NONBLOCK:
            with suppress(OSError):
                if stat.S_ISFIFO(Path(os.fsdecode(given[0])).stat().st_mode):
                    os.write(2, f"waits for the pipe {given[0]!r}\n{''.join(traceback.format_stack()[-9:])}".encode())
                    os._exit(99)

    sys.addaudithook(look)


def _piped(folder: Path, name: str) -> Callable[[], object]:
    path, aside = folder / name, folder / "aside"
    path.rename(aside)
    os.mkfifo(path)
    return lambda: (path.unlink(), aside.rename(path))


def _piped_inside(folder: Path, name: str, draw: float) -> Callable[[], object]:
    if not (folder / name).is_dir():
        return lambda: None
    first: dict[Path, str] = {}
    for path in files(folder / name):
        first.setdefault(Path(path).parent, path) if Path(path).parent != Path() else first.update({Path(path): path})
    every = sorted(first.values())
    return _piped(folder, f"{name}/{every[int(draw * len(every))]}")


def read_only(_: Command, __: End, ___: random.Random) -> Iterator[Trouble]:
    """Take the right to write away from the folder, all in it and the user."""
    yield Trouble("read-only", _bound, _locked)


def _bound() -> None:
    """Be bound by the rights of files, also as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    for at in range(3):
        sets[at] &= ~0b1110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _locked(folder: Path) -> Callable[[], object]:
    every = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in every}
    for path in every:
        path.chmod(modes[path] & ~0o222)
    return lambda: [path.chmod(mode) for path, mode in modes.items()]


def homes(_: Command, __: End, ___: random.Random) -> Iterator[Trouble]:
    """Take HOME away: a folder that cannot be, and a user without one; and a cache that cannot be."""
    yield Trouble("no HOME", functools.partial(_homeless, "/proc/none"), other_words=True)
    yield Trouble("no user", functools.partial(_homeless, ""), other_words=True)
    yield Trouble("no cache", functools.partial(os.environ.update, ASSAY_CACHE="/dev/null/cache"), other_words=True)


def _homeless(home: str) -> None:
    for name in ("HOME", "ASSAY_CACHE", "ASSAY_ASSETS", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        os.environ.pop(name, None)
    if home:
        os.environ["HOME"] = home
        return
    pwd = importlib.import_module("pwd")

    def unknown(user: object) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    pwd.getpwuid = unknown
    os.environ["TMPDIR"] = str(Path.cwd() / "none")


def interrupts(_: Command, undisturbed: End, draw: random.Random) -> Iterator[Trouble]:
    """Press Ctrl-C when a command opens a file, of all that it opens; and some time into a query of DuckDB."""
    yield Trouble("Ctrl-C", functools.partial(_interrupted, int(draw.random() * undisturbed.opened)))


def _interrupted(last: int) -> None:
    count = [0]

    def look(event: str, _: object) -> None:
        if event == "open":
            count[0] += 1
            if count[0] == last + 1:
                os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(look)


def queries(_: Command, __: End, draw: random.Random) -> Iterator[Trouble]:
    """Press Ctrl-C in a query of DuckDB."""
    yield Trouble("Ctrl-C in DuckDB", functools.partial(_queried, draw.randrange(3)))


def _queried(at: int) -> None:
    """Press Ctrl-C half a millisecond of processor time into a query."""
    connection = importlib.import_module("duckdb").DuckDBPyConnection
    count, execute = [0], connection.execute
    signal.signal(signal.SIGVTALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    def executed(*given: object, **named: object) -> object:
        count[0] += 1
        if count[0] == at + 1:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005)
        return execute(*given, **named)

    connection.execute = executed


def sizes(_: Command, __: End, draw: random.Random) -> Iterator[Trouble]:
    """Let no file grow beyond a size, as where a disk is full."""
    size = int(10 ** draw.uniform(1, 5))
    yield Trouble("no room", functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size)))


def received(command: Command, _: End, __: random.Random) -> Iterator[Trouble]:
    """Start in a folder with modules that libraries look for, and read run folders that somebody made to harm."""
    yield Trouble("modules beside", make=_surrounded, victims=["victim"])
    for name in command.reads:
        if (kind := Path(name).parts[0]) in ("runs", "audits"):
            paged = [] if name == "runs/half" else [_forge_page]
            coded = [_name_code] if kind == "runs" and "key" not in command.reads else []  # a seal is of what is there
            for harm in (*coded, *paged, _repeat_rows):
                place = functools.partial(_harmed, name=name, harm=harm)
                yield Trouble(f"{harm.__name__} {name}", make=place, victims=["victim"], other_words=True)


_HARM = "import pathlib\npathlib.Path('victim').write_text('changed')\ndef Loss(context): ...\n"
_OPTIONAL = ("pynvml", "dill", "pyarrow", "numexpr", "bottleneck", "sitecustomize", "usercustomize", "harmful")


def _surrounded(folder: Path) -> Callable[[], object]:
    every = [folder / f"{name}.py" for name in _OPTIONAL]
    for path in every:
        path.write_text(_HARM)
    (folder / "victim").write_text("kept")
    return lambda: [path.unlink() for path in (*every, folder / "victim")]


def _harmed(folder: Path, name: str, harm: Callable[[Path], object]) -> Callable[[], object]:
    undo = _surrounded(folder)
    shutil.copytree(folder / name, folder / "aside")
    harm(folder / name)
    state = os.environ["XDG_STATE_HOME"]
    os.environ["XDG_STATE_HOME"] = str(folder / "aside-state")  # of another user: what one writes oneself is believed
    write_manifest(folder / name, {})
    os.environ["XDG_STATE_HOME"] = state
    shutil.rmtree(folder / "aside-state", ignore_errors=True)

    def restore() -> None:
        undo()
        shutil.rmtree(folder / name)
        (folder / "aside").rename(folder / name)

    return restore


def _name_code(root: Path) -> None:
    """Name a module in place of a loss."""
    text = json.dumps(read_checked_json(root / "run.json"))
    changed = text.replace('"kind": "loss", "name": "', '"kind": "loss", "name": "harmful:')
    assert changed != text, "no loss is named in run.json"
    write_checked_json(root / "run.json", json.loads(changed), sort_keys=False)


def _forge_page(root: Path) -> None:
    """Write a script into the page."""
    page = root / "report.html"
    text = page.read_text()
    assert "</body>" in text
    page.write_text(text.replace("</body>", "<script>alert('believed')</script></body>"))


def _repeat_rows(root: Path) -> None:
    """Repeat the rows of each table, which takes little room in a file."""
    for path in (root / "tables").glob("*.parquet"):
        columns = (column for column, *_ in duckdb.execute(f"DESCRIBE FROM '{path}'").fetchall())
        first = ", ".join(f'first("{column}") AS "{column}"' for column in columns)
        rows = f"SELECT one.* FROM (SELECT {first} FROM '{path}') AS one, range(4_000_000)"
        duckdb.execute(f"COPY ({rows}) TO '{path}.made' (FORMAT parquet)")
        Path(f"{path}.made").rename(path)


TROUBLES: Mapping[str, tuple[Callable[[Command, End, random.Random], Iterator[Trouble]], int]] = {
    "outputs": (outputs, 1),
    "links": (links, 1),
    "pipes": (pipes, 4),
    "read-only": (read_only, 1),
    "no HOME": (homes, 1),
    "Ctrl-C": (interrupts, 10),
    "Ctrl-C in DuckDB": (queries, 3),
    "no room": (sizes, 4),
    "received": (received, 1),
}
"""Trouble -> how it is made, and how often."""


# Trials


@dataclass
class World:
    """A command, and where its trials are made.

    Attributes:
        name: Its name.
        given: Folder of what commands read.
        folder: Folder of its trials.
        light: Whether no files are compared and nothing is repeated.
    """

    name: str
    given: Path
    folder: Path
    light: bool = False
    undisturbed: End = End(0, "", "", {}, 0)
    unsure: frozenset[str] = frozenset()

    @property
    def command(self) -> Command:
        """Its row of the table."""
        return COMMANDS[self.name]

    def place(self) -> Path:
        """Make a new folder with what the command reads; every one has the same name."""
        place = self.folder / "trial"
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(parents=True)
        for name in self.command.reads:
            (place / name).parent.mkdir(exist_ok=True)
            from_ = self.given / name
            shutil.copytree(from_, place / name, symlinks=True) if from_.is_dir() else shutil.copy2(from_, place / name)
        return place

    def run_twice(self) -> None:
        """Set how the command ends undisturbed. Raises Wrong where it does not end well."""
        first, second = (ended(self.command.words.split(), self.place()) for _ in range(2))
        if first.code or second.code:
            raise Wrong(f"undisturbed, it ended with {first.code}: {first.err[-800:]}")
        self.undisturbed = second
        every = first.files.keys() | second.files.keys()
        self.unsure = frozenset(
            name for name in every if first.files.get(name) != second.files.get(name) or Path(name).name in NEVER_EQUAL
        )

    def tried(self, trouble: Trouble) -> str:
        """Make a trouble, and return how the command ended. Raises Wrong."""
        place = self.place()
        before = files(place)
        over = trouble.make(place)
        victims = {name: (place / name).read_bytes() for name in trouble.victims}
        end = ended(self.command.words.split(), place, trouble.meet)
        for name, content in victims.items():
            if (place / name).read_bytes() != content:
                raise Wrong(f"{name}, which is elsewhere, was changed")
        if trouble.name.startswith("pipe in") and "left out: 1 of 60 images" in end.out and not end.code:
            over()
            return "sentence"  # a look tells of an image that cannot be read, and goes on
        if self.name == "init" and "to correct before a run: " in end.out and not end.code:
            over()
            (place / self.command.writes).unlink()  # it tells of what a run would refuse in the study, too
            if not self.light:
                self.repeat(place, before)
            return "sentence"
        if end.code == self.undisturbed.code:
            if trouble.name.startswith(_forge_page.__name__) and self.name in ("open", "doctor"):
                raise Wrong("it believed a page that its tables do not give")
            how = "equal"
        elif end.code == 1 and self.name == "doctor" and "error" not in trouble.name and end.out:
            over()
            return "sentence"  # it names what is damaged
        else:
            self.judge_sentence(end, silent="error" in trouble.name)
            how = "sentence"
        over()
        if self.light:
            if left := [name for name in files(place) if name.endswith(".partial")]:
                raise Wrong(f"{left[0]} was left")
        elif how == "equal":
            if not trouble.other_words and end.out != self.undisturbed.out:
                raise Wrong(f"it printed other words: {end.out[-500:]}")
            self.compare(files(place), PLACED if trouble.other_words or trouble.name.startswith("link") else ())
        else:
            self.repeat(place, before)
        return how

    def judge_sentence(self, end: End, silent: bool) -> None:
        """Raise Wrong unless a command ended in a sentence."""
        more = [line for line in end.err.splitlines() if line not in self.undisturbed.err.splitlines()]
        said = end.err if silent else "\n".join(more)
        if (end.err and not said) or not ends_in_sentence(end.code, said, silent):
            raise Wrong(f"ended with {end.code}: {end.err[-1500:] or 'no word'}")

    def compare(self, found: Mapping[str, str], but: Collection[str] = ()) -> None:
        """Raise Wrong where a file differs from an undisturbed run, those of some names left out, or was left."""
        wanted = self.undisturbed.files
        unsure = {
            name
            for name in found.keys() & wanted.keys()
            if name in self.unsure or Path(name).name in but or (but and LOCAL in Path(name).parts)
        }
        every = (found.keys() | wanted.keys()) - unsure
        different = sorted(name for name in every if found.get(name) != wanted.get(name))
        if different:
            raise Wrong(f"{len(different)} files differ, such as {different[0]}")
        root = self.folder / "trial" / self.command.writes
        if (
            self.command.writes
            and (root / "manifest.json").exists()
            and (changed := Soundness(RunFolder(root)).changes())
        ):
            raise Wrong(changed[0].text)

    def repeat(self, place: Path, before: Mapping[str, str]) -> None:
        """Repeat a command after its trouble. Raises Wrong unless it ends as undisturbed."""
        writes = place / self.command.writes
        if self.command.writes and "." in self.command.writes and writes.exists():
            name = self.command.writes
            if files(place)[name] not in (self.undisturbed.files[name], before.get(name)) and name not in self.unsure:
                raise Wrong(f"{name} is half-written")
        again = ended(self.command.words.split(), place)
        if (
            again.code == 2
            and self.command.writes not in self.command.reads
            and any(word in again.err for word in ("new folder", "is there already"))
        ):
            shutil.rmtree(writes) if writes.is_dir() else writes.unlink()
            again = ended(self.command.words.split(), place)
        if again.code:
            raise Wrong(f"repeated, it ended with {again.code}: {again.err[-800:]}")
        self.compare(again.files)


def given_in(folder: Path) -> None:
    """Make what the commands read."""
    (folder / "tiny.yaml").write_text(json.dumps({**TINY, "contrasts": []}), encoding="utf-8")
    for words in (
        ["example", "whole", "--audit"],
        ["run", "tiny.yaml", "--workers", "0", "--out", "runs", "--quiet"],
    ):
        must_end(words, folder)
    (folder / "set" / "images").mkdir(parents=True)
    rows = list(csv.DictReader((folder / "whole" / "data.csv").open(encoding="utf-8")))[:60]
    write_rows(folder / "set" / "data.csv", rows)
    for row in rows:
        shutil.copy2(folder / "whole" / row["image"], folder / "set" / row["image"])
    shutil.copy2(folder / "whole" / "model.onnx", folder / "model.onnx")
    write_tables(folder)
    must_end(
        ["audit", "prepare", "prepared", "--images", "set", *DATA.split(), "--size", "64", "--most", "200"], folder
    )
    write_scores(folder / "prepared", folder / "scored.csv")
    shutil.copytree(folder / "runs" / "tiny", folder / "runs" / "half")
    for name in ("finished.json", "manifest.json", "report.html"):
        (folder / "runs" / "half" / name).unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    in_fork(lambda: audited("letter", folder / "noise"))
    for name in "ab":
        shutil.copytree(folder / "noise" / "out", folder / "audits" / name)


def write_tables(folder: Path) -> None:
    """Write the tables of `validate` and `compare`."""
    draw = np.random.default_rng(0)
    cases = [
        {"patient": f"P{at}", "label": at % 2, "score": round(float(draw.beta(2 + at % 2, 3 - at % 2)), 4)}
        for at in range(80)
    ]
    write_rows(folder / "scores.csv", cases)
    rows = [
        {
            "image": f"{at}.png",
            "patient": f"P{at}",
            "target": at % 2,
            "loss": loss,
            "seed": seed,
            "score": round(float(draw.beta(2 + at % 2, 3 - at % 2)), 4),
        }
        for loss in ("one", "two")
        for seed in range(3)
        for at in range(40)
    ]
    write_rows(folder / "predictions.csv", rows)


def must_end(words: Sequence[str], folder: Path) -> None:
    """Run a command that must end well."""
    if (end := ended(words, folder)).code:
        raise SystemExit(f"{words[0]} ended with {end.code}: {end.err}")


def in_fork(work: Callable[[], object]) -> None:
    """Do some work in a fork: threads of libraries that start here would not live on in later forks."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("what the commands read could not be made")


def used() -> float:
    """Return the seconds of processor time of this process and its children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def trials(options: argparse.Namespace, world: World) -> Iterator[tuple[str, Trouble]]:
    """Yield the troubles of a command."""
    for kind in options.troubles:
        make, times = TROUBLES[kind]
        for number in range(1 if options.light else options.times or times):
            draw = random.Random(f"{options.seed} {world.name} {kind} {number}")
            for trouble in make(world.command, world.undisturbed, draw):
                if not options.light or any(trouble.name.startswith(name) for name in EARLY[world.name in SLOW]):
                    yield kind, trouble


def make(options: argparse.Namespace, page: Page) -> list[str]:
    """Make all trials, and return what was wrong."""
    wrong: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="every-command-"))  # TemporaryDirectory would end with each fork
    try:
        os.environ.update({"ASSAY_CACHE": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")})
        given = options.given or folder / "given"
        if not given.exists():
            given.mkdir(parents=True)
            given_in(given)
        for name in options.only:
            world = World(name, given, folder / name.replace(" ", "-"), options.light)
            ends = {trouble: Counter[str]() for trouble in options.troubles}
            begun = used()
            if not options.light:
                try:
                    world.run_twice()
                except Wrong as error:
                    wrong.append(f"{name}: {error}")
                    continue
            for kind, trouble in trials(options, world):
                try:
                    ends[kind][world.tried(trouble)] += 1
                except Wrong as error:
                    ends[kind]["wrong"] += 1
                    wrong.append(f"{name}, {trouble.name}: {error}")
                    print(wrong[-1], file=sys.stderr, flush=True)
            add_row(page, name, ends.values())
            print(f"{name}: {used() - begun:.1f} s of processor time", file=sys.stderr, flush=True)
            shutil.rmtree(world.folder, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return wrong


def main() -> None:
    """Run the benchmark."""
    asked = trouble_parser(__doc__, COMMANDS, TROUBLES)
    asked.add_argument("--light", action="store_true", help="try what the gate tries")
    asked.add_argument("--given", type=Path, help="folder of what commands read; it is made where it is missing")
    asked.add_argument("--times", type=int, default=0, help="of each trouble; by default those of the table")
    options = asked.parse_args()
    adopt_orphans()
    import_most()
    page = Page(("command", *options.troubles, "wrong"), options.out, f"Seed {options.seed}.")
    wrong = make(options, page)
    equal, then = (
        ("code", ", and nothing half-written is left") if options.light else ("words and files", ", then equal")
    )
    page.close(f"equal: the same {equal}; sentence: at most three lines{then}.", *wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
