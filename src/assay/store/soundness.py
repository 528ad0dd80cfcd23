"""Soundness of a run folder: which of its files are as its run left them, and which may be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StoreError
from assay.core.files import is_file
from assay.store.folder import RunFolder, remove_unit
from assay.store.layout import PAGE, RUN, UNIT_KINDS, UnitKind
from assay.store.manifest import (
    MANIFEST,
    SIGNATURE,
    SIGNED,
    UNLINK,
    FileChange,
    FileStates,
    added_file_remedy,
    added_files,
    altered_files,
    changes,
    find_nonregular_files,
    read_manifest,
    signature_remedy,
    write_manifest,
)
from assay.store.packs import PACKS, recorded_packs

_RECORD = "record.json"
_NEVER_REMADE = ("stated.json", "registration.json", "replication.json")
_FACTS = (*_NEVER_REMADE, "described.json", "finished.json", "plan.json", RUN, "study.json", "verdicts.json")
"""Files of a run folder, beside its units and tables, that a page or a later run reads."""
_MAY_LACK = "weights.safetensors"
"""Deleted after the probes where a study keeps none."""


@dataclass(frozen=True)
class Soundness:
    """A run folder with its manifest, or with the records of its units where it has none.

    Attributes:
        folder: The run folder.
    """

    folder: RunFolder

    @property
    def root(self) -> Path:
        """The path of the folder."""
        return self.folder.root

    def seal(self, *, ours: bool = True, added: FileStates | None = None) -> None:
        """Write the manifest, for whoever holds the folder, when all files of a run are written.

        Files of units have the checksums of their records there, so that a change before now is found, too.

        Args:
            ours: Whether this process wrote all of it; else the folder is as well known here as before.
            added: Files that somebody else put there; see `write_manifest`.

        Raises:
            StoreError: A record is damaged.
        """
        packed_sums = recorded_packs(self.root)
        for kind, id in self.folder.units():
            packed_sums |= self.folder.recorded_sums(kind, id)
        write_manifest(self.root, packed_sums, ours=ours, added=added)

    def altered_units(self, units: Iterable[tuple[UnitKind, str]] | None = None) -> list[FileChange]:
        """Return the files of complete units that are missing or altered by their records. Weights may be gone.

        Args:
            units: Kinds and ids; all units, and packs, where None.
        """
        wanted = recorded_packs(self.root) if units is None else {}
        changes: list[FileChange] = []
        for kind, id in self.folder.units() if units is None else units:
            try:
                wanted |= self.folder.recorded_sums(kind, id)
            except StoreError:
                changes.append(FileChange("changed", self.folder.unit(kind, id) / _RECORD))
        changes += altered_files(self.root, wanted)
        return [change for change in changes if (change.how, change.path.name) != ("missing", _MAY_LACK)]

    def changes(self, parts: Collection[str] = ()) -> list[FileChange]:
        """Return the files that are missing, altered or added since the manifest was written.

        Where it is missing or damaged, it is among them, and files of units are compared with their records; of a run
        that did not end only these are.

        Args:
            parts: See `store.manifest.changes`.
        """
        path, links = self.root / MANIFEST, find_nonregular_files(self.root)
        sealed = False
        with suppress(StoreError):
            sealed = read_manifest(self.root) is not None
        if sealed:
            return [*links, *changes(self.root, parts)]
        exists = path.is_file()
        manifest_changes = (
            [FileChange("changed" if exists else "missing", path)]
            if exists or self.folder.has_ended or self.is_signed
            else []
        )
        return [*links, *manifest_changes, *(() if parts else self.altered_units())]

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature, of these data or of others."""
        return (self.root / SIGNATURE).is_file()

    def remedy(self, change: FileChange) -> str:
        """Return what brings a file back."""
        if change.how in ("link", "stream"):
            return UNLINK
        place, again = change.path.relative_to(self.root).parts[0], "run the same command again"
        with suppress(StoreError):
            again = self.folder.require_run().remedy
        if self._remade(change):
            return f"`assay report {self.root}` writes it again"
        if change.how == "extra":
            what = "its folder" if place in UNIT_KINDS and change.path.name == _RECORD else "it"
            return added_file_remedy(what)
        if change.path.name in (SIGNED, SIGNATURE):
            return signature_remedy(self.root, "them" if change.how == "unsigned" else "it")
        if (self.is_signed and self.folder.has_ended) or change.path.name in _NEVER_REMADE:
            return "restore it from a copy"
        if change.how == "missing":
            return again
        what = "its folder" if place in UNIT_KINDS else "it, with its .json," if place == PACKS else "this file"
        return f"delete {what} and {again}"

    def _remade(self, change: FileChange) -> bool:
        """Return whether a file is made with the page: the page itself, and unsigned tables if records suffice."""
        name = change.path.relative_to(self.root).parts[0]
        if name == PAGE or self.is_signed or change.how == "extra":
            return name == PAGE
        with suppress(StoreError):
            return bool(self.folder.require_run().rebuild) and name in ("tables", MANIFEST)
        return False

    def require(self, parts: Collection[str] = (), *, but_remade: bool = False, page: bool = False) -> None:
        """Compare files with the manifest, and it with its signature, before anything is read.

        Args:
            parts: Folders of which files are read; all where empty.
            but_remade: Files that are made with the page may be missing or altered.
            page: The page may not be, of which nothing else is read.

        Raises:
            StoreError: A file is missing or altered, was added to what is signed or to what is read, or the signature
                is of other data.
        """
        self._refuse(
            [
                change
                for change in self.changes(parts)
                if (self.is_signed or change.how != "extra" or (not parts and self.is_read(change.path)))
                and (
                    change.how in ("link", "stream")
                    or not (self._remade(change) if but_remade else change.path.name == PAGE and not page)
                )
            ]
        )

    def is_read(self, path: Path) -> bool:
        """Return whether the tables or the page of this folder may be made of a file, wherever it comes from."""
        *folders, name = path.relative_to(self.root).parts
        if not folders:
            return name in _FACTS
        if folders[0] == "failures":
            return name.endswith(".json")
        if folders[0] in UNIT_KINDS:
            return name == _RECORD
        return (folders[0], path.suffix) in ((PACKS, ".json"), ("tables", ".parquet"), ("pictures", ".png"))

    def refuse_added(self, *, units_remade: bool = False) -> None:
        """Check that nobody added to the last run here what another one would read. For who holds the folder.

        Args:
            units_remade: Whether units that were added are removed and made again: they may be of a run that was
                refused after it had written them, which leaves an earlier run as it was.

        Raises:
            StoreError: A file was added.
        """
        if units_remade:
            self.remove_added_units()
        added = [FileChange("extra", self.root / name) for name in added_files(self.root)]
        self._refuse([change for change in added if self.is_read(change.path)])

    def remove_added_units(self) -> None:
        """Remove units, and words on failures, that the last run which ended here did not write."""
        for path in (self.root / name for name in added_files(self.root)):
            if path.name == _RECORD and self.is_read(path):
                remove_unit(path.parent)
            elif path.parent == self.root / "failures":
                path.unlink(missing_ok=True)

    @property
    def has_external_facts(self) -> bool:
        """Whether it has facts that no run makes of others, such as what is replicated."""
        return any(is_file(self.root / name) for name in _NEVER_REMADE)

    def _refuse(self, wrong: Sequence[FileChange]) -> None:
        if wrong:
            more = f" (and {len(wrong) - 1:,} more: `assay doctor {self.root}`)" if len(wrong) > 1 else ""
            raise StoreError(f"{wrong[0].text}{more}; {self.remedy(wrong[0])}")
