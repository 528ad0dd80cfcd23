"""Environments that isolate factors: neutral associations and Sobol' designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError, unknown_name
from assay.shifts.environment import Environment
from assay.shifts.intervention import changes_of, unchanged, with_changes
from assay.shifts.sampling import drawn
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

# Environments derived from the test environments of a scene: the neutral one, interventions put on and taken off.

NEUTRAL = "(neutral)"
INDEPENDENT = "(independent)"
"""Names of environments that a scene makes by itself; in parentheses, so that no environment of a spec has them."""

ENDS = ("low", "high")


@dataclass(frozen=True)
class Tests:
    """The test environments of a scene, by name."""

    specs: Mapping[str, EnvironmentSpec]

    @property
    def home(self) -> str:
        """The set of the neutral rows: the training set (""), or that of the first test where no test is of it."""
        sets = [test.data for test in self.specs.values()]
        return sets[0] if sets and "" not in sets else ""

    @property
    def at_home(self) -> Tests:
        """The test environments of the same set as the neutral rows."""
        return Tests({name: test for name, test in self.specs.items() if test.data == self.home})

    def named(self, name: str) -> EnvironmentSpec:
        """Return the environment of that name. Raises SpecError."""
        if name not in self.specs:
            raise SpecError(unknown_name("environment", name, tuple(self.specs)))
        return self.specs[name]

    @property
    def interventions(self) -> dict[str, InterventionSpec]:
        """Interventions of the test environments, each as the first environment that has it states it."""
        found: dict[str, InterventionSpec] = {}
        for test in self.specs.values():
            for name, spec in test.interventions.items():
                found.setdefault(name, spec)
        return found

    @property
    def shared(self) -> dict[str, InterventionSpec]:
        """Interventions that every test environment puts on all of its images by `share: 1`, with the same arguments.

        Shares by class, as a dose has them, are no such thing even where all are 1: images that others are compared
        with would change from dose to dose.
        """
        common: dict[str, InterventionSpec] = _common([test.interventions for test in self.specs.values()])
        tied = {name for test in self.specs.values() for name in test.association}
        return {name: spec for name, spec in common.items() if spec.share == 1 and name not in tied}

    @property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """Every factor and intervention that any test environment ties, with the high levels that the first states."""
        found: dict[str, tuple[str, ...]] = {}
        for test in self.specs.values():
            for name, tie in test.association.items():
                found.setdefault(name, tie.high)
        return found

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Differences between two test environments in the statements of one factor or intervention, in sentences."""
        said: list[str] = []
        arguments: dict[str, tuple[str, Any]] = {}
        levels: dict[str, tuple[str, Any]] = {}
        for test, spec in self.specs.items():
            made = {name: one.change for name, one in spec.interventions.items()}
            tied = {name: tie.high for name, tie in spec.association.items() if tie.high}
            for what, stated, firsts in (("arguments", made, arguments), ("high levels", tied, levels)):
                for name, value in stated.items():
                    first, decides = firsts.setdefault(name, (test, value))
                    if value != decides:
                        said.append(
                            f"'{test}' states other {what} of '{name}' than '{first}', by which probes go that change "
                            "it alone, and the neutral rows"
                        )
        return tuple(said)

    @property
    def neutral(self) -> EnvironmentSpec:
        """The environment in which nothing is tied, with the common settings of all test environments. Common settings
        stay: a difficulty, a restriction to some values, or an intervention on all images, that every one of them has
        is a property of the study and not a shift. Every factor that any test ties is stated with strength 0, since
        files need it to choose rows.
        """
        tests = list(self.specs.values())
        factors = sorted(set(self.ties) - set(self.interventions))
        return EnvironmentSpec(
            data=self.home,
            association={name: AssociationSpec(strength=0.0, high=self.ties[name]) for name in factors},
            interventions=self.shared,
            where=_common([test.where for test in tests]),
            difficulty=_common([test.difficulty for test in tests]),
        )

    def agreed(self, factor: str) -> dict[str, AssociationSpec]:
        """Return the association of a factor when every test environment states the same one, else nothing."""
        return _common(
            [{factor: test.association[factor]} if factor in test.association else {} for test in self.specs.values()]
        )

    def described(self, name: str, neutral: EnvironmentSpec) -> dict[str, Any]:
        """Return the part of an environment's identity that the spec decides; for `(neutral)` with the possible
        changes.

        Args:
            neutral: The environment from which the scene makes its neutral rows.
        """
        if name in self.specs:
            return {"environment": self.specs[name].canonical()}
        if name not in (NEUTRAL, "neutral"):
            raise SpecError(unknown_name("environment", name, tuple(self.specs)))
        changes = {key: spec.change for key, spec in self.interventions.items()}
        return {"environment": neutral.canonical(), "changes": changes}

    def check_change(self, factor: str, end: str, changeable: Sequence[str]) -> None:
        """Raises SpecError when a factor cannot be changed alone, or an end is neither low nor high."""
        if end not in ENDS:
            raise SpecError(unknown_name("end of a factor", end, ENDS))
        if factor not in changeable:
            raise SpecError(unknown_name("changeable factor", factor, changeable))


def switched(clean: Environment, name: str, spec: InterventionSpec, end: str, seed: int) -> Environment:
    """Return the same rows without (`low`) or with (`high`) an intervention, whose parameters are those that tests
    have; the others that the rows bear stay.
    """
    others = [change for change in changes_of(clean.images) if change.name != name]
    alone = EnvironmentSpec(interventions={name: spec.model_copy(update={"share": 0.5})})
    (change,), _ = drawn(alone, clean.table.without(name), seed, clean.images.shape, clean.boxes, clean.original)
    change = change.on(end == "high")
    return replace(
        clean,
        name=f"({name} {end})",
        table=clean.table.with_column(change.factor, change.marked.astype(np.int64)),
        images=with_changes(unchanged(clean.images), [*others, change]),
    )


def _common(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that all parts have in common."""
    first: Mapping[str, Any] = parts[0] if parts else dict[str, Any]()
    return {key: value for key, value in first.items() if all(key in part and part[key] == value for part in parts)}


# The points at which a variance-based sensitivity analysis looks.


def saltelli(samples: int, inputs: Sequence[Sequence[int]], seed: int) -> Float[np.ndarray, "rows columns"]:
    """Return a Saltelli design on the unit cube: A, B, then per input i AB_i, which is A with the columns of i from B.

    Args:
        samples: Rows of A, at least 1, best a power of two.
        inputs: The columns of each input; together they are 0 .. columns - 1.

    Returns:
        [(len(inputs) + 2) * samples, columns] in [0, 1). A and B are the two halves of the columns of one scrambled
        Sobol' sequence (Saltelli et al. 2010, Owen 1998).
    """
    from scipy.stats import qmc  # here, since importing it takes a second that planning a study need not wait for

    columns = sum(len(members) for members in inputs)
    sequence = qmc.Sobol(2 * columns, scramble=True, rng=np.random.default_rng(seed))
    # The whole power of two is drawn and then cut: SciPy warns where balance is lost, and the caller knows.
    points = sequence.random_base2(max(0, int(samples - 1).bit_length()))[:samples]
    a, b = points[:, :columns], points[:, columns:]
    blocks = [a, b]
    for members in inputs:
        mixed = a.copy()
        mixed[:, list(members)] = b[:, list(members)]
        blocks.append(mixed)
    return np.minimum(np.concatenate(blocks), np.nextafter(1.0, 0.0))
