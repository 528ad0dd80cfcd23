"""What a study must have, and must not ask, because of what its networks say: a class an image, or one a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.component import Component
from assay.core.data_spec import DataSpec
from assay.core.document import mapping_of
from assay.core.factors import has_masks
from assay.core.measures import NATIVE
from assay.core.problems import Problems
from assay.core.spec import ContrastSpec, RecipePoint

_OF_MAPS = ("segmentation", "lesion-free")
"""Probes that look at maps of logits."""


def usual_probes(values: Mapping[str, Any]) -> list[str]:
    """The probes of a study that names none: those of a segmentation ask what it does where there is no lesion too."""
    asked = (mapping_of(values.get("recipe")) or {}).get("task")
    return ["performance", *_OF_MAPS] if asked == "segmentation" else ["performance"]


def check_task(
    points: Sequence[RecipePoint],
    data: DataSpec | None,
    contrasts: Sequence[ContrastSpec | None],
    probes: Sequence[Component] | None,
    problems: Problems,
) -> None:
    """One task, images that have masks where pixels are told apart, probes and contrasts that it can answer."""
    tasks = list(dict.fromkeys(point.recipe.task for point in points))
    if len(tasks) > 1:
        what = "recipes of both tasks in one study, whose answers cannot be compared: keep one task"
        problems.add(("recipe", "task"), ", ".join(tasks), what)
        return
    if tasks == ["classification"]:
        for i, probe in enumerate(probes or ()):
            if probe.name in _OF_MAPS:
                what = f"probe '{probe.name}' reads logits of pixels, and the recipes classify images"
                problems.add(("probes", i), probe.name, what, "set recipe.task to segmentation, or leave the probe out")
        return
    _check_native(data, contrasts, probes or (), problems)
    if data is not None and _without_masks(data):
        remedy = "name the column of masks in data.mask, or table: '' for the folders images/ and masks/"
        problems.add(("recipe", "task"), "segmentation", "these data have no masks", remedy)
    for i, contrast in enumerate(contrasts):
        if contrast is not None and contrast.at == "matched-fit":
            what = "matched fit refits a head on pooled features, which a segmentation has no use for"
            problems.add(("contrasts", i, "at"), contrast.at, what, "leave `at` out; quietness is compared at matched "
                         "sensitivity by the measures false-positive-rate-at-80, -90 and -95")  # fmt: skip


def asks_native(probes: Sequence[Component]) -> bool:
    """Whether maps are to be measured at the size of the images' files too."""
    return any(probe.name == "segmentation" and probe.params.get("native") for probe in probes)


def _check_native(
    data: DataSpec | None,
    contrasts: Sequence[ContrastSpec | None],
    probes: Sequence[Component],
    problems: Problems,
) -> None:
    """Native size is that of files, and what is compared at it must be measured at it."""
    asked = asks_native(probes)
    if asked and data is not None and data.phantom is not None:
        at = next(i for i, probe in enumerate(probes) if asks_native([probe]))
        what = f"a phantom has no native size: its images are drawn at data.size, {data.size} px"
        problems.add(("probes", at, "segmentation", "native"), True, what, "leave `native` out, or raise data.size")
    for i, contrast in enumerate(contrasts):
        if contrast is not None and contrast.measure in NATIVE and not asked:
            what = "is measured at native size, which no probe of this study is asked for"
            remedy = "write probes: [{segmentation: {native: true}}]"
            problems.add(("contrasts", i, "measure"), contrast.measure, what, remedy)


def _without_masks(data: DataSpec) -> bool:
    """Whether it is known from the spec alone that no image has a mask."""
    return bool(data.classes or data.medmnist or (data.folder and data.table and not has_masks(data)))
