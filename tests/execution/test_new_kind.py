"""A new kind of run in one file: it reads the brightness of images, goes on after a kill, and ends with a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from assay.core.files import content_hash
from assay.execution.local import InProcess, Workers
from assay.execution.run import RunSteps, carry_out
from assay.execution.tasks import Context, Task
from assay.plugin import RunFolder
from assay.report.block import Block, Query, Section
from assay.report.context import PageDefinition
from assay.store.kinds import Kind, kinds
from assay.store.schema import MODEL_TABLES
from assay.study.words import study_account

GROUP = "assay.kinds"

# The kind of run: its request, the job of one task, its page, and the two functions.


class Asked(BaseModel):
    """Images to read, in parts."""

    images: str
    parts: int = 3


@dataclass(frozen=True)
class ReadPart:
    """Reads the brightness of some images."""

    root: Path
    id: str
    images: Path
    rows: tuple[int, ...]

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        images = np.load(self.images)[list(self.rows)]
        none = np.zeros(len(self.rows), dtype=np.int64)
        columns = {"row": np.array(self.rows), "patient": np.array(self.rows), "target": none, "fold": none}
        logits = images.mean(axis=(1, 2), dtype=np.float64)[:, None].astype(np.float32)
        RunFolder(self.root).write_outputs(self.id, {**columns, "logits": logits}, {"environment": "all"})


def sections(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Sequence[Section]:
    """Return one section."""
    block = Block(id="bright", title="Brightness of images", query=Query(), chart="strip", row_columns=("environment",))
    return [Section("bright", "How bright images are", (block,))]


PAGE = PageDefinition(text=study_account, sections=sections)
KIND = Kind("brightness", "a reading of brightness", MODEL_TABLES, "read the images again", f"{__name__}:PAGE")


@dataclass(frozen=True)
class Brightness(RunSteps):
    """A run that reads one number of each image."""

    request: Asked
    remote: bool = True
    kind = KIND

    def _parts(self) -> dict[str, tuple[int, ...]]:
        count = len(np.load(self.request.images, mmap_mode="r"))
        parts = np.array_split(np.arange(count), self.request.parts)
        return {content_hash([self.request.images, one.tolist()]): tuple(one.tolist()) for one in parts}

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield the parts that were not read."""
        lacking = {id: rows for id, rows in self._parts().items() if not folder.complete("readings", id)}
        images = Path(self.request.images)
        yield [
            Task(id, ReadPart(folder.root, id, images, rows), f"images from {rows[0]}", remote=self.remote)
            for id, rows in lacking.items()
        ]

    def conclude(self, folder: RunFolder) -> Any:
        """Return the mean brightness."""
        read = [id for id in self._parts() if folder.complete("readings", id)]
        values = np.concatenate([folder.outputs(id)["logits"][:, 0] for id in read])
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        mean = float(values.mean())
        row = dict.fromkeys(MODEL_TABLES["estimates"].names, "")
        row |= {"recipe": "images", "coordinates": "{}", "measure": "auroc", "environment": "all", "value": mean}
        row |= {"low": mean - 2 * error, "high": mean + 2 * error, "standard_error": error, "df": len(values) - 1.0}
        row |= {"seeds": 0, "patients": len(values), "images": len(values), "chance": 0.5}
        facts = [{"key": "model", "value": "brightness"}, {"key": "images", "value": str(len(values))}]
        return {"estimates": [row], "provenance": facts}


# What it gets from the driver alone, as a kind of another package, which declares it by an entry point.


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "brightness-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brightness\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nbrightness = {__name__}:KIND\n")
    monkeypatch.syspath_prepend(tmp_path)
    kinds.cache_clear()
    yield
    kinds.cache_clear()


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).uniform(size=(30, 4, 4)).astype(np.float32))
    return Asked(images=str(tmp_path / "images.npy"))


@pytest.mark.parametrize("executor", [InProcess(), Workers(1)], ids=["here", "workers"])
def test_it_ends_with_tables_and_a_page(asked: Asked, tmp_path: Path, executor: Any) -> None:
    done = carry_out(Brightness(asked, isinstance(executor, InProcess)), tmp_path / "run", executor)
    (row,) = RunFolder(tmp_path / "run").table("estimates")
    assert row["value"] == pytest.approx(np.load(asked.images).mean(dtype=np.float64))
    assert done.page is not None
    assert "How bright images are" in done.page.read_text(encoding="utf-8")
    assert len(done.outcome.done) == 3


def test_it_goes_on_after_a_kill(asked: Asked, tmp_path: Path) -> None:
    @dataclass
    class Killed:
        """Ends after the first task, as a process that is killed."""

        def run(self, tasks: Sequence[Task], observe: object) -> None:
            tasks[0].job(Context(lambda share, word: None, lambda: False))
            raise SystemExit

    with pytest.raises(SystemExit):
        carry_out(Brightness(asked), tmp_path / "run", Killed())  # pyright: ignore[reportArgumentType]
    again = carry_out(Brightness(asked), tmp_path / "run", InProcess())
    assert len(again.outcome.done) == 2, "what was read stays"
    carry_out(Brightness(asked), tmp_path / "whole", InProcess())
    tables = [(tmp_path / name / "tables" / "estimates.parquet").read_bytes() for name in ("run", "whole")]
    assert tables[0] == tables[1]


def test_a_failure_is_kept_until_a_later_try_succeeds(asked: Asked, tmp_path: Path) -> None:
    def broken(context: Context) -> None:
        raise ValueError("no such image")

    class Broken(Brightness):
        def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
            for tasks in super().rounds(folder):
                yield [replace(task, job=broken) if task.label == "images from 0" else task for task in tasks]

    done = carry_out(Broken(asked), tmp_path / "run", InProcess())
    (id,) = done.outcome.failed
    assert "no such image" in RunFolder(tmp_path / "run").failures()[id]["text"]
    assert RunFolder(tmp_path / "run").table("estimates")[0]["images"] == 20
    carry_out(Brightness(asked), tmp_path / "run", InProcess())
    assert not RunFolder(tmp_path / "run").failures()
    assert RunFolder(tmp_path / "run").table("estimates")[0]["images"] == 30
