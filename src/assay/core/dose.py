"""`dose:` of an environment: a confounder on a share p of the images of one class, which a dose-response varies.

environments:
  train:    {dose: {confounder: [tag, sex], p: [0, 0.2, 0.5, 1]}}         # on a share p of the positive class
  same:     {like: train}
  clean:    {like: train, dose: {p: 0}}                                   # on no image
  none:     {like: train, dose: {p: 0.5, on: both}}                       # on half of each class: it tells nothing
  reversed: {like: train, dose: {p: 1, on: negative}}                     # on all negatives and no positive

Of an intervention it is short for a share for each class, so what is said of these holds: the images marked at p = 0.2
are among those marked at p = 0.5, and training at p = 0 is one and the same for every confounder.

Of a factor of the data it is short for an association (see `assay.core.sampled`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assay.core.axes import label
from assay.core.document import Keys, dotted, mapping_of
from assay.core.environment_spec import EnvironmentSpec
from assay.core.explain import hint
from assay.core.hashing import canonical_json
from assay.core.problems import Problems
from assay.core.sampled import Factors, association, is_factor
from assay.core.spec import RecipePoint
from assay.core.surface import as_number, section

KEYS = ("confounder", "p", "on")
SIDES: Mapping[str, tuple[float, float]] = {"positive": (1, 0), "negative": (0, 1), "both": (1, 1)}
"""Which class bears it -> shares of p that fall to the positive and to the negative class."""
TRAIN: Keys = ("environments", "train")
P_PATH: Keys = (*TRAIN, "dose", "p")
"""Where the doses of a study are written."""
CONFOUNDER_PATH: Keys = (*TRAIN, "dose", "confounder")
"""Where the confounders that are dosed are."""
ROWS_PATH: Keys = (*TRAIN, "rows")
"""Where the amounts of training data are."""


Borne = tuple[str, tuple[str, ...]]
"""A confounder's factor, and its high levels where an association states them."""


def dose_axis(points: Sequence[RecipePoint]) -> str:
    """The name of the axis of doses: the end of `environments.train.dose.p` whose values are the shares trained with.

    Empty where a study has none.
    """
    whole = f".{dotted(P_PATH)}"
    for name in points[0].coordinates if points else ():
        if whole.endswith(f".{name}") and all(_bears(point, point.coordinates.get(name, "")) for point in points):
            return name
    return ""


def amount_axis(points: Sequence[RecipePoint]) -> str:
    """The name of the axis of amounts: the end of `environments.train.rows` whose values are the rows trained on.

    Empty where a study has none.
    """
    whole = f".{dotted(ROWS_PATH)}"
    for name in points[0].coordinates if points else ():
        if whole.endswith(f".{name}") and all(label(p.train.rows) == p.coordinates.get(name) for p in points):
            return name
    return ""


def _bears(point: RecipePoint, p: str) -> bool:
    """Whether a confounder of the training environment falls to this share of a class; p = 0 may leave no trace."""
    shares = [one.share for one in point.train.interventions.values() if isinstance(one.share, Mapping)]
    ties = point.train.association.values()
    borne = [max(share.values()) for share in shares] + [abs(tie.strength) for tie in ties if tie.share is None]
    borne += [max(tie.share.positive, tie.share.negative) for tie in ties if tie.share is not None]
    return p == "0" or any(label(one) == p for one in borne)


def dosed_factors(points: Sequence[RecipePoint], axis: str) -> dict[str, Borne]:
    """Recipe -> the confounder that it is trained with a dose of: what its training at the greatest dose has otherwise
    than that at p = 0.
    """
    at: dict[str, dict[float, RecipePoint]] = {}
    for point in points:
        rest = {name: value for name, value in point.coordinates.items() if name != axis}
        at.setdefault(canonical_json(rest), {})[float(point.coordinates[axis])] = point
    found: dict[str, Borne] = {}
    for doses in at.values():
        none, most = (_borne(doses[p].train) for p in (min(doses), max(doses)))
        differing = [name for name in most if none.get(name) != most[name]]
        if len(differing) == 1:
            tie = doses[max(doses)].train.association.get(differing[0])
            found |= dict.fromkeys((one.label for one in doses.values()), (differing[0], tie.high if tie else ()))
    return found


