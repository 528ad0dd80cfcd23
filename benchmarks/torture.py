"""What goes wrong around a command: does it end as undisturbed, or in one sentence?

    python benchmarks/torture.py [--kills 20] [--only COMMAND ...] [--seed N] [--notes FILE] [--out FILE]

An audit, `audit prepare`, `audit score` and `replicate` run twice undisturbed, then under each trouble of the table:
`kill -9` at random moments, the same command at once, a disk that fills up at a random size, read-only folders,
locales, names of folders, standard output that is closed or full, and no HOME. A trial is right where the command ends
with 0 and the same files byte for byte, but for those of times; or where it says one sentence of at most three lines
with exit code 2, 74 or 130, and the same command ends right once the trouble is over. No file may be left half-written
or damaged, and no process may be left. Commands without a shell or variables of their own are forks of this process,
which has the libraries in memory. Needs root, for disks and other users. Exits 1 on any wrong trial.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
    write_scores,
)
from _shared import Page

from assay.store.folder import RunFolder
from assay.store.manifest import UNLISTED
from assay.store.soundness import Soundness

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.worlds.studies import TINY

SOURCE = str(Path(__file__).parents[1] / "src")
Trial = tuple[str, str, int]
"""Command, trouble and number."""
PLACED = {"run.json", "stamp.json", "prepared.json"}
"""Files that name the folder of the images."""
STARTED: list[int] = []
"""Every process that was started."""
COMMANDS: Mapping[str, Callable[[Path, Path], Sequence[str | Path]]] = {
    "audit": lambda given, out: (
        "audit", given / "set" / "model.onnx", "--images", given / "set", *DATA.split(), "--columns", "sex,view",
        "--domain", "phantom-chest", "--budget", "800", "--out", out / "made",
    ),
    "prepare": lambda given, out: (
        "audit", "prepare", out / "made", "--images", given / "set", *DATA.split(), "--size", "64", "--most", "400",
    ),
    "score": lambda given, out: ("audit", "score", given / "prepared", given / "scores.csv", "--out", out / "made"),
    "replicate": lambda given, out: ("replicate", given / "tiny", "--seeds", "2", "--workers", "0", "--out", out),
}  # fmt: skip
"""Name -> its words, by the folder of what it reads and the folder that it writes to."""
MADE = {"replicate": "tiny-replication"}


@dataclass(frozen=True)
class Started:
    """A command at work.

    Attributes:
        pid: Its process.
        log: What it says on standard error.
    """

    pid: int
    log: Path

    def kill(self) -> None:
        """Kill it alone: what it started is left to itself."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def end(self) -> tuple[int, str]:
        """Wait for it, and return its exit code and what it said."""
        late = time.monotonic() + PATIENCE
        while not (done := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > late:
                self.kill()
                raise Wrong(f"still at work after {PATIENCE:.0f} s")
            time.sleep(0.02)
        return os.waitstatus_to_exitcode(done[1]), self.log.read_text(encoding="utf-8", errors="replace").strip()


def forked(words: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]) -> int:
    """Start a command as a fork of this process, and return its number."""
    if not (pid := os.fork()):
        become_command(words, folder, variables, partial(_redirect, log))
    STARTED.append(pid)
    return pid


def _redirect(log: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_RDWR | os.O_CREAT), 2)


