"""Requests to probe a model that was trained elsewhere: data, environments to test on, probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.core.request import Task
from assay.core.types import Factor
from assay.spec.checks import (
    PROBES_OF_MAPS,
    check_core,
    check_environment,
    check_native,
    check_probes,
    without_masks,
)
from assay.spec.data import data_section, declared_factors, imported_factors, refused_size
from assay.spec.document import Document, leaves, mapping_of, plain
from assay.spec.environments import Factors, environment, not_inherited, resolve_environments, written_out
from assay.spec.issues import Issues, validated
from assay.spec.parse import Probes
from assay.spec.recipe import Component, Frozen
from assay.spec.schema import DataSpec, EnvironmentSpec


class ProbeRequest(Frozen):
    """A request to probe one model in every environment. Nothing is trained.

    Attributes:
        task: Classification of images, or segmentation.
        data: The images. All rows of files are test rows, whatever their split says.
        tests: The environments, by name.
        probes: The probes.
    """

    task: Task = "classification"
    data: DataSpec
    tests: Mapping[str, EnvironmentSpec]
    probes: tuple[Component, ...]

    @property
    def id(self) -> str:
        """Hash of the request."""
        return content_hash(self.canonical())


def parse_request(
    data: Mapping[str, Any],
    environments: Mapping[str, Any],
    probes: Sequence[str | Mapping[str, Any]],
    task: Task = "classification",
) -> ProbeRequest:
    """Check a request.

    Args:
        data: As the `data` section of a study.
        environments: As the `environments` of a study, without `train`.
        probes: As the `probes` of a study.
        task: Classification of images, or segmentation.

    Raises:
        SpecError: Something is wrong; the text names the first five issues.
    """
    alike = [(mapping_of(one) or {}).get("like") for one in environments.values()]
    if "train" in [*environments, *alike]:
        raise SpecError(
            "environments: 'train' is what a study trains on, and nothing is trained here; name it otherwise"
        )
    written = {"data": dict(data), "environments": dict(environments), "probes": list(probes)}
    values = cast("dict[str, Any]", plain(written))
    issues = Issues(Document(values))
    for keys, value in leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            issues.add(keys, value, "expected a finite number")
    issues.raise_found()
    images = data_section(values["data"], issues)
    asked = validated(Probes, {"probes": values["probes"]}, (), issues)
    tests = _environments(values["environments"], issues, Factors.of(images))
    issues.raise_found()
    assert images is not None
    assert asked is not None
    _check_together(images, tests, asked.probes, task, issues)
    issues.raise_found()
    for check in issues.later:
        check()
    issues.raise_found()
    return ProbeRequest(task=task, data=images, tests=tests, probes=asked.probes)


def _environments(written: Mapping[str, Any], issues: Issues, factors: Factors) -> dict[str, EnvironmentSpec]:
    """Return the environments; those with an issue are left out and the issue is noted."""
    if not written:
        issues.add(("environments",), "", "expected at least one environment to test on, such as {all: {}}")
    resolved, inherited = resolve_environments(written, issues)
    here = issues.at(inherited)
    partial = not_inherited(here)
    found: dict[str, EnvironmentSpec] = {}
    for name, given in resolved.items():
        at = ("environments", name)
        whole, origins, _ = written_out(given, at, here, factors, partial=name in partial)
        here = issues.at({**{made: here.source(origin) for made, origin in origins.items()}, **here.origins})
        made = environment(whole, at, here)
        if made is None:
            continue
        if made.split == "train":
            here.add((*at, "split"), "train", "all rows are tested, and none is trained on", "leave `split` out")
        if made.rows is not None or made.fraction is not None:
            key = "rows" if made.rows is not None else "fraction"
            what = f"{key}: how much is trained on; a test environment keeps all of its own rows"
            here.add((*at, key), getattr(made, key), what, "leave it out")
        found[name] = made
    return found


def _check_together(
    data: DataSpec,
    tests: Mapping[str, EnvironmentSpec],
    probes: Sequence[Component],
    task: Task,
    issues: Issues,
) -> None:
    """Check the parts that depend on the data's factors and on the task. A phantom is imported for this."""
    _check_task(data, probes, task, issues)
    check_probes(probes, list(tests), issues)
    factors: Mapping[str, Factor] | None = declared_factors(data)
    if factors is None and data.phantom is not None and not issues.found:
        factors = imported_factors(data.phantom)
    if factors is not None:
        check_core(data, factors, ("data",), issues)
        for name, made in tests.items():
            check_environment(name, made, data, factors, issues)
    if data.phantom is not None and not issues.found and (why := refused_size(data.phantom, data.size)):
        issues.add(("data", "size"), "", why)


def _check_task(data: DataSpec, probes: Sequence[Component], task: Task, issues: Issues) -> None:
    """Check that the model's outputs and the images are of the kind that the probes need."""
    if task == "classification":
        for i, probe in enumerate(probes):
            if probe.name in PROBES_OF_MAPS:
                what = f"probe '{probe.name}' reads logits of pixels, and this model classifies images"
                issues.add(("probes", i), probe.name, what, "give task='segmentation', or leave the probe out")
        return
    check_native(data, (), probes, issues)
    if without_masks(data):
        remedy = "name the column of masks in data.mask, or table: '' for the folders images/ and masks/"
        issues.add(("task",), "segmentation", "these data have no masks", remedy)
