"""Public surface for plug-ins: every name of Assay that a component of one's own needs.

A plug-in imports from this module, and from `assay` and `assay.testing`; other modules may move between versions. Each
name is imported from its module on first access, so that a catalogue module starts without PyTorch or pandas:

    from assay.plugin import Params, register

    class BorderParams(Params):
        width: float = 0.1

    register("intervention", "border", "my_changes:Border", BorderParams, summary="a dark border")

docs/reference/plugin.md lists the names by topic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.core.errors import nearest

if TYPE_CHECKING:
    from assay.core.component import Component
    from assay.core.data_spec import DataSpec
    from assay.core.errors import AssayError, AssociationError, DataError, SpecError, StoreError, WeightsError
    from assay.core.maps import MapGrid
    from assay.core.registry import ComponentKind, NoParams, Params, build, lookup, register
    from assay.core.seeds import derive, generator, row_seed, row_uniform
    from assay.core.spec import RecipeSpec
    from assay.core.traits import (
        ArchitectureParams,
        FineTuningParams,
        ImageLossParams,
        LossParams,
        MitigationParams,
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
    from assay.data.phantoms.counter import spread, uniforms, white_noise
    from assay.data.phantoms.marginals import Halves, Levels, Marginal, Skewed, Uniform, quantile_of
    from assay.data.phantoms.request import check_difficulty, check_size, check_values
    from assay.data.sources import load_dataset
    from assay.data.sources.assemble import from_files
    from assay.data.sources.fitting import placed
    from assay.data.sources.listing import Listing
    from assay.data.sources.problems import Problem
    from assay.maps.summary import Streamed
    from assay.probes.activations import Recorder
    from assay.probes.explainers.explainer import Explainer, ExplainerError, Subject
    from assay.probes.network_output import ReadingError
    from assay.probes.probe import Keeping, Model, Probe, Read, Reading, Request, Sampled, Scope
    from assay.probes.reading import ModelReading
    from assay.probes.run import ProbeResult, run_probes
    from assay.probes.uncertainty import clustered_error, mean_with_error
    from assay.recipes.augmentation import Augmentation
    from assay.recipes.checkpoint import load_weights, save_weights
    from assay.recipes.head import LinearHead
    from assay.recipes.losses.precision import widened, without_autocast
    from assay.recipes.mitigations.mitigation import MitigatedObjective, Mitigation, Setting, groups_in, phases_of
    from assay.recipes.models import (
        ArchitectureContext,
        Classifier,
        InputScaling,
        as_network,
        build_network,
        empty_network,
        initialise_by_name,
    )
    from assay.recipes.network import Network, Outputs
    from assay.recipes.objective import LossContext, Objective, Progress
    from assay.recipes.randomness import deterministic, library_draws
    from assay.recipes.segmenter import EncoderDecoder, Segmenter
    from assay.recipes.tiling import reach, tiled
    from assay.recipes.train import Fitted, Interrupted, ProgressReport, fit
    from assay.recipes.weights.files import read_weights
    from assay.recipes.weights.load import start_of
    from assay.shifts.distortions.images import distorted
    from assay.shifts.environment import Environment, Scene, SobolDesign
    from assay.shifts.intervention import ChangedImages, Drawn, Draws, Intervention, Parameters, draw, mark_factor
    from assay.shifts.visibility import visibility
    from assay.store.folder import RunFolder

__all__ = [
    "ONE_KIND",
    "ArchitectureContext",
    "ArchitectureParams",
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
    "Dataset",
    "Drawn",
    "Draws",
    "DrawsPairs",
    "EncoderDecoder",
    "Environment",
    "Explainer",
    "ExplainerError",
    "Factor",
    "FactorTable",
    "FineTuningParams",
    "Fitted",
    "Halves",
    "ImageLossParams",
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
    "LossParams",
    "MapGrid",
    "Marginal",
    "Masks",
    "Measurement",
    "MitigatedObjective",
    "Mitigation",
    "MitigationParams",
    "Model",
    "ModelReading",
    "NativeMasks",
    "Network",
    "NoParams",
    "Objective",
    "Outputs",
    "Parameters",
    "Params",
    "Phantom",
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
    "RunFolder",
    "Sampled",
    "Scene",
    "Scope",
    "Segmenter",
    "Setting",
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
    "check_difficulty",
    "check_size",
    "check_values",
    "clustered_error",
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
    "initialise_by_name",
    "library_draws",
    "load_dataset",
    "load_weights",
    "lookup",
    "mark_factor",
    "mean_with_error",
    "phases_of",
    "placed",
    "quantile_of",
    "reach",
    "read_weights",
    "register",
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
    "ArchitectureContext": "assay.recipes.models",
    "ArchitectureParams": "assay.core.traits",
    "ArrayCache": "assay.data.cache",
    "AssayError": "assay.core.errors",
    "AssociationError": "assay.core.errors",
    "Augmentation": "assay.recipes.augmentation",
    "Batch": "assay.data.dataset",
    "Card": "assay.data.dataset",
    "ChangedImages": "assay.shifts.intervention",
    "Classifier": "assay.recipes.models",
    "Component": "assay.core.component",
    "ComponentKind": "assay.core.registry",
    "DataError": "assay.core.errors",
    "DataSpec": "assay.core.data_spec",
    "Dataset": "assay.data.dataset",
    "Drawn": "assay.shifts.intervention",
    "Draws": "assay.shifts.intervention",
    "DrawsPairs": "assay.data.dataset",
    "EncoderDecoder": "assay.recipes.segmenter",
    "Environment": "assay.shifts.environment",
    "Explainer": "assay.probes.explainers.explainer",
    "ExplainerError": "assay.probes.explainers.explainer",
    "Factor": "assay.core.types",
    "FactorTable": "assay.core.types",
    "FineTuningParams": "assay.core.traits",
    "Fitted": "assay.recipes.train",
    "Halves": "assay.data.phantoms.marginals",
    "ImageLossParams": "assay.core.traits",
    "Images": "assay.data.dataset",
    "InputScaling": "assay.recipes.models",
    "Interrupted": "assay.recipes.train",
    "Intervention": "assay.shifts.intervention",
    "Keeping": "assay.probes.probe",
    "KnownSet": "assay.data.cards",
    "Levels": "assay.data.phantoms.marginals",
    "LinearHead": "assay.recipes.head",
    "Listing": "assay.data.sources.listing",
    "LossContext": "assay.recipes.objective",
    "LossParams": "assay.core.traits",
    "MapGrid": "assay.core.maps",
    "Marginal": "assay.data.phantoms.marginals",
    "Masks": "assay.data.dataset",
    "Measurement": "assay.core.types",
    "MitigatedObjective": "assay.recipes.mitigations.mitigation",
    "Mitigation": "assay.recipes.mitigations.mitigation",
    "MitigationParams": "assay.core.traits",
    "Model": "assay.probes.probe",
    "ModelReading": "assay.probes.reading",
    "NativeMasks": "assay.data.dataset",
    "Network": "assay.recipes.network",
    "NoParams": "assay.core.registry",
    "Objective": "assay.recipes.objective",
    "Outputs": "assay.recipes.network",
    "Parameters": "assay.shifts.intervention",
    "Params": "assay.core.registry",
    "Phantom": "assay.data.dataset",
    "PixelScale": "assay.data.dataset",
    "Probe": "assay.probes.probe",
    "ProbeResult": "assay.probes.run",
    "Problem": "assay.data.sources.problems",
    "Progress": "assay.recipes.objective",
    "ProgressReport": "assay.recipes.train",
    "Read": "assay.probes.probe",
    "Reading": "assay.probes.probe",
    "ReadingError": "assay.probes.network_output",
    "RecipeSpec": "assay.core.spec",
    "Recorder": "assay.probes.activations",
    "Rendered": "assay.data.dataset",
    "Request": "assay.probes.probe",
    "RunFolder": "assay.store.folder",
    "Sampled": "assay.probes.probe",
    "Scene": "assay.shifts.environment",
    "Scope": "assay.probes.probe",
    "Segmenter": "assay.recipes.segmenter",
    "Setting": "assay.recipes.mitigations.mitigation",
    "Skewed": "assay.data.phantoms.marginals",
    "SobolDesign": "assay.shifts.environment",
    "SpecError": "assay.core.errors",
    "StoreError": "assay.core.errors",
    "Streamed": "assay.maps.summary",
    "Subject": "assay.probes.explainers.explainer",
    "Task": "assay.core.traits",
    "TellsKinds": "assay.data.dataset",
    "Uniform": "assay.data.phantoms.marginals",
    "WeightsError": "assay.core.errors",
    "as_network": "assay.recipes.models",
    "build": "assay.core.registry",
    "build_network": "assay.recipes.models",
    "check_difficulty": "assay.data.phantoms.request",
    "check_size": "assay.data.phantoms.request",
    "check_values": "assay.data.phantoms.request",
    "clustered_error": "assay.probes.uncertainty",
    "default_cache_root": "assay.data.cache",
    "derive": "assay.core.seeds",
    "deterministic": "assay.recipes.randomness",
    "distorted": "assay.shifts.distortions.images",
    "draw": "assay.shifts.intervention",
    "empty_network": "assay.recipes.models",
    "fit": "assay.recipes.train",
    "from_files": "assay.data.sources.assemble",
    "generator": "assay.core.seeds",
    "groups_in": "assay.recipes.mitigations.mitigation",
    "initialise_by_name": "assay.recipes.models",
    "library_draws": "assay.recipes.randomness",
    "load_dataset": "assay.data.sources",
    "load_weights": "assay.recipes.checkpoint",
    "lookup": "assay.core.registry",
    "mark_factor": "assay.shifts.intervention",
    "mean_with_error": "assay.probes.uncertainty",
    "phases_of": "assay.recipes.mitigations.mitigation",
    "placed": "assay.data.sources.fitting",
    "quantile_of": "assay.data.phantoms.marginals",
    "reach": "assay.recipes.tiling",
    "read_weights": "assay.recipes.weights.files",
    "register": "assay.core.registry",
    "row_seed": "assay.core.seeds",
    "row_uniform": "assay.core.seeds",
    "run_probes": "assay.probes.run",
    "save_weights": "assay.recipes.checkpoint",
    "spread": "assay.data.phantoms.counter",
    "start_of": "assay.recipes.weights.load",
    "tiled": "assay.recipes.tiling",
    "undefined": "assay.core.types",
    "uniforms": "assay.data.phantoms.counter",
    "visibility": "assay.shifts.visibility",
    "white_noise": "assay.data.phantoms.counter",
    "widened": "assay.recipes.losses.precision",
    "without_autocast": "assay.recipes.losses.precision",
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
