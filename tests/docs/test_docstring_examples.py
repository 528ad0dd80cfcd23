"""Every example in a docstring runs, and every function that a user calls has one."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.docs.reading import ROOT

import assay
from assay import plugin, stats
from assay.plugin import ComponentKind

SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
STATS = (
    "bounds", "collapse", "compare", "corruption", "decisions", "estimate", "groups", "influence", "joint", "maps",
    "metrics", "power", "ridge", "scores", "similarity",
)  # fmt: skip
"""Modules of `assay.stats` that a user calls."""
SHOWN = {
    "Study.run": "trains networks for minutes",
    "Run.export": "needs a trained network",
    "Run.export_start": "needs a trained network",
    "load_model": "needs a trained network",
    "component": "stays declared in the process",
    "distort": "needs an environment of a study",
    "fit": "trains networks for minutes",
    "from_files": "needs a loader with its own files",
    "run_probes": "needs a trained network",
}
"""Functions whose example is a block of code that does not run, and why."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    with np.printoptions(legacy=False):
        failed, attempted = doctest.testmod(import_module(name))
    assert attempted > 0
    assert failed == 0


def without_example(public: Mapping[str, object]) -> list[str]:
    """Names whose docstring has no example that runs, and none that is shown where it may be."""
    texts = {name: (inspect.getdoc(value) or "").partition("Examples:\n")[2] for name, value in public.items()}
    return [name for name, text in texts.items() if not text or (">>> " not in text and name not in SHOWN)]


def test_everything_in_assay_has_an_example() -> None:
    public = {name: getattr(assay, name) for name in assay.__all__}
    for kind in (assay.Study, assay.Run):
        methods = inspect.getmembers(kind, inspect.isfunction)
        public |= {f"{kind.__name__}.{name}": method for name, method in methods if not name.startswith("_")}
    assert without_example(public) == []


@pytest.mark.parametrize("name", STATS)
def test_every_function_of_statistics_has_an_example(name: str) -> None:
    module = import_module(f"assay.stats.{name}")
    members = inspect.getmembers(module, lambda value: callable(value) and not inspect.isclass(value))
    public = {name: value for name, value in members if getattr(value, "__module__", "") == module.__name__}
    public = {name: value for name, value in public.items() if not name.startswith("_")}
    assert public
    assert without_example(public) == []


def test_everything_that_a_user_calls_of_statistics_has_an_example() -> None:
    public = {name: getattr(stats, name) for name in dir(stats)}
    assert without_example({name: value for name, value in public.items() if inspect.isfunction(value)}) == []


def test_every_function_of_plug_ins_has_an_example() -> None:
    public = {name: getattr(plugin, name) for name in dir(plugin)}
    assert without_example({name: value for name, value in public.items() if inspect.isfunction(value)}) == []


def classes_of(door: ModuleType) -> dict[str, object]:
    return {name: getattr(door, name) for name in dir(door) if inspect.isclass(getattr(door, name))}


def test_every_class_of_statistics_has_an_example() -> None:
    assert without_example(classes_of(stats)) == []


CLASSES_WITHOUT_EXAMPLE = {
    "errors, raised by Assay": (
        "AssociationError", "DataError", "ExplainerError", "FullError", "ReadingError", "StoreError", "WeightsError",
    ),
    "protocols whose implementation docs/how-to shows": (
        "DrawnPhantom", "DrawsPairs", "KeepsActivations", "Masks", "NativeMasks", "Phantom", "Probe", "Reading",
        "Scene", "TellsKinds",
    ),
    "made by Assay from a study or a folder": (
        "ChangedImages", "Dataset", "Environment", "TrainingResult", "KnownSet", "Listing", "Problem", "RunFolder",
    ),
}  # fmt: skip


def test_every_class_of_plug_ins_has_an_example() -> None:
    exempt = [name for names in CLASSES_WITHOUT_EXAMPLE.values() for name in names]
    assert without_example(classes_of(plugin)) == sorted(exempt)


KINDS_WITHOUT_EXAMPLE = {
    "dataset": "needs a public set's files",
    "measure": "is a function, which has one",
}
WITHOUT_EXAMPLE = {
    "initialization": ["download", "file", "random-statistics", "source", "timm"],  # of files, networks and sets
    "probe": ["attribution", "lesion-free", "painting", "reinitialization", "segmentation"],  # of masks and trainings
}
"""Components that need what an example has not; docs/reference has their results."""


@pytest.mark.parametrize("kind", sorted({entry.kind for entry in plugin.entries()} - KINDS_WITHOUT_EXAMPLE.keys()))
def test_every_component_has_an_example(kind: ComponentKind) -> None:
    targets = {entry.name: entry.target.partition(":") for entry in plugin.entries(kind)}
    components = {name: getattr(import_module(module), code) for name, (module, _, code) in targets.items()}
    assert without_example(components) == WITHOUT_EXAMPLE.get(kind, [])