def _borne(train: EnvironmentSpec) -> Mapping[str, Any]:
    return {**train.association, **train.interventions}


class Written(NamedTuple):
    """An environment without `dose`. origins: where the parts of what it is short for were written. well: whether
    nothing was wrong with it.
    """

    environment: Any
    origins: dict[Keys, Keys]
    well: bool


def written_out(value: Any, keys: Keys, problems: Problems, factors: Factors, *, partial: bool = False) -> Written:
    """An environment with its `dose` as what it is short for.

    partial: whether the rest of the dose may stand in an environment that is not found, so that nothing is missing.

    Of a phantom, nothing is written for a factor tied at 0, which is what the phantom is anyway: so its training at
    p = 0 is that of every other confounder. Of files, strength 0 chooses rows.
    """
    environment = mapping_of(value)
    if environment is None or "dose" not in environment:
        return Written(value, {}, True)
    at: Keys = (*keys, "dose")
    dose = section(environment["dose"], at, problems, "{confounder: tag, p: 0.5}")
    for key in dose:
        if key not in KEYS:
            problems.unknown_key((*at, key), KEYS)
    rest = {key: item for key, item in environment.items() if key != "dose"}
    name = None if partial and "confounder" not in dose else _name(dose, at, problems)
    p = None if partial and "p" not in dose else _p(dose, at, problems)
    side = _side(dose, at, problems)
    wrong = Written(rest, {}, False)
    if name is None or p is None or side is None:
        return wrong
    shares = {"positive": p * SIDES[side][0], "negative": p * SIDES[side][1]}
    given, own = dose["confounder"], (*at, "confounder")
    sampled = is_factor(name, given, own, problems, factors)
    if sampled is None:
        return wrong
    if sampled:
        part, made = "association", association(name, given, shares, own, problems, factors)
        if made is not None and "share" not in made and side == "both" and keys == TRAIN:
            what = f"trained on both classes, '{name}' is tied to neither, and the same at every p"
            problems.add((*at, "on"), side, what, f"leave '{name}' out of this dose, or put it on one class")
            return wrong
    else:
        part, made, name = "interventions", {"component": given, "share": shares}, name.rpartition(":")[2]
    beside = section(rest.get(part), (*keys, part), problems, _SHORT[part])
    if name in beside:
        problems.add(own, name, f"'{name}' stands under {part} too; keep one")
        return wrong
    if not made:
        return Written(rest, {}, made is not None)
    place, amount = (*keys, part, name), (*at, "p")
    origins = {place: own, (*place, "component"): own, (*place, "high"): (*own, name, "high")}
    origins |= {(*place, "share"): amount, (*place, "strength"): amount}
    return Written({**rest, part: {**beside, name: made}}, origins, True)


_SHORT = {"association": "{sex: 0.5}", "interventions": "{intervention: {share: 0.5}}"}
"""What stands under the parts of an environment that a dose is written into."""


def _name(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> str | None:
    given = dose.get("confounder")
    mapping = mapping_of(given)
    name = next(iter(mapping)) if mapping is not None and len(mapping) == 1 else given
    if not isinstance(name, str) or not name:
        what = "expected the intervention or the factor that is dosed, such as tag, {tag: {contrast: 0.6}} or sex"
        problems.add((*keys, "confounder") if "confounder" in dose else keys, given or "", what)
        return None
    return name


def _p(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> float | None:
    p = as_number(dose.get("p"))
    if p is None or not 0 <= p <= 1:
        at: Keys = (*keys, "p") if "p" in dose else keys
        problems.add(at, dose.get("p", ""), "expected p, the share of the class that bears it, from 0 to 1", hint(p))
        return None
    return p


def _side(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> str | None:
    side = dose.get("on", "positive")
    if not isinstance(side, str) or side not in SIDES:
        problems.add((*keys, "on"), side, f"expected one of {', '.join(SIDES)}")
        return None
    return side
