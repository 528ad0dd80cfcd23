"""Requests to probe a model that was trained elsewhere: data, environments to test on, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.core.request import Task
from assay.spec.document import Document, mapping_of, plain
from assay.spec.parse import check_study
from assay.spec.recipe import Component, Frozen
from assay.spec.schema import DataSpec, EnvironmentSpec


class ProbeSpec(Frozen):
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
        return content_hash(self.model_copy(update={"data": self.data.without_words()}).canonical())


def parse_request(
    data: Mapping[str, Any],
    environments: Mapping[str, Any],
    probes: Sequence[str | Mapping[str, Any]],
    task: Task = "classification",
) -> ProbeSpec:
    """Check a request, as a study of one recipe that is never trained.

    Args:
        data: As the `data` section of a study.
        environments: As the `environments` of a study, without `train`.
        probes: As the `probes` of a study.
        task: Classification of images, or segmentation.

    Raises:
        SpecError: Something is wrong; the text names the first five issues.
    """
    alike = [(mapping_of(environment) or {}).get("like") for environment in environments.values()]
    if "train" in [*environments, *alike]:
        raise SpecError(
            "environments: 'train' is what a study trains on, and nothing is trained here; name it otherwise"
        )
    tests: dict[str, Any] = {"train": {}, **environments}
    parts = {"data": dict(data), "environments": tests, "probes": list(probes)}
    values = plain({"name": "request", "recipe": {"task": task}, **parts})
    study = check_study(Document(cast("dict[str, Any]", values)))
    return ProbeSpec(task=task, data=study.data, tests=study.points[0].tests, probes=study.probes)