@dataclass
class World:
    """A command, and the place of a trial.

    Attributes:
        command: Its name.
        given: Folder of what it reads.
        folder: Folder of the trial.
        draw: Draws moments and sizes.
        wanted: Hash of every file of an undisturbed run.
        took: Seconds of an undisturbed run.
        size: Bytes that it writes.
    """

    command: str
    given: Path
    folder: Path
    draw: random.Random
    wanted: Mapping[str, str] = field(default_factory=dict[str, str])
    took: float = 0.0
    size: int = 0
    started: int = 0

    @property
    def out(self) -> Path:
        """The folder that the command writes to."""
        return self.folder / "out"

    def start(self, *by: str, given: Path | None = None, out: Path | None = None, **variables: str | None) -> Started:
        """Start the command.

        Args:
            by: Words that come before it, such as those of a shell.
            given: Folder of what it reads, elsewhere.
            out: Folder that it writes to, elsewhere.
            variables: Of its environment; None removes one.
        """
        words = COMMANDS[self.command](given or self.given, out or self.out)
        every = {**os.environ, "PYTHONPATH": SOURCE, **variables}
        self.started += 1
        log = self.folder / f"{self.started}.log"
        command = [*map(str, words), "--quiet"]
        if not by and not variables:
            return Started(forked(command, self.folder, log, {}), log)
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*by, sys.executable, "-m", "assay", *command],
                start_new_session=True,
                cwd=self.folder,
                env={name: value for name, value in every.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        process.returncode = 0  # it is waited for by its number
        STARTED.append(process.pid)
        return Started(process.pid, log)

    def judge(self, command: Started, out: Path | None = None) -> str:
        """Return `equal` or `sentence`. Raises Wrong for every other end."""
        code, said = command.end()
        if code == 0:
            self.compare(out or self.out)
            return "equal"
        if ends_in_sentence(code, said):
            return "sentence"
        raise Wrong(f"ended with {code}: {said[-1500:] or 'no word'}")

    def compare(self, out: Path) -> None:
        """Compare the files with those of an undisturbed run. Raises Wrong where one differs or was left behind."""
        root = out / MADE.get(self.command, "made")
        found = files(root)
        elsewhere = PLACED if out != self.out else ()
        different = sorted(
            name
            for name in found | self.wanted
            if found.get(name) != self.wanted.get(name) and Path(name).name not in elsewhere
        )
        if different:
            raise Wrong(f"{len(different)} files differ, such as {different[0]}")
        if changed := Soundness(RunFolder(root)).changes():
            raise Wrong(changed[0].text)

    def again(self, how: str) -> str:
        """Repeat the command without trouble where it did not end equal. Raises Wrong unless it ends equal then."""
        if how == "sentence":
            command = self.start()
            if self.judge(command) == "sentence":
                if "give a new folder" not in command.log.read_text(encoding="utf-8"):
                    raise Wrong(f"still refused: {command.log.read_text(encoding='utf-8')}")
                shutil.rmtree(self.out / MADE.get(self.command, "made"))
                if self.judge(self.start()) != "equal":
                    raise Wrong("refused in a new folder")
        return how


def files(root: Path) -> dict[str, str]:
    """Return the hash of every file but those of times, by its path in a folder."""
    every = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in TIMED)
    names = {path.relative_to(root).as_posix(): path for path in every}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not set(Path(name).parts).intersection(UNLISTED) and not is_private(path.name)
    }


# Troubles. Each yields how a trial ended.


def killed(world: World) -> Iterator[str]:
    """Kill the command at a random moment, then repeat it."""
    command = world.start()
    time.sleep(world.draw.uniform(0, world.took))
    command.kill()
    again = world.start()
    yield world.again(world.judge(again))


def twice(world: World) -> Iterator[str]:
    """Start the same command a second time at a random moment."""
    first = world.start()
    time.sleep(world.draw.uniform(0, world.took / 2))
    second = world.start()
    ends = [world.judge(command) for command in (second, first)]  # the second may work after the first, not before
    if "equal" not in ends:
        raise Wrong("both were refused")
    yield from ends


def full(world: World) -> Iterator[str]:
    """Let the disk fill up at a random size, then give it room."""
    size = int(world.draw.uniform(0.02, 0.95) * world.size)
    with disk(world.out, f"size={size}"):
        how = world.judge(world.start())
        mounted("-o", "remount,size=1g", str(world.out))
        yield world.again(how)


def read_only(world: World) -> Iterator[str]:
    """Write to a folder that is read-only, and read from one."""
    with disk(world.out, "ro"):
        how = world.judge(world.start())
        if how == "equal":
            raise Wrong("it wrote to a read-only folder")
        mounted("-o", "remount,rw", str(world.out))
        yield world.again(how)
    mounted("--bind", str(world.given), str(world.given))
    try:
        mounted("-o", "remount,ro,bind", str(world.given))
        yield world.again(world.judge(world.start()))
    finally:
        subprocess.run(["umount", "--lazy", str(world.given)], check=True)


