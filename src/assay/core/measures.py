"""Measures: one entry describes each, wherever it is computed, compared, printed or drawn.

Entries are declared with the code that computes them (`register_measures`, of outputs `stats.measure.measure`). The
generated index repeats them, so a study file is checked and `assay list` answers without importing NumPy or PyTorch.
Code takes units, ranges, directions and chance levels from the entry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Better = Literal["higher", "lower", "none"]
"""Direction of a measure that is better; `none` for one that describes and does not rank."""
Among = Literal["", "both", "lesions", "no lesions"]
"""Images that a measure needs: any, of two classes at least, with a lesion, without one."""
Need = Literal["environment", "factor", "layer"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, the single place that describes it.

    Args:
        name: Name in study files, tables and files.
        probe: Probe that yields it. Empty for any probe of one's own.
        meaning: Meaning in a few words, as it continues "the".
        display: Name for readers; the name with spaces where empty.
        unit: Unit; empty for a share, a correlation or a number of things.
        low: Least value that its true value can have.
        high: Greatest value that its true value can have.
        direction: Direction that is better.
        chance: Value of a model that knows nothing: a number, words where it depends on the data, None without one.
        needs: Fields of a contrast without which it is ambiguous.
        option: Argument of its probe without which it is not measured.
        environment: Environment that its probe reads where a contrast names none.
        among: Images without which it is undefined.
        dosed: Whether its change over doses can be compared.
        compared: Whether a contrast can name it. Intervals of others go by no range.
        axis: Text along the axis of a figure; made of display, unit and direction where empty.
        difference: Clause of a sentence about a difference, with `{more}` (or fewer) or `{larger}` (or smaller), and
            `{images}` for lesion-free ones; made of the label where empty.
        without_lesion: Measure that it equals, and is called, where no image has a lesion.
        reference: Publication that defines it.

    Examples:
        >>> measure = Measure("leakage", "my-probe", "share of scores of a mark", low=0.0, high=1.0, direction="lower")
        >>> measure.name, measure.compared
        ('leakage', True)
    """

    name: str
    probe: str
    meaning: str
    display: str = ""
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    direction: Better = "none"
    chance: float | str | None = None
    needs: tuple[Need, ...] = ()
    option: str = ""
    environment: str = ""
    among: Among = ""
    dosed: bool = False
    compared: bool = True
    axis: str = ""
    reference: str = ""
    without_lesion: str = ""
    difference: str = ""

    @property
    def label(self) -> str:
        """Name for readers, for use within a sentence."""
        return self.display or self.name.replace("-", " ")


INDEX = Path(__file__).parent.parent / "index.json"
"""Generated index of components and of measures that are declared with their code."""


@cache
def index() -> dict[str, dict[str, Any]]:
    """Return the index: kind -> name -> content."""
    return json.loads(INDEX.read_text(encoding="utf-8"))


_declared: dict[str, Measure] = {}
_measures: dict[str, Measure] = {}
_compared: dict[str, Measure] = {}
MEASURES: Mapping[str, Measure] = MappingProxyType(_measures)
"""Every measure by name."""
COMPARED: Mapping[str, Measure] = MappingProxyType(_compared)
"""Measures that a contrast can name."""


def register_measures(*measures: Measure) -> None:
    """Add measures to the registry.

    Raises:
        ValueError: When a name is taken by another measure, or a measure has no meaning.

    Examples:
        A measure needs a meaning:

        >>> register_measures(Measure("sharpness", "performance", ""))
        Traceback (most recent call last):
        ValueError: measure 'sharpness': give its meaning, and a range from low to high
    """
    for measure in measures:
        if _declared.get(measure.name, measure) != measure:
            raise ValueError(f"measure '{measure.name}' is declared twice, and differently: give it another name")
        if not measure.meaning or not measure.low <= measure.high:
            raise ValueError(f"measure '{measure.name}': give its meaning, and a range from low to high")
        _declared[measure.name] = measure
        _know(measure)


