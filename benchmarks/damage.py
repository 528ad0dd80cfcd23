"""Flips, deletions and swaps in every kind of file of a study, an audit and a comparison: does the doctor name them?

    python benchmarks/damage.py [--trials 400] [--seed 0] [--folders RUN [RUN ...]] [--out FILE]

Small runs are made where no folders are given. Each trial picks a kind of file, then a file of it, and turns a bit at
random, deletes the file or puts another file of the folder in its place. It is right where exactly that file is named;
afterwards the file is as it was. `refused` counts trials after which a command that reads every file stops, as it has
to but beside a damaged page. Exits 1 where a trial goes unnoticed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from _shared import Page, parser

from assay.core.errors import StoreError
from assay.store.folder import RunFolder
from assay.store.soundness import Soundness

sys.path.insert(0, str(Path(__file__).parents[1]))


def made(root: Path) -> list[Path]:
    """Run a small study, two audits and their comparison."""
    from tests.worlds.audits import MARKS, images, middle, shortcut
    from tests.worlds.studies import run_tiny

    import assay

    data = images(root / "set", 60)
    for name, model in (("audit", shortcut), ("other", middle)):
        assay.audit(model, data, marks={"tag": MARKS["tag"]}, out=root / name, as_given=True, progress=False)
    words = ["audit", "compare", str(root / "audit"), str(root / "other"), "--out", str(root / "compared")]
    subprocess.run([sys.executable, "-m", "assay", *words], check=True, stdout=subprocess.DEVNULL)
    return [run_tiny(root / "tiny").folder, root / "audit", root / "compared"]


def kinds(root: Path) -> Mapping[str, list[Path]]:
    """Files by kind: the folder at the top, and the name where it is that of many."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")):
        place = path.relative_to(root).parts
        kind = (
            "pictures" if path.suffix == ".png" else str(Path(*place[:1], path.name) if len(place) > 1 else path.name)
        )
        found.setdefault(kind, []).append(path)
    return found


def named(root: Path) -> set[Path]:
    """Files that the doctor names."""
    return {change.path for change in Soundness(RunFolder(root)).changes()}


def trial(draw: random.Random, root: Path, path: Path, how: str) -> tuple[bool, bool]:
    """Return whether the damage is named, and alone, and whether a command that reads every file stops."""
    kept, state = path.read_bytes(), path.stat()
    if how == "deleted" or not kept:
        path.unlink()
    elif how == "flipped":
        content = bytearray(kept)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    else:
        others = [one for files in kinds(root).values() for one in files if one.read_bytes() != kept]
        shutil.copy(draw.choice(others), path)
    found = named(root)
    try:
        Soundness(RunFolder(root)).require()
        refused = False
    except StoreError:
        refused = True
    path.write_bytes(kept)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return path in found and (len(found) == 1 or path.name == "manifest.json"), refused


def main() -> None:
    """Run the benchmark."""
    asked = parser(__doc__)
    asked.add_argument("--trials", type=int, default=400, help="of each folder")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--folders", type=Path, nargs="+", default=[])
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = options.folders or made(Path(temporary))
        page = Page(("folder", "kinds", "files", "flipped", "deleted", "swapped", "refused", "seconds"), options.out)
        wrong: list[str] = []
        for root in folders:
            draw, began, files = random.Random(options.seed), time.monotonic(), kinds(root)
            right, tried, refused = Counter[str](), Counter[str](), 0
            assert not named(root), f"{root} is damaged"
            for number in range(options.trials):
                how = ("flipped", "deleted", "swapped")[number % 3]
                kind = sorted(files)[number // 3 % len(files)]
                path = draw.choice(files[kind])
                noticed, held = trial(draw, root, path, how)
                tried[how] += 1
                right[how] += noticed
                refused += held
                if not noticed or not (held or path.name == "report.html"):
                    wrong.append(f"{how} {path.relative_to(root)}")
            count = sum(map(len, files.values()))
            page.row(
                root.name,
                len(files),
                count,
                *(f"{right[how]} of {tried[how]}" for how in tried),
                refused,
                f"{time.monotonic() - began:.0f}",
            )
        page.close(*wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
