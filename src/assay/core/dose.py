"""`dose:` of an environment: a confounder on a share p of the images of one class, which a dose-response varies.

environments:
  train:    {dose: {confounder: [tag, low-pass], p: [0, 0.2, 0.5, 1]}}   # on a share p of the positive class
  same:     {like: train}
  clean:    {like: train, dose: {p: 0}}                                   # on no image
  none:     {like: train, dose: {p: 0.5, on: both}}                       # on half of each class: it tells nothing
  reversed: {like: train, dose: {p: 1, on: negative}}                     # on all negatives and no positive

It is short for an intervention with a share for each class, so what is said of these holds: the images marked at
p = 0.2 are among those marked at p = 0.5, and training at p = 0 is one and the same for every confounder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.axes import label
from assay.core.document import Keys, dotted, mapping_of
from assay.core.explain import hint
from assay.core.problems import Problems
from assay.core.spec import RecipePoint
from assay.core.surface import as_number, section

KEYS = ("confounder", "p", "on")
SIDES: Mapping[str, tuple[float, float]] = {"positive": (1, 0), "negative": (0, 1), "both": (1, 1)}
"""Which class bears it -> shares of p that fall to the positive and to the negative class."""
P_PATH: Keys = ("environments", "train", "dose", "p")
"""Where the doses of a study are written."""


def dose_axis(points: Sequence[RecipePoint]) -> str:
    """The name of the axis of doses: the end of `environments.train.dose.p` whose values are the shares trained with.

    Empty where a study has none.
    """
    whole = f".{dotted(P_PATH)}"
    for name in points[0].coordinates if points else ():
        if whole.endswith(f".{name}") and all(_bears(point, point.coordinates.get(name, "")) for point in points):
            return name
    return ""


def _bears(point: RecipePoint, p: str) -> bool:
    """Whether an intervention of the training environment falls to this share of a class."""
    made = point.train.interventions.values()
    shares = [max(one.share.values()) for one in made if isinstance(one.share, Mapping)]
    return any(label(share) == p for share in shares)


def written_out(value: Any, keys: Keys, problems: Problems) -> tuple[Any, dict[Keys, Keys]]:
    """An environment with its `dose` as the intervention it is short for, and where the parts of that were written."""
    environment = mapping_of(value)
    if environment is None or "dose" not in environment:
        return value, {}
    at: Keys = (*keys, "dose")
    dose = section(environment["dose"], at, problems, "{confounder: tag, p: 0.5}")
    for key in set(dose) - set(KEYS):
        problems.unknown_key((*at, key), KEYS)
    rest = {key: item for key, item in environment.items() if key != "dose"}
    name, p, side = _name(dose, at, problems), _p(dose, at, problems), _side(dose, at, problems)
    if name is None or p is None or side is None:
        return rest, {}
    beside = section(rest.get("interventions"), (*keys, "interventions"), problems, "{intervention: {share: 0.5}}")
    if name in beside:
        problems.add((*at, "confounder"), name, f"'{name}' stands under interventions too; keep one")
        return rest, {}
    share = {"positive": p * SIDES[side][0], "negative": p * SIDES[side][1]}
    own = {"component": dose["confounder"], "share": share}
    place: Keys = (*keys, "interventions", name)
    origins = {(*place, "component"): (*at, "confounder"), (*place, "share"): (*at, "p")}
    return {**rest, "interventions": {**beside, name: own}}, origins


def _name(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> str | None:
    given = dose.get("confounder")
    mapping = mapping_of(given)
    name = next(iter(mapping)) if mapping is not None and len(mapping) == 1 else given
    if not isinstance(name, str) or not name:
        what = "expected the intervention that is dosed, such as tag or {tag: {contrast: 0.6}}"
        problems.add((*keys, "confounder") if "confounder" in dose else keys, given or "", what)
        return None
    return name.rpartition(":")[2]


def _p(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> float | None:
    p = as_number(dose.get("p"))
    if p is None or not 0 <= p <= 1:
        at: Keys = (*keys, "p") if "p" in dose else keys
        problems.add(at, dose.get("p", ""), "expected p, the share of the class that bears it, from 0 to 1", hint(p))
        return None
    return p


def _side(dose: Mapping[str, Any], keys: Keys, problems: Problems) -> str | None:
    side = dose.get("on", "positive")
    if side not in SIDES:
        problems.add((*keys, "on"), side, f"expected one of {', '.join(SIDES)}")
        return None
    return str(side)
