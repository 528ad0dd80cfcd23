"""What probes name in their arguments: test environments, and what a contrast by their measures can be of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from assay.core.axes import label
from assay.core.component import Component
from assay.core.errors import nearest
from assay.core.measures import MEASURES
from assay.core.problems import Problems, shorten
from assay.core.registry import entries, lookup
from assay.core.spec import ContrastSpec


def environments_of(probe: Component) -> dict[str, str]:
    """Argument -> the test environment that it names; none where it has its default."""
    named = lookup("probe", probe.name).params.environments
    return {argument: str(probe.params[argument]) for argument in named if argument in probe.params}


def check_probes(probes: Sequence[Component], tests: Collection[str], problems: Problems) -> None:
    """Every environment that a probe names is one that the study tests in."""
    for i, probe in enumerate(probes):
        for argument, given in environments_of(probe).items():
            if given not in tests:
                near = nearest(given, tests)
                meant = f"did you mean '{near}'?" if near else f"leave '{argument}' out, or add the environment"
                what = f"no such test environment: {shorten(list(tests))}"
                problems.add(("probes", i, probe.name, argument), given, what, meant)


def factor_names(
    contrast: ContrastSpec, factors: list[str] | None, probes: Sequence[Component] | None
) -> tuple[str, str, list[str] | None]:
    """What the field `factor` of a contrast names, what it says, and what it may say; None where that is not known."""
    measure = MEASURES.get(contrast.measure)
    if measure is not None and measure.probe == "robustness":
        families = None if ":" in contrast.factor else [entry.name for entry in entries("distortion")]
        return "distortion", contrast.factor, families
    if measure is not None and measure.probe == "attribution":
        known = [name for probe in probes or () if probe.name == measure.probe for name in _explainers(probe)]
        return "explainer", contrast.factor, known or None
    return "factor", contrast.factor, factors


def _explainers(probe: Component) -> list[str]:
    """The explainers of a probe as its tables call them."""
    params = lookup("probe", probe.name).params.model_validate(dict(probe.params))
    return [label(one) for one in params.model_dump()["explainers"]]