def locales(world: World) -> Iterator[str]:
    """Run in locales of ASCII and of Turkish, whose i is none of ours."""
    places = {"C": {}, **turkish(world.folder)}
    for name, more in places.items():
        for utf8 in ("0", "1"):
            ascii_too = {"PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": utf8}
            out = world.folder / f"{name}-{utf8}"
            yield world.judge(world.start(out=out, LC_ALL=name, LANG=name, **ascii_too, **more), out)


def turkish(folder: Path) -> dict[str, dict[str, str]]:
    """Compile the Turkish locales, and return the variables that find them."""
    made: dict[str, dict[str, str]] = {}
    for name, letters in (("tr_TR.UTF-8", "UTF-8"), ("tr_TR.ISO-8859-9", "ISO-8859-9")):
        subprocess.run(["localedef", "-i", "tr_TR", "-f", letters, str(folder / name)], check=True)
        made[name] = {"LOCPATH": str(folder)}
    return made


def names(world: World) -> Iterator[str]:
    """Read from and write to folders of odd names."""
    for name in ("a b  c", "Ünïcödé İ 名前 😀", "x" * 240, "-rf $(touch x) 'q\"", "#1 100%;?&"):
        place = world.folder / name
        place.mkdir()
        given = Path(shutil.copytree(world.given, place / "given"))
        yield world.judge(world.start(given=given, out=place / "out"), place / "out")
    long = world.folder.joinpath(*("y" * 200 for _ in range(8)))
    long.mkdir(parents=True)
    yield world.judge(world.start(out=long), long)


def outputs(world: World) -> Iterator[str]:
    """Close standard output or error, send them to a full device, and to a reader that has gone."""
    shells = ('"$@" >&-', '"$@" > /dev/full', '"$@" 2>&1 >&3 | true', 'set -o pipefail; "$@" | true')
    for shell in (*shells, '"$@" 2>&-', '"$@" 2> /dev/full'):
        how = world.judge(world.start("bash", "-c", f"exec 3>/dev/null; {shell}", "bash"))
        yield world.again(how)
        shutil.rmtree(world.out)


def homes(world: World) -> Iterator[str]:
    """Take HOME away, and the name of the user."""
    unnamed = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    for number, (cache, home, by) in enumerate(
        ((None, "/proc/none", ()), (None, None, unnamed), (os.environ["ASSAY_CACHE"], None, unnamed))
    ):
        place = world.folder / str(number)
        more = {"HOME": home, "ASSAY_CACHE": cache, "XDG_CACHE_HOME": None}
        yield world.judge(world.start(*by, out=place, **more), place)


