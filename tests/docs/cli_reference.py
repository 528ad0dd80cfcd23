# ruff: noqa: E501  (a paragraph of Markdown is one line)
"""The page on the command line, made from the help that the commands print. Run it to write the page anew.

COLUMNS=80 python -m tests.docs.cli_reference > docs/reference/cli.md
"""

from __future__ import annotations

import typer

from assay.cli import app

HEAD = """\
# The command line

Every command answers `--help`. Standard output holds the requested output only. Progress and errors go to standard error. With `--json` it is one JSON value, for `run` one JSON object a line.

| exit code | |
|---|---|
| 0 | done |
| 1 | some trials failed; the rest is done, and the report names them. `doctor`: something is missing or damaged |
| 2 | the request was wrong: nothing has run |
| 70 | a fault of Assay, or of your own code that the study names: the traceback says where |
| 74 | a file could not be written, since the disk or the quota is full or the file system is read-only: the run stopped at once, and the same command goes on from there |
| 130 | interrupted; the same command goes on from there |

Ctrl-C lets every worker leave a checkpoint; pressed twice, it ends them at once. `ASSAY_CACHE` moves the cache of decoded images, `ASSAY_ASSETS` says where the example studies find theirs.
"""


def page() -> str:
    """The page as Markdown."""
    group = typer.main.get_command(app)
    parts = [HEAD]
    with group.make_context("assay", ["list"]) as context:
        for name, command in group.commands.items():
            told = command.get_help(typer.Context(command, info_name=name, parent=context))
            parts.append(f"## `assay {name}`\n\n```text\n{told}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
