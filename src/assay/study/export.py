"""Starts that a study trained, written for others."""

from __future__ import annotations

from pathlib import Path

from assay.core.errors import StoreError, WeightsError, nearest
from assay.data.cache import default_cache_root
from assay.models.checkpoint import WEIGHTS_FILE
from assay.models.weight_files import export_trunk
from assay.store.folder import RunFolder
from assay.study.records import stored_study


def export_start(root: Path, start: str, path: Path, seed: int | None = None, fold: int = 0) -> Path:
    """See `assay.Run.export`."""
    sources = stored_study(root).plan.sources
    names = list(dict.fromkeys(source.name for source in sources))
    if start not in names:
        near = nearest(start, names)
        meant = f"did you mean '{near}'?" if near else f"it trained {', '.join(names) or 'none'}"
        raise StoreError(f"the study in {root} trained no start '{start}': {meant}")
    own = [source for source in sources if source.name == start]
    wanted = own[0].training.seed if seed is None else seed
    found = next((one for one in own if (one.training.seed, one.training.fold) == (wanted, fold)), None)
    if found is None:
        seeds = ", ".join(map(str, sorted({one.training.seed for one in own})))
        raise StoreError(f"start '{start}' has no seed {wanted}, fold {fold}: its seeds are {seeds}")
    folder = RunFolder(root)
    status = folder.record("sources", found.id)["status"] if folder.complete("sources", found.id) else "not trained"
    if status != "done":
        raise StoreError(f"{found.label} is {status}: there are no weights to export")
    kept = default_cache_root() / "sources" / found.id / WEIGHTS_FILE
    if not kept.is_file():
        raise WeightsError(f"source {found.id} is not in {kept.parent.parent}: run its study again, which trains it")
    architecture = found.training.recipe.architecture.label
    export_trunk(kept, path, {"architecture": architecture, "trained_by": f"assay {found.id}"})
    return path