@contextmanager
def disk(place: Path, options: str) -> Iterator[None]:
    """Mount a disk in memory."""
    place.mkdir()
    mounted("-t", "tmpfs", "-o", options, "none", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mounted(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


TROUBLES: Mapping[str, tuple[Callable[[World], Iterator[str]], int]] = {
    "killed": (killed, 0),
    "twice at once": (twice, 3),
    "disk full": (full, 5),
    "read-only": (read_only, 1),
    "locale": (locales, 1),
    "name of folder": (names, 1),
    "standard output": (outputs, 1),
    "no HOME": (homes, 1),
}
"""Trouble -> how it is made, and how often; 0 for as often as asked."""


def given_in(folder: Path) -> Path:
    """Make what the commands read: images with a model, prepared images with scores, and a finished study."""
    (folder / "tiny.yaml").write_text(json.dumps({**TINY, "contrasts": []}), encoding="utf-8")
    for words in (
        ("example", folder / "set", "--audit"),
        (*COMMANDS["prepare"](folder, folder), "--quiet"),
        ("run", folder / "tiny.yaml", "--workers", "0", "--out", folder, "--quiet"),
    ):
        code, said = Started(forked([*map(str, words)], folder, folder / "log", {}), folder / "log").end()
        if code:
            raise SystemExit(f"{words[0]} ended with {code}: {said}")
    (folder / "made").rename(folder / "prepared")
    write_scores(folder / "prepared", folder / "scores.csv")
    return folder


def undisturbed(world: World) -> None:
    """Set what a run makes and how long it takes, in a second run with a warm cache. Raises Wrong where both differ.

    It runs as deep in folders as trials do, since `run.json` has the way to what is read.
    """
    place = world.folder
    world.folder = place / "undisturbed"
    world.folder.mkdir()
    for last in (False, True):
        begun = time.monotonic()
        code, said = world.start().end()
        if code:
            raise Wrong(f"ended with {code}: {said}")
        world.took = time.monotonic() - begun
        root = world.out / MADE.get(world.command, "made")
        if last:
            world.compare(world.out)
        world.wanted = files(root)
        world.size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        shutil.rmtree(world.out)
    world.folder = place


def tried(world: World, trouble: str, number: int) -> tuple[list[str], str]:
    """Make a trouble. Return how each command ended, and what was wrong."""
    place, ends, wrong = world.folder, list[str](), ""
    world.folder = place / f"{trouble}-{number}"
    world.folder.mkdir()
    world.started = 0
    try:
        ends.extend(TROUBLES[trouble][0](world))
        if left := end_processes(PATIENCE):
            raise Wrong(f"{left} processes are left")
    except Wrong as error:
        wrong = str(error)
    end_processes(0)
    shutil.rmtree(world.folder, ignore_errors=True)
    world.folder = place
    return ends, wrong


def every(options: argparse.Namespace) -> list[Trial]:
    """Return every trial: command, trouble and number."""
    times = {trouble: TROUBLES[trouble][1] or options.kills for trouble in options.troubles}
    return [
        (command, trouble, number) for command in options.only for trouble in times for number in range(times[trouble])
    ]


def make(options: argparse.Namespace, missing: Sequence[Trial]) -> dict[Trial, dict[str, Any]]:
    """Make the trials that are missing, and return what is noted of each."""
    made: dict[Trial, dict[str, Any]] = {}
    folder = Path(tempfile.mkdtemp(prefix="torture-"))  # TemporaryDirectory would end with each fork
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        os.environ["ASSAY_CACHE"] = str(folder / "cache")
        (folder / "given").mkdir()
        given = given_in(folder / "given")
        for command in dict.fromkeys(command for command, _, _ in missing):
            world = World(command, given, folder / command, random.Random())
            world.folder.mkdir()
            undisturbed(world)
            for trouble, number in ((trouble, number) for of, trouble, number in missing if of == command):
                world.draw.seed(f"{options.seed} {command} {trouble} {number}")
                ends, wrong = tried(world, trouble, number)
                note = {"command": command, "trouble": trouble, "number": number, "ends": ends, "wrong": wrong}
                made[command, trouble, number] = note
                if options.notes:
                    with options.notes.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(note) + "\n")
                print(*note.values(), file=sys.stderr, flush=True)
    finally:
        for pid in STARTED:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):  # it is at work where this process was ended
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        shutil.rmtree(folder)
    return made


def main() -> None:
    """Run the benchmark."""
    asked = trouble_parser(__doc__, COMMANDS, TROUBLES)
    asked.add_argument("--kills", type=int, default=20, help="of each command")
    asked.add_argument("--notes", type=Path, help="file of trials; those that it has are not made again")
    asked.add_argument("--noted", action="store_true", help="print what the notes have, and make nothing")
    options = asked.parse_args()
    adopt_orphans()
    import_most()
    known = read(options.notes)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    if not options.noted and (missing := [trial for trial in every(options) if trial not in known]):
        known |= make(options, missing)
    page = Page(("command", *options.troubles, "wrong"), options.out, f"Seed {options.seed}.")
    for command in options.only:
        ends = {trouble: Counter[str]() for trouble in options.troubles}
        for (of, trouble, _), note in known.items():
            if of == command and trouble in ends:
                ends[trouble].update([*note["ends"], *(["wrong"] if note["wrong"] else [])])
        add_row(page, command, ends.values())
    wrong = [f"{', '.join(map(str, trial))}: {note['wrong']}" for trial, note in known.items() if note["wrong"]]
    page.close("equal: the same files byte for byte; sentence: at most three lines, then equal.", *wrong)
    sys.exit(bool(wrong))


def read(notes: Path | None) -> dict[Trial, dict[str, Any]]:
    """Return what is noted of each trial."""
    lines = notes.read_text(encoding="utf-8").splitlines() if notes and notes.exists() else []
    return {(note["command"], note["trouble"], note["number"]): note for note in map(json.loads, lines)}


if __name__ == "__main__":
    main()
