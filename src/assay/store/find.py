"""Run folders by the names that users type."""

from __future__ import annotations

from pathlib import Path

from assay.core.errors import StoreError, nearest, shorten
from assay.core.files import is_file, is_folder
from assay.store.bundle import SUMS
from assay.store.folder import received_folder
from assay.store.layout import PAGE, RUN
from assay.store.manifest import is_ours
from assay.store.migrations import refuse_earlier

_MAX_NAMED = 5
"""Most run folders elsewhere that an error names."""


def resolve_folder(folder: Path) -> Path:
    """Return a folder by its name, also where it is the working folder or above it.

    Examples:
        >>> resolve_folder(Path("runs/tiny")), resolve_folder(Path(".")) == Path.cwd()
        (PosixPath('runs/tiny'), True)
    """
    return folder.resolve() if folder.name in ("", "..") else folder


def candidate_folders(run: str, out: Path) -> tuple[Path, ...]:
    """Return the folders that a path or a name of a run may mean; for a name, first the one under `out`.

    Raises:
        StoreError: There is a run of the name here and one under `out`: one of them may have come with other data.
    """
    as_path, under_out = Path(run), out / run
    if as_path == out:
        return (as_path,)
    if as_path.name != run or run == "..":  # a path, as `./tiny` is
        return tuple(dict.fromkeys((as_path, under_out)))
    existing = [folder for folder in (as_path, under_out) if any(is_file(folder / name) for name in (RUN, PAGE, SUMS))]
    if len(existing) == 2 and not as_path.samefile(under_out):
        raise StoreError(
            f"there is a folder '{shorten(run)}' here and one in {out}: write {shorten(f'./{run}')} or "
            f"{shorten(str(under_out))}"
        )
    return tuple(dict.fromkeys((under_out, as_path)))


def find_run(run: str, out: Path) -> Path:
    """Return the run folder that a path or a name under `out` means: of a study, a model probed by itself, or an audit.

    Raises:
        StoreError: There is none, or the name is that of two; the text gives the nearest that there is.
    """
    places = candidate_folders(run, out)
    for folder in map(resolve_folder, places):
        refuse_earlier(folder)
        if is_file(folder / RUN):
            if not folder.name.isprintable():  # it would write lines of its own on the terminal
                raise StoreError(
                    f"the run folder '{shorten(folder.name)}' has control characters in its name: rename it"
                )
            received_folder.set(None if is_ours(folder) else folder)
            return folder
    names = sorted({shorten(path.parent.name) for path in out.glob(f"*/{RUN}")})
    near = nearest(run, names)
    if Path(run).is_absolute() and Path(run) != out:
        near, listing = None, "give the folder of a run, or the name of a study under --out"
    elif names:
        listing = f"in {out} there is: {', '.join(names)}"
    else:
        elsewhere = sorted({shorten(str(path.parent)) for way in ("*", "*/*") for path in Path().glob(f"{way}/{RUN}")})
        further = f" and {len(elsewhere) - _MAX_NAMED} more" if len(elsewhere) > _MAX_NAMED else ""
        others = f"there is: {', '.join(elsewhere[:_MAX_NAMED])}{further}"
        listing = f"{out} holds no run; {others if elsewhere else '--out names the folder of runs'}"
    tried = sorted(places, key=lambda folder: folder != Path(run))
    empty = [folder for folder in tried if is_folder(folder)]
    missing = "no run folder " + ", nor ".join(f"'{folder}'" for folder in tried)
    what = f"'{empty[0]}' holds no {RUN}, so it is not a run folder" if empty else missing
    hint = f"did you mean '{near}'?" if near else listing
    raise StoreError(f"{what}: {hint}")
