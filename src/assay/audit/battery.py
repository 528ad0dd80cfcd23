"""Marks and distortions of an audit: a battery for each kind of image, at three doses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.audit.tables import DOSES
from assay.core.errors import SpecError, unknown_of_few
from assay.core.registry import lookup
from assay.core.request import values_of
from assay.shifts.distortions import GROUPS
from assay.spec.document import mapping_of
from assay.spec.recipe import Component

DECIDING = 1
"""Position of the dose that a verdict is about: the middle one, since no dose is matched to the images."""
_PLACES: Mapping[str, Mapping[str, float]] = {
    place: {"x": x, "y": y}
    for place, x, y in (
        ("upper left", 0.1, 0.1),
        ("top", 0.5, 0.1),
        ("upper right", 0.9, 0.1),
        ("left", 0.1, 0.5),
        ("right", 0.9, 0.5),
        ("lower left", 0.1, 0.9),
        ("bottom", 0.5, 0.9),
        ("lower right", 0.9, 0.9),
    )
}
"""Place -> center of a mark there, as shares of the width and the height."""
_MAX_COORDINATE_DISTANCE = 0.2
"""Largest distance of a place from a coordinate that a user gives, as a share of the image."""


@dataclass(frozen=True)
class AuditedMark:
    """An intervention at each dose.

    Attributes:
        name: Its name in tables.
        doses: One component per name in `DOSES`.
        keeps_place: Whether the arguments of its place that are given stay, since a user wrote them.
    """

    name: str
    doses: tuple[Component, Component, Component]
    keeps_place: bool = False

    @property
    def family(self) -> str:
        """Name of the family of its intervention; empty where it is in none."""
        return next((name for name, members in _FAMILIES.items() if self.doses[DECIDING].name in members), "")

    @property
    def drawing(self) -> str:
        """Every argument at the deciding dose, such as its size, place and contrast."""
        component = self.doses[DECIDING]
        arguments = (
            lookup("intervention", component.name).params.model_validate(dict(component.params)).model_dump(mode="json")
        )
        parts = {name.replace("_", " "): value for name, value in arguments.items() if value not in ("", None)}
        return ", ".join(f"{name} {value}" for name, value in parts.items())

    def look(self, place: str = "") -> str:
        """Return what is drawn at the deciding dose, where, and with which arguments, in words.

        Args:
            place: Its place; empty as it is drawn.
        """
        component = self.doses[DECIDING]
        entry = lookup("intervention", component.name)
        arguments = entry.params.model_validate(dict(component.params)).model_dump(mode="json")
        texts = {name: field.description or "" for name, field in entry.params.model_fields.items()}
        listed = [
            _argument_words(name, value, texts.get(name, ""))
            for name, value in arguments.items()
            if name not in _PLACE_ARGUMENTS and value not in ("", None)
        ]
        return "; ".join(filter(None, (entry.summary, place or _place_of(arguments), ", ".join(listed))))

    @cached_property
    def places(self) -> Mapping[str, Component]:
        """Place -> the mark there at the deciding dose; none where its place is given, or is the middle or the whole.

        A place is a corner or the middle of a side, or one of four corners or sides that the mark can be at. Where a
        user gives one coordinate, it is kept, and places near it are tried.
        """
        component = self.doses[DECIDING]
        fields, arguments_of_place = (
            lookup("intervention", component.name).params.model_fields,
            dict[str, dict[str, Any]](),
        )
        if {"x", "y"} <= set(fields) and fields["x"].default != 0.5:
            fixed_axes = {
                axis: component.params[axis] for axis in ("x", "y") if self.keeps_place and axis in component.params
            }
            arguments_of_place = {
                place: {**spot, **fixed_axes}
                for place, spot in _PLACES.items()
                if all(abs(spot[axis] - value) < _MAX_COORDINATE_DISTANCE for axis, value in fixed_axes.items())
            }
        for name in {"corner", "side"} & set(fields):
            values = values_of(fields[name].annotation)
            arguments_of_place |= {value: {name: value} for value in values if set(values) <= set(_PLACES)}
        if all(set(more) <= set(component.params) for more in arguments_of_place.values()):
            return {}
        return {
            place: Component(kind="intervention", name=component.name, params={**component.params, **arguments})
            for place, arguments in arguments_of_place.items()
        }


_PLACE_ARGUMENTS = frozenset({"x", "y", "corner", "side", "jitter"})
"""Arguments of the place of a mark."""
_SHARE_OF = re.compile(r"as a share of (?:the image's|the) (.+?)(?=[;,.(]|$)")


def _argument_words(name: str, value: Any, description: str) -> str:
    """Return an argument for readers: `size 12% of the shorter side`, `marks 10`."""
    number, share = f"{value:,.10g}" if isinstance(value, float) else str(value), _SHARE_OF.search(description)
    if share is not None and isinstance(value, float):
        number = f"{100 * value:.2g}% of the {share[1]}"
    return f"{name.replace('_', ' ')} {number}"


def _place_of(arguments: Mapping[str, Any]) -> str:
    """Return the place that arguments give a mark; empty where they give none."""
    named = arguments.get("corner") or arguments.get("side")
    if named:
        return "" if named == "either" else str(named)
    x, y = arguments.get("x"), arguments.get("y")
    if not isinstance(x, float) or not isinstance(y, float):
        return ""
    spots = {**_PLACES, "middle": {"x": 0.5, "y": 0.5}}
    return min(spots, key=lambda name: math.hypot(spots[name]["x"] - x, spots[name]["y"] - y))


_Values = tuple[Any, Any, Any]
_MARKS: Mapping[str, tuple[str, str, _Values, Mapping[str, Any]]] = {
    "tag": ("tag", "size", (0.08, 0.12, 0.18), {}),
    "laterality-marker": ("laterality-marker", "size", (0.07, 0.11, 0.16), {}),
    "text-line": ("text-line", "size", (0.04, 0.055, 0.08), {"text": "ID ###", "x": 0.5}),
    "ruler": ("ruler", "opacity", (0.4, 0.7, 1.0), {"marks": 10}),
    "caliper": ("caliper", "opacity", (0.4, 0.7, 1.0), {}),
    "collimation-border": ("collimation-border", "width", (0.06, 0.12, 0.2), {}),
    "vignette": ("vignette", "radius", (0.65, 0.55, 0.45), {}),
    "scope-inset": ("scope-inset", "size", (0.18, 0.28, 0.36), {}),
    "surgical-pen": ("surgical-pen", "opacity", (0.4, 0.7, 1.0), {}),
    "hair": ("hair", "count", (6, 15, 30), {}),
    "electrode": ("electrode", "count", (2, 4, 8), {}),
    "pacemaker": ("pacemaker", "size", (0.1, 0.15, 0.22), {}),
    "chest-drain": ("chest-drain", "width", (0.02, 0.035, 0.05), {}),
    "brighter": ("gamma", "gamma", (0.9, 0.8, 0.65), {}),
    "darker": ("gamma", "gamma", (1.1, 1.25, 1.5), {}),
    "flatter": ("contrast", "factor", (0.9, 0.75, 0.6), {}),
    "low-pass": ("low-pass", "cutoff", (0.7, 0.5, 0.35), {}),
    "jpeg": ("jpeg", "quality", (70, 40, 15), {}),
    "gaussian-noise": ("gaussian-noise", "sigma", (0.01, 0.03, 0.06), {}),
    "bias-field": ("bias-field", "amplitude", (0.15, 0.3, 0.6), {}),
}
"""Name -> intervention, the argument that is its dose with three values, and its other arguments."""
DETAIL = "detail"
"""Family of marks whose effect depends on the size of images in pixels."""
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "objects": (
        "tag", "laterality-marker", "text-line", "caliper", "electrode", "pacemaker", "chest-drain", "scope-inset"),
    "lines": ("hair", "surgical-pen", "ruler"),
    "frames": ("vignette", "collimation-border"),
    "tone": ("gamma", "contrast", "bias-field", "scanner-histogram"),
    DETAIL: ("low-pass", "blur", "resample", "jpeg", "gaussian-noise", "poisson-noise"),
}  # fmt: skip
"""Families of interventions that look alike: a model that learned one often changes its scores with the others."""
_MARKS_OF_ALL = ("brighter", "darker", "flatter", "low-pass", "jpeg")
_Battery = tuple[tuple[str, ...], tuple[str, ...]]
_CHEST: _Battery = (
    ("tag", "laterality-marker", "text-line", "electrode", "pacemaker", "chest-drain", "collimation-border"),
    ("xray-noise", "xray-grid", "xray-under-exposure"),
)
_GRAY: _Battery = (
    ("tag", "text-line", "ruler", "collimation-border", "gaussian-noise"),
    ("gaussian-noise", "gaussian-blur", "contrast"),
)
_BATTERIES: Mapping[str, _Battery] = {
    "chest-xray": _CHEST,
    "phantom-chest": _CHEST,
    "phantom-nodule": _GRAY,
    "dermoscopy": (
        ("hair", "ruler", "surgical-pen", "text-line", "vignette"), ("dermoscopy-gel", "defocus-blur", "brightness")),
    "endoscopy": (
        ("scope-inset", "text-line", "vignette"), ("endoscopy-bubbles", "endoscopy-smoke", "endoscopy-specular")),
    "fundus": (
        ("vignette", "text-line", "bias-field"), ("retinal-artifacts", "retinal-defocus", "retinal-illumination")),
    "mr": (("text-line", "bias-field", "gaussian-noise"), ("gaussian-noise", "motion-blur", "contrast")),
    "ultrasound": (("caliper", "text-line", "ruler"), ("speckle-noise", "gaussian-blur", "contrast")),
    "gray": _GRAY,
    "color": (("tag", "text-line", "ruler", "vignette"), ("gaussian-noise", "gaussian-blur", "brightness")),
}  # fmt: skip
"""Kind of image -> marks, and distortions."""
DOMAINS = tuple(_BATTERIES)
SEVERITIES = (1, 3, 5)
"""Severities of a distortion."""
_DISTORTIONS_OF_ANY_DEVICE = (
    "gaussian-noise", "shot-noise", "impulse-noise", "speckle-noise", "gaussian-blur", "defocus-blur", "motion-blur",
    "brightness", "contrast", "pixelate", "jpeg-compression",
)  # fmt: skip
"""Distortions of ImageNet-C that pictures of any device have; not weather, nor what changes shapes."""


def battery(domain: str, channels: int) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
    """Return the marks and distortions for a kind of image.

    Args:
        domain: One of `DOMAINS`; empty for `gray` or `color` by the channels.
        channels: Channels of the images.

    Raises:
        SpecError: The domain is unknown.
    """
    name = domain or ("gray" if channels == 1 else "color")
    if name not in _BATTERIES:
        raise SpecError(unknown_of_few("domain", name, DOMAINS))
    marks, distortions = _BATTERIES[name]
    return tuple(_audited_mark(mark) for mark in dict.fromkeys((*marks, *_MARKS_OF_ALL))), distortions


def every_distortion(domain: str, channels: int) -> tuple[str, ...]:
    """Return all distortions for a kind of image: those of `battery`, of its group, and those of any device."""
    _, chosen = battery(domain, channels)
    of_same_group = [
        name for names in GROUPS.values() if set(names) & set(chosen) - set(GROUPS["common"]) for name in names
    ]
    return tuple(
        dict.fromkeys((*chosen, *of_same_group, *_DISTORTIONS_OF_ANY_DEVICE, *(("saturate",) if channels > 1 else ())))
    )


def marks_of(definitions: Mapping[str, Sequence[Any]]) -> tuple[AuditedMark, ...]:
    """Return marks as a user writes them: name -> three interventions, from weak to strong.

    Each is a name or `{name: {argument: value}}`, as in a study.

    Raises:
        SpecError: A mark has not three doses, or is no intervention.
    """
    marks: list[AuditedMark] = []
    for name, doses in definitions.items():
        if len(doses) != len(DOSES):
            raise SpecError(f"mark '{name}' has {len(doses)} strengths; give three, from weak to strong")
        weak, middle, strong = map(_parse_component, doses)
        marks.append(AuditedMark(name, (weak, middle, strong), keeps_place=True))
    return tuple(marks)


def at_deciding_dose(marks: Iterable[AuditedMark]) -> dict[str, list[dict[str, Any]]]:
    """Return marks as a user writes them, with the dose of the verdict in place of all three: it is read once."""
    middle = {mark.name: mark.doses[DECIDING] for mark in marks}
    return {name: [{dose.name: dict(dose.params)}] * len(DOSES) for name, dose in middle.items()}


def _audited_mark(name: str) -> AuditedMark:
    intervention, argument, values, other_arguments = _MARKS[name]
    weak, middle, strong = (
        Component(kind="intervention", name=intervention, params={**other_arguments, argument: value})
        for value in values
    )
    return AuditedMark(name, (weak, middle, strong))


def _parse_component(definition: Any) -> Component:
    entries = {definition: None} if isinstance(definition, str) else mapping_of(definition) or {}
    if len(entries) != 1:
        raise SpecError("a mark is the name of an intervention, or {name: {argument: value}}")
    ((name, params),) = entries.items()
    try:
        return Component(kind="intervention", name=str(name), params=params or {})
    except ValueError as error:
        raise SpecError(f"mark '{name}': {error}") from error
