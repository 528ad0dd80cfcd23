"""`assay fetch`: public sets from their makers, downloaded where that is open to all, else the steps by hand."""

from __future__ import annotations

import json as jsonlib
import shutil
import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from assay.core.errors import DataError, WeightsError, unknown_of_few
from assay.core.files import assets_folder
from assay.data.public.sets import PREPARED, SETS, KnownSet


def fetch_command(name: str | None, out: Path | None, json: bool) -> None:
    """List the sets, or fetch one, or print the steps by hand.

    Raises:
        DataError: The name is unknown, there is no connection, or the archive is another one than before.
    """
    if name is not None and name not in SETS:
        _tell_prepared(name)
        return
    if name is None:
        if json:
            print(jsonlib.dumps({key: _offer(known_set) for key, known_set in SETS.items()}, indent=1))
        else:
            width = max(map(len, SETS))
            for key, known_set in SETS.items():
                print(
                    f"  {key:<{width}}  {'download' if known_set.archive else 'by hand '}  {known_set.license}: "
                    f"{known_set.page}"
                )
            print("`assay fetch NAME` downloads a set, or prints the steps")
        return
    chosen, folder = SETS[name], (out or assets_folder()).absolute() / name
    if not chosen.archive:
        record: dict[str, str] = {"set": name, "folder": "", "page": chosen.page, "steps": chosen.steps}
    else:
        record = {"set": name, "folder": str(folder), "sha256": fetch_set(chosen, folder)}
    if json:
        print(jsonlib.dumps(record, indent=1))
        return
    print(f"{name}: {chosen.license} ({chosen.page})")
    if not chosen.archive:
        print(f"its makers allow no automatic download: {chosen.steps} into {folder}")
    else:
        print(f"SHA-256 of the archive: {record['sha256']}")
    print(f"then name it in a study: dataset: {{{name}: {{folder: {folder}}}}}")


def _offer(known_set: KnownSet) -> dict[str, str | bool]:
    return {name: getattr(known_set, name) for name in ("page", "license", "steps", "archive", "sha256", "wrapped")}


def _tell_prepared(name: str) -> None:
    """Print how to make a set that built-in studies read as a folder of one's own. Raises DataError if unknown."""
    if name not in PREPARED:
        raise DataError(unknown_of_few("set", name, (*SETS, *PREPARED)))
    prepared = PREPARED[name]
    print(f"{name}: {prepared.summary}; {prepared.license} ({prepared.source})")
    print(f"it is no download: get the original and write data.csv into {assets_folder() / name}, with the columns")
    print(
        f"image, {', '.join(prepared.columns)}, and those that the study names (`assay list studies` says which need "
        "it)"
    )


def fetch_set(chosen: KnownSet, folder: Path) -> str:
    """Download and unpack a set, unless it is there, and return the SHA-256 of its archive.

    A download goes into a temporary file, is resumed where it was cut, and is unpacked only with the right checksum:
    the makers' where they state one, else that of the first download, kept in a file next to the folder.

    Raises:
        DataError: There is no connection, the download stopped, or the archive is another one or damaged.
    """
    from assay.core.files import file_hash
    from assay.models.weight_files import download, reachable
    from assay.store.files import write_text

    noted, part = folder.with_name(f"{folder.name}.sha256"), folder.with_name(f"{folder.name}.zip.part")
    before = noted.read_text(encoding="utf-8").strip() if noted.is_file() else ""
    if folder.is_dir():
        return before or chosen.sha256 or "not known: the folder was there before"
    folder.parent.mkdir(parents=True, exist_ok=True)
    by_hand = f"fetch {chosen.archive} by hand and unpack it into {folder}"
    for path in (folder, noted, part):
        if path.is_symlink():
            raise DataError(f"{path} is a link, and a download is not written behind one: remove it")
    if not reachable(chosen.archive):
        raise DataError(f"no connection to {chosen.archive.split('/')[2]}: {by_hand}")
    try:
        download(chosen.archive, part, None, f"unpack it into {folder}")
    except WeightsError as error:
        raise DataError(str(error)) from error
    digest, expected = file_hash(part), chosen.sha256 or before
    if expected and digest != expected:
        part.unlink()
        raise DataError(f"the archive has SHA-256 {digest}, expected {expected}: refused and removed; {by_hand}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        inside = Path(temporary) / "files"
        try:
            with ZipFile(part) as archive:
                unpacked = sum(file.file_size for file in archive.infolist())
            if unpacked > max(10 * part.stat().st_size, 10**9):  # images are packed already
                part.unlink()
                raise DataError(f"the archive unpacks to {unpacked / 1e9:,.0f} GB, and was removed; {by_hand}")
            shutil.unpack_archive(part, inside, "zip")
        except (BadZipFile, shutil.ReadError) as error:
            part.unlink()
            raise DataError(f"the archive is damaged or no zip file, and was removed; {by_hand}") from error
        only = list(inside.iterdir())
        write_text(noted, f"{digest}\n")
        (only[0] if chosen.wrapped and len(only) == 1 else inside).replace(folder)
    part.unlink()
    return digest
