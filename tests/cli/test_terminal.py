"""As a process: a terminal of 60 columns, and a reader that goes away."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.worlds.studies import write_spec

ASSAY = (sys.executable, "-m", "assay")


def on_a_terminal(*arguments: str | Path, columns: int) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen([*ASSAY, *map(str, arguments)], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end of a terminal is closed: this is how it ends on Linux
            break
        if not part:
            break
        text += part
    assert process.wait() == 0
    os.close(ours)
    return text.decode()


def test_a_narrow_terminal_folds_a_table_and_loses_nothing(finished_run: Path) -> None:
    text = on_a_terminal("results", finished_run, "--table", "seeds", columns=60)
    plain = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert "…" not in plain


@pytest.mark.nightly
def test_a_preview_fits_a_terminal_and_loses_nothing(
    tmp_path: Path, study_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(tmp_path)
    out = ("--out", tmp_path / "out")
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    wide = on_a_terminal("preview", spec, *out, columns=1000)
    text = on_a_terminal("preview", spec, *out, columns=60).replace("\r\n", "\n")
    lines = [line for line in text.splitlines() if not line.startswith("preview: ") and "\x1b" not in line]
    (command,) = (line for line in lines if line.startswith("  assay run "))
    assert command.split()[2] == str(spec), "a path that works, though pages have its name alone"
    assert max(len(line) for line in lines if line != command) <= 60
    numbers = re.findall(r"-?\d\.\d\d \[[^\]]*\]|\d,\d{3}", wide)
    assert numbers
    assert all(number in " ".join(text.split()) for number in numbers)


def test_an_answer_is_wrapped_between_words_and_what_is_copied_stays_whole(tmp_path: Path) -> None:
    rows = [f"{at},{at % 2},{((at * 7) % 100 + 40 * (at % 2)) / 150:.3f}" for at in range(200)]
    (tmp_path / "scores.csv").write_text("\n".join(["patient,ill,score", *rows]))
    out = tmp_path / "a folder"
    text = on_a_terminal("validate", tmp_path / "scores.csv", "--out", out, columns=60)
    lines = text.replace("\r\n", "\n").splitlines()
    assert f"report: {out}/report.html" in lines
    (command,) = (line for line in lines if line.startswith("  assay validate"))
    assert len(command) > 60
    wrapped = [line for line in lines if line not in (command, f"report: {out}/report.html")]
    assert max(map(len, wrapped)) <= 60
    assert "  specificity 0." in text, "rows are indented as they were"
    wide = on_a_terminal("validate", tmp_path / "scores.csv", "--out", out, columns=1000)
    assert [line for line in wide.splitlines() if line.endswith(command.strip()) and not line.startswith("  assay")]


def test_a_pipe_that_is_closed_early_is_no_traceback() -> None:
    process = subprocess.Popen(
        [*ASSAY, "show", "nodule-loss", "--scale", "paper", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"{\n"
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (130, b"")
    process.stderr.close()


@pytest.mark.parametrize(
    ("shell", "code", "text"),
    [
        ('"$@" > /dev/full', 74, "nothing more can be written: No space left on device; free some space, or send"),
        ('"$@" >&-', 74, "nothing more can be written: standard output is closed; free some space, or send"),
        ('rmdir ../gone; PYTHONSAFEPATH=1 "$@"', 2, "the working folder was deleted; change to another one"),
    ],
)
def test_where_nothing_can_be_printed_it_is_one_sentence(shell: str, code: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = ["sh", "-c", shell, "sh", *ASSAY, "list", "losses"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path / "gone")
    assert done.returncode == code
    assert done.stderr.startswith(text)
    assert len(done.stderr.splitlines()) == 1


def test_a_character_that_the_terminal_cannot_show_is_an_escape() -> None:
    code = "from assay.core.terminal import visible_outputs\nwith visible_outputs(): print('runs', chr(0x2026))"
    variables = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, rb"runs \u2026" b"\n")
