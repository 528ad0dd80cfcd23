"""On which images a dosed confounder lies, in training and in each environment, as the spec says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.evidence import Evidence
from assay.stats.format import listed


def clean_environment(evidence: Evidence) -> str:
    """The environment in which the fewest recipes meet a confounder, and none of those trained at p = 0; or empty.

    A factor that is tied in training at p = 0 too is no confounder of the doses.
    """
    points = _points(evidence)
    dosed = evidence.outline.dosed
    start = [point["train"].get("association", {}) for point in points if point["coordinates"].get(dosed) == "0"]
    tied = {factor for ties in start for factor, tie in ties.items() if _ties(tie)}
    marked: dict[str, list[str]] = {}
    for point in points:
        for name, test in point["tests"].items():
            shares = [one.get("share", 0.5) for one in test.get("interventions", {}).values()]
            ties = [tie for factor, tie in test.get("association", {}).items() if factor not in tied]
            found = marked.setdefault(name, [])
            met = any(map(_marks_rows, shares)) or any(map(_ties, ties))
            found += [str(point["coordinates"].get(dosed))] if met else []
    clean = [name for name, doses in marked.items() if "0" not in doses]
    return min(clean, key=lambda name: len(marked[name]), default="")


def _marks_rows(share: float | Mapping[str, float]) -> bool:
    return any(share.values()) if isinstance(share, Mapping) else share > 0


def _ties(tie: Mapping[str, Any]) -> bool:
    """Whether an association puts a factor's high level on any row because of its class."""
    return any(tie["share"].values()) if tie.get("share") else tie["strength"] != 0


def where_borne(evidence: Evidence, environment: str) -> str:
    """`p: the share of present images that bear the confounder in training. In reversed it is on no
    present image and on all others.`; empty where no confounder is a marking, or markings lie on other classes each.

    What all images bear alike, as the noise of every scan, is no confounder where there is another. An environment
    whose images bear it as those trained on do, dose by dose, is said to do so; of one that changes otherwise, nothing.
    """
    dosed, points = evidence.outline.dosed, _points(evidence)
    most = max((float(point["coordinates"].get(dosed, 0)) for point in points), default=0.0)
    by_dose: dict[float, tuple[set[tuple[float, float]], set[tuple[float, float]]]] = {}
    for point in points:
        shares = by_dose.setdefault(float(point["coordinates"].get(dosed, 0)), (set(), set()))
        shares[0].update(_shares(point["train"]))
        shares[1].update(_shares(point["tests"].get(environment, {})))
    trained, tested = (shares - {(1.0, 1.0)} or shares for shares in by_dose.get(most, (set(), set())))
    target = next((row["target"] for row in evidence.tables.environments if row["target"]), "positive")
    if not most or len(trained) != 1:
        return ""
    of = {(True, False): f"{target} images", (False, True): "the other images", (True, True): "the images"}
    positive, negative = next(iter(trained))
    told = f"{dosed}: the share of {of[positive > 0, negative > 0]} that bear the confounder in training"
    if by_sampling := _sampled(points, dosed, most):
        told += f" (of {listed(by_sampling)}, which no image is given: Somers' D given the target)"
    told += "."
    where = {
        (1.0, 0.0): f"every {target} image and no other",
        (0.0, 1.0): f"no {target} image and on all others",
        (1.0, 1.0): "every image",
        (0.0, 0.0): "no image",
    }
    if all(one == other for one, other in by_dose.values()):
        return f"{told} In {environment} it is on as many."
    same = all(other == by_dose[most][1] for _, other in by_dose.values())
    lies = where.get(next(iter(tested)), "") if same and len(tested) == 1 else ""
    return f"{told} In {environment} it is on {lies}." if lies else told


def _sampled(points: Sequence[Any], dosed: str, most: float) -> list[str]:
    """The factors of the data whose tie to the target is the dose, in the order of their names."""

    def tied(point: Any) -> set[str]:
        ties: Mapping[str, Any] = point["train"].get("association", {})
        return {name for name, tie in ties.items() if abs(tie.get("strength") or 0) == most and not tie.get("share")}

    def at(p: float) -> list[set[str]]:
        return [tied(one) for one in points if float(one["coordinates"].get(dosed, 0)) == p]

    none = at(0.0)
    return sorted(name for name in set[str]().union(*at(most)) if not none or not all(name in one for one in none))


def _points(evidence: Evidence) -> list[Any]:
    return json.loads(evidence.tables.facts.get("spec", "") or "{}").get("points", [])


def _shares(environment: Mapping[str, Any]) -> set[tuple[float, float]]:
    """Which share of the last class, and of the others, bears each marking of an environment."""
    given: list[float | Mapping[str, float]] = [
        one.get("share", 0.5) for one in environment.get("interventions", {}).values()
    ]
    return {
        (share["positive"], share["negative"]) if isinstance(share, Mapping) else (share, share)
        for share in given
        if not isinstance(share, Mapping) or set(share) == {"positive", "negative"}
    }
