"""Public surface for plug-ins: every name of Assay that a component of one's own needs.

A plug-in imports from this module, and from `assay` and `assay.testing`; other modules may move between versions. Each
name is imported from its module on first access, so that importing this module loads no PyTorch or pandas:

    from assay.plugin import component

    @component("intervention", "border", summary="a dark border")
    class Border:
        def __init__(self, *, width: float = 0.1) -> None: ...

docs/reference/plugin.md lists the names by topic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.core.errors import nearest

if TYPE_CHECKING:
    from assay.core.errors import AssayError, AssociationError, DataError, SpecError, StoreError, WeightsError
    from assay.core.map_grid import MapGrid
    from assay.core.measures import Measure, register_measures
    from assay.core.registry import Role, build, component, lookup
    from assay.core.seeds import derive, generator, row_seed, row_uniform
    from assay.core.traits import (
        ArchitectureTraits,
        ComponentKind,
        DataTraits,
        FineTuningTraits,
        LossTraits,
        MitigationTraits,
        Task,
    )
    from assay.core.types import Factor, FactorTable, Measurement, undefined
    from assay.data.cache import ArrayCache, default_cache_root
    from assay.data.cards import KnownSet
    from assay.data.dataset import (
        ONE_KIND,
        Batch,
        Card,
        Dataset,
        DrawsPairs,
        Images,
        Masks,
        NativeMasks,
        Phantom,
        PixelScale,
        Rendered,
        TellsKinds,
    )
    from assay.data.files.build import from_files
    from assay.data.files.fitting import placed
    from assay.data.files.load import load_dataset
    from assay.data.files.masks import Listing
    from assay.data.files.table import Problem
    from assay.data.phantoms.base import (
        DrawnPhantom,
        Halves,
        Levels,
        Marginal,
        PhantomDesign,
        PhantomRows,
        Shown,
        Skewed,
        Uniform,
    )
    from assay.data.phantoms.drawing import Grid
    from assay.data.phantoms.noise import spread, uniforms, white_noise
    from assay.maps.summary import Streamed
    from assay.models.checkpoint import deterministic, library_draws, load_weights, save_weights
    from assay.models.classifier import (
        ArchitectureContext,
        Classifier,
        InputScaling,
        LinearHead,
        Network,
        Outputs,
        as_network,
        build_network,
        empty_network,
        initialize_by_name,
    )
    from assay.models.initialization import FineTuning
    from assay.models.ref import Model
    from assay.models.segmenter import EncoderDecoder, Segmenter, reach, tiled
    from assay.models.weight_files import read_weights
    from assay.models.weights import start_of
    from assay.probes.explainers import Explainer, ExplainerError, Subject
    from assay.probes.probe import (
        Keeping,
        Probe,
        Read,
        Reading,
        Request,
        Sampled,
        Scope,
        clustered_error,
        mean_with_error,
    )
    from assay.probes.reader import ModelReading, ProbeResult, ReadingError, Recorder, run_probes
    from assay.shifts.checks import visibility
    from assay.shifts.distortions.base import Distortion, distorted
    from assay.shifts.environment import Environment, Scene, SobolDesign
    from assay.shifts.intervention import ChangedImages, Drawn, Draws, Intervention, Parameters, draw, mark_factor
    from assay.spec.recipe import Component, RecipeSpec
    from assay.spec.schema import DataSpec
    from assay.store.folder import RunFolder
    from assay.training.augmentation import Augmentation
    from assay.training.loop import Fitted, Interrupted, ProgressReport, fit
    from assay.training.losses.classification import widened, without_autocast
    from assay.training.mitigations import MitigatedObjective, Mitigation, Setting, groups_in, phases_of
    from assay.training.objective import LossContext, Objective, Progress
    from assay.training.optim import Schedule

__all__ = [
    "ONE_KIND",
    "ArchitectureContext",
    "ArchitectureTraits",
    "ArrayCache",
    "AssayError",
    "AssociationError",
    "Augmentation",
    "Batch",
    "Card",
    "ChangedImages",
    "Classifier",
    "Component",
    "ComponentKind",
    "DataError",
    "DataSpec",
    "DataTraits",
    "Dataset",
    "Distortion",
    "Drawn",
    "DrawnPhantom",
    "Draws",
    "DrawsPairs",
    "EncoderDecoder",
    "Environment",
    "Explainer",
    "ExplainerError",
    "Factor",
    "FactorTable",
    "FineTuning",
    "FineTuningTraits",
    "Fitted",
    "Grid",
    "Halves",
    "Images",
    "InputScaling",
    "Interrupted",
    "Intervention",
    "Keeping",
    "KnownSet",
    "Levels",
    "LinearHead",
    "Listing",
    "LossContext",
    "LossTraits",
    "MapGrid",
    "Marginal",
    "Masks",
    "Measure",
    "Measurement",
    "MitigatedObjective",
    "Mitigation",
    "MitigationTraits",
    "Model",
    "ModelReading",
    "NativeMasks",
    "Network",
    "Objective",
    "Outputs",
    "Parameters",
    "Phantom",
    "PhantomDesign",
    "PhantomRows",
    "PixelScale",
    "Probe",
    "ProbeResult",
    "Problem",
    "Progress",
    "ProgressReport",
    "Read",
    "Reading",
    "ReadingError",
    "RecipeSpec",
    "Recorder",
    "Rendered",
    "Request",
    "Role",
    "RunFolder",
    "Sampled",
    "Scene",
    "Schedule",
    "Scope",
    "Segmenter",
    "Setting",
    "Shown",
    "Skewed",
    "SobolDesign",
    "SpecError",
    "StoreError",
    "Streamed",
    "Subject",
    "Task",
    "TellsKinds",
    "Uniform",
    "WeightsError",
    "as_network",
    "build",
    "build_network",
    "clustered_error",
    "component",
    "default_cache_root",
    "derive",
    "deterministic",
    "distorted",
    "draw",
    "empty_network",
    "fit",
    "from_files",
    "generator",
    "groups_in",
    "initialize_by_name",
    "library_draws",
    "load_dataset",
    "load_weights",
    "lookup",
    "mark_factor",
    "mean_with_error",
    "phases_of",
    "placed",
    "reach",
    "read_weights",
    "register_measures",
    "row_seed",
    "row_uniform",
    "run_probes",
    "save_weights",
    "spread",
    "start_of",
    "tiled",
    "undefined",
    "uniforms",
    "visibility",
    "white_noise",
    "widened",
    "without_autocast",
]

_WHERE: dict[str, str] = {
    "ONE_KIND": "assay.data.dataset",
    "ArchitectureContext": "assay.models.classifier",
    "ArchitectureTraits": "assay.core.traits",
    "ArrayCache": "assay.data.cache",
    "AssayError": "assay.core.errors",
    "AssociationError": "assay.core.errors",
    "Augmentation": "assay.training.augmentation",
    "Batch": "assay.data.dataset",
    "Card": "assay.data.dataset",
    "ChangedImages": "assay.shifts.intervention",
    "Classifier": "assay.models.classifier",
    "Component": "assay.spec.recipe",
    "ComponentKind": "assay.core.traits",
    "DataError": "assay.core.errors",
    "DataSpec": "assay.spec.schema",
    "DataTraits": "assay.core.traits",
    "Dataset": "assay.data.dataset",
    "Distortion": "assay.shifts.distortions.base",
    "Drawn": "assay.shifts.intervention",
    "DrawnPhantom": "assay.data.phantoms.base",
    "Draws": "assay.shifts.intervention",
    "DrawsPairs": "assay.data.dataset",
    "EncoderDecoder": "assay.models.segmenter",
    "Environment": "assay.shifts.environment",
    "Explainer": "assay.probes.explainers",
    "ExplainerError": "assay.probes.explainers",
    "Factor": "assay.core.types",
    "FactorTable": "assay.core.types",
    "FineTuning": "assay.models.initialization",
    "FineTuningTraits": "assay.core.traits",
    "Fitted": "assay.training.loop",
    "Grid": "assay.data.phantoms.drawing",
    "Halves": "assay.data.phantoms.base",
    "Images": "assay.data.dataset",
    "InputScaling": "assay.models.classifier",
    "Interrupted": "assay.training.loop",
    "Intervention": "assay.shifts.intervention",
    "Keeping": "assay.probes.probe",
    "KnownSet": "assay.data.cards",
    "Levels": "assay.data.phantoms.base",
    "LinearHead": "assay.models.classifier",
    "Listing": "assay.data.files.masks",
    "LossContext": "assay.training.objective",
    "LossTraits": "assay.core.traits",
    "MapGrid": "assay.core.map_grid",
    "Marginal": "assay.data.phantoms.base",
    "Masks": "assay.data.dataset",
    "Measure": "assay.core.measures",
    "Measurement": "assay.core.types",
    "MitigatedObjective": "assay.training.mitigations",
    "Mitigation": "assay.training.mitigations",
    "MitigationTraits": "assay.core.traits",
    "Model": "assay.models.ref",
    "ModelReading": "assay.probes.reader",
    "NativeMasks": "assay.data.dataset",
    "Network": "assay.models.classifier",
    "Objective": "assay.training.objective",
    "Outputs": "assay.models.classifier",
    "Parameters": "assay.shifts.intervention",
    "Phantom": "assay.data.dataset",
    "PhantomDesign": "assay.data.phantoms.base",
    "PhantomRows": "assay.data.phantoms.base",
    "PixelScale": "assay.data.dataset",
    "Probe": "assay.probes.probe",
    "ProbeResult": "assay.probes.reader",
    "Problem": "assay.data.files.table",
    "Progress": "assay.training.objective",
    "ProgressReport": "assay.training.loop",
    "Read": "assay.probes.probe",
    "Reading": "assay.probes.probe",
    "ReadingError": "assay.probes.reader",
    "RecipeSpec": "assay.spec.recipe",
    "Recorder": "assay.probes.reader",
    "Rendered": "assay.data.dataset",
    "Request": "assay.probes.probe",
    "Role": "assay.core.registry",
    "RunFolder": "assay.store.folder",
    "Sampled": "assay.probes.probe",
    "Scene": "assay.shifts.environment",
    "Schedule": "assay.training.optim",
    "Scope": "assay.probes.probe",
    "Segmenter": "assay.models.segmenter",
    "Setting": "assay.training.mitigations",
    "Shown": "assay.data.phantoms.base",
    "Skewed": "assay.data.phantoms.base",
    "SobolDesign": "assay.shifts.environment",
    "SpecError": "assay.core.errors",
    "StoreError": "assay.core.errors",
    "Streamed": "assay.maps.summary",
    "Subject": "assay.probes.explainers",
    "Task": "assay.core.traits",
    "TellsKinds": "assay.data.dataset",
    "Uniform": "assay.data.phantoms.base",
    "WeightsError": "assay.core.errors",
    "as_network": "assay.models.classifier",
    "build": "assay.core.registry",
    "build_network": "assay.models.classifier",
    "clustered_error": "assay.probes.probe",
    "component": "assay.core.registry",
    "default_cache_root": "assay.data.cache",
    "derive": "assay.core.seeds",
    "deterministic": "assay.models.checkpoint",
    "distorted": "assay.shifts.distortions.base",
    "draw": "assay.shifts.intervention",
    "empty_network": "assay.models.classifier",
    "fit": "assay.training.loop",
    "from_files": "assay.data.files.build",
    "generator": "assay.core.seeds",
    "groups_in": "assay.training.mitigations",
    "initialize_by_name": "assay.models.classifier",
    "library_draws": "assay.models.checkpoint",
    "load_dataset": "assay.data.files.load",
    "load_weights": "assay.models.checkpoint",
    "lookup": "assay.core.registry",
    "mark_factor": "assay.shifts.intervention",
    "mean_with_error": "assay.probes.probe",
    "phases_of": "assay.training.mitigations",
    "placed": "assay.data.files.fitting",
    "reach": "assay.models.segmenter",
    "read_weights": "assay.models.weight_files",
    "register_measures": "assay.core.measures",
    "row_seed": "assay.core.seeds",
    "row_uniform": "assay.core.seeds",
    "run_probes": "assay.probes.reader",
    "save_weights": "assay.models.checkpoint",
    "spread": "assay.data.phantoms.noise",
    "start_of": "assay.models.weights",
    "tiled": "assay.models.segmenter",
    "undefined": "assay.core.types",
    "uniforms": "assay.data.phantoms.noise",
    "visibility": "assay.shifts.checks",
    "white_noise": "assay.data.phantoms.noise",
    "widened": "assay.training.losses.classification",
    "without_autocast": "assay.training.losses.classification",
}
"""Name to the module that defines it."""


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import a name from the module that defines it."""
        if name in _WHERE:
            return getattr(import_module(_WHERE[name]), name)
        near = None if name.startswith("_") else nearest(name, _WHERE)
        hint = f"; did you mean '{near}'?" if near else ""
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'{hint}")
