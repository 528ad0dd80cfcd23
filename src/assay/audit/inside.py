"""Look inside an audited network for evidence: columns that its features hold, and where its gradients are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.core.reasons import Code, Reason
from assay.core.seeds import folds_by_patient
from assay.models.ref import GivenModel
from assay.models.untyped import tensor_of
from assay.probes.decodability import FeatureSpace, decoding_tasks, score_spaces
from assay.probes.explainers import ExplainedNetwork, input_gradients
from assay.probes.reader import eval_mode
from assay.shifts.environment import Environment
from assay.stats.estimate import interval
from assay.stats.influence import sum_by_patient
from assay.stats.panel import df_over_patients
from assay.store.files import Row

MAX_EXPLAINED = 100
"""Most images whose gradients are computed."""
_N_FOLDS, _BATCH_SIZE = 5, 64
_MAX_BLACK = 2 / 255


def inside_rows(model: GivenModel, clean: Environment, device: str, seed: int) -> list[Row]:
    """Return rows of `tables.INSIDE`: evidence, never a verdict.

    They say which columns can be decoded from the features of the network, and where its gradients are.

    Args:
        model: The model.
        clean: The images.
        device: Device of the model.
        seed: Seed of folds.
    """
    if model.origin.opaque:
        return undefined_rows(Reason.of(Code.NOTHING_INSIDE, kind=model.origin.opaque))
    with model.open(device) as opened, eval_mode(opened.network):
        return [
            *_decodability_rows(opened.network, clean, device, seed),
            *_gradient_rows(opened.network, clean, device),
        ]


def undefined_rows(reason: Reason) -> list[Row]:
    """Return rows of `tables.INSIDE` that say why there is no evidence."""
    return [_undefined_row(kind, reason) for kind in ("encoded", "gradient-in-masks", "gradient-on-background")]


def _undefined_row(kind: str, reason: Reason, name: str = "") -> Row:
    return {"kind": kind, "name": name, "reason": str(reason), "images": 0, "patients": 0}


def _inside_row(kind: str, name: str, value: float, error: float, chance: float, patient: np.ndarray) -> Row:
    low, high = interval(value, error, df_over_patients(patient), (0.0, 1.0))
    return {
        "kind": kind,
        "name": name,
        "value": value,
        "low": low,
        "high": high,
        "chance": chance,
        "images": len(patient),
        "patients": len(np.unique(patient)),
        "reason": "",
    }


# Columns that a linear decoder reads from the features, within each class.


def _decodability_rows(network: nn.Module, clean: Environment, device: str, seed: int) -> Iterator[Row]:
    columns = tuple(factor for factor in clean.table.factors if factor.role != "core")
    if not columns:
        return
    subject = ExplainedNetwork.of(network, clean.images.read(np.arange(min(2, len(clean)))).to(device))
    heads = [step.module for step in subject.steps if isinstance(step.module, nn.Linear)]
    if not heads:
        yield _undefined_row("encoded", Reason.of(Code.NO_LINEAR_HEAD))
        return
    features = _layer_inputs(network, heads[-1], clean, device)
    table = replace(clean.table, factors=columns)
    tasks = decoding_tasks(table, _N_FOLDS, within_class=True)
    fold = folds_by_patient(table.patient, _N_FOLDS, seed)
    scores = score_spaces([FeatureSpace("trained", "features", features)], tasks, fold, table.patient, seed)
    for task in tasks:
        (score,) = scores[task.factor]
        if score.reason:
            yield _undefined_row("encoded", score.reason, task.factor)
        else:
            yield _inside_row("encoded", task.factor, score.value, score.error, 0.5, table.patient)


def _layer_inputs(network: nn.Module, head: nn.Module, clean: Environment, device: str) -> Float[np.ndarray, "n d"]:
    """Return the input of a layer for every image."""
    activations: list[Tensor] = []

    def record_inputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        activations.append(inputs[0].detach().float().cpu())

    handle = head.register_forward_pre_hook(record_inputs)
    try:
        with torch.inference_mode():
            for part in _index_batches(len(clean)):
                network(clean.images.read(part).to(device))
    finally:
        handle.remove()
    return torch.cat(
        [activation.reshape(len(activation), -1, activation.shape[-1]).mean(dim=1) for activation in activations]
    ).numpy()


# Where gradients are.


def _gradient_rows(network: nn.Module, clean: Environment, device: str) -> Iterator[Row]:
    """Yield the share of the gradient's size in masks and on the background, next to their share of the image."""
    index = np.linspace(0, len(clean) - 1, min(MAX_EXPLAINED, len(clean))).astype(np.int64)
    target = clean.table.target[index]
    maps: list[np.ndarray] = []
    background: list[np.ndarray] = []
    for part in _index_batches(len(index)):
        images = clean.images.read(index[part]).to(device)
        gradients = input_gradients(ExplainedNetwork(network, ()), images, tensor_of(target[part]).to(device))
        maps.append(gradients.abs().sum(dim=1).cpu().numpy())
        background.append(_background(images.mean(dim=1).cpu().numpy()))
    regions: dict[str, np.ndarray] = {"gradient-on-background": np.concatenate(background)}
    if clean.masks is not None:
        regions["gradient-in-masks"] = clean.masks.read(index).numpy()[:, 0] > 0
    else:
        yield _undefined_row("gradient-in-masks", Reason.of(Code.NO_MASKS))
    gradient_size = np.concatenate(maps)
    for kind, region in regions.items():
        has_region = region.any(axis=(1, 2)) & ~region.all(axis=(1, 2)) & (gradient_size.sum(axis=(1, 2)) > 0)
        patient = clean.table.patient[index][has_region]
        if len(np.unique(patient)) < 2:
            yield _undefined_row(kind, Reason.of(Code.NO_REGION))
            continue
        share = (gradient_size * region).sum(axis=(1, 2))[has_region] / gradient_size.sum(axis=(1, 2))[has_region]
        error = sum_by_patient((share - share.mean()) / len(share), patient).standard_error
        area = float(region[has_region].mean())
        yield _inside_row(kind, "", float(share.mean()), error, area, patient)


def _background(gray: Float[np.ndarray, "b h w"]) -> Bool[np.ndarray, "b h w"]:
    """Return black pixels that are connected with the border."""
    from scipy.ndimage import binary_propagation  # here, since it takes time that others need not wait for

    black = gray <= _MAX_BLACK
    edge = np.ones(gray.shape, dtype=bool)
    edge[:, 1:-1, 1:-1] = False
    pairs = zip(black & edge, black, strict=True)
    return np.stack([np.asarray(binary_propagation(seed, mask=mask)) for seed, mask in pairs])


def _index_batches(count: int) -> Sequence[np.ndarray]:
    return np.array_split(np.arange(count), max(1, -(-count // _BATCH_SIZE)))