def _know(measure: Measure) -> None:
    _measures[measure.name] = measure
    if measure.compared:
        _compared[measure.name] = measure
    else:
        _compared.pop(measure.name, None)


def indexed_measures() -> tuple[Measure, ...]:
    """Return the measures of Assay's own probes that imported code has declared: of outputs, then by probe."""
    of_probes = (measure for measure in _declared.values() if measure.probe and ":" not in measure.probe)
    places = {probe: place for place, probe in enumerate((PERFORMANCE, *PROBES_OF_MAPS))}
    return tuple(sorted(of_probes, key=lambda measure: (places.get(measure.probe, len(places)), measure.probe)))


def label_of(name: str) -> str:
    """Return the name of a measure for readers, such as `AUROC` or `flip rate`."""
    return MEASURES[name].label if name in MEASURES else name.replace("-", " ")


def range_of(name: str) -> tuple[float, float]:
    """Return the range that the true value of a measure cannot leave; without ends where it is not declared."""
    entry = MEASURES.get(name)
    return (entry.low, entry.high) if entry else (-math.inf, math.inf)


def direction_of(name: str) -> Better:
    """Return the direction of a measure that is better; `none` where it is not declared."""
    return MEASURES[name].direction if name in MEASURES else "none"


def better(name: str) -> Literal["higher", "lower", ""]:
    """Return the direction of a measure that is better; empty for one that does not rank."""
    direction = direction_of(name)
    return "" if direction == "none" else direction


# Places that measurements name, and families of measures.

NEUTRAL, INDEPENDENT = "(neutral)", "(independent)"
WORST_ENVIRONMENT, WORST_GROUP = WORST = ("worst environment", "worst group")
"""Groups of measurements that are of the place with a measure's worst value."""
PERFORMANCE = "performance"
"""Probe of classes."""
PROBES_OF_MAPS = ("segmentation", "lesion-free")
"""Probes that read logits of pixels."""
BY_VARIANCE = ("sobol-first", "sobol-total")
WITHIN_CLASS = "within-class sd"
"""Unit of logits: their standard deviation within classes, on neutral images."""
EFFECTS = ("logit-effect", "logit-effect-absolute")
"""Measures without an end to come near: their own scale is the only one."""
OF_WORST_GROUP = {f"worst-group-{name}": name for name in ("accuracy", "auroc")}
"""Measures of the worst group of an environment -> the measure of each group."""
OF_MAPS = "condition-number-maps"
"""Shape of a layer's flattened activations, which `representation` measures where its `maps` is set."""
FALSE_POSITIVES = "false-positive-rate"
"""False positives of a segmentation, at p = 0.5 and, with `-at-90` and the like, at matched sensitivity."""
MATCHED = f"{FALSE_POSITIVES}-at-90"
"""False positives that are shown where a study compares none."""


def quiet_of(compared: Iterable[str]) -> str:
    """Return the first measure of false positives among those that a study compares, `MATCHED` without one."""
    return next((name for name in compared if name.startswith(FALSE_POSITIVES)), MATCHED)


for _name, _fields in index()["measure"].items():
    _body: dict[str, Any] = {**_fields, "needs": tuple(_fields.get("needs", ()))}  # a list in the index
    _know(Measure(_name, **_body))

SHARES = tuple(
    measure.name
    for measure in COMPARED.values()
    if measure.probe == PERFORMANCE and measure.dosed and measure.name not in OF_WORST_GROUP
)
"""Measures of performance from 0 to 1, which a probit scale can hold."""
BY_MOVING = tuple(measure.name for measure in COMPARED.values() if measure.probe == "reliance")
"""Measures that need images with one factor changed and all else the same."""
DOSED = tuple(measure.name for measure in COMPARED.values() if measure.dosed)
"""Measures whose change over the doses can be compared."""
