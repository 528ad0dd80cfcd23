"""The test environments that probes name in their arguments."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from assay.core.component import Component
from assay.core.errors import nearest
from assay.core.problems import Problems, shorten
from assay.core.registry import lookup


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
