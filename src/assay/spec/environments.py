"""Environments of a study file: inheritance, associations, doses, grid points and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BeforeValidator, ConfigDict, Field

from assay.core.errors import nearest
from assay.core.files import canonical_json
from assay.core.registry import entries
from assay.core.seeds import derive
from assay.spec.data import data_section, declared_factors, is_undeclared, undeclared_columns
from assay.spec.document import Keys, join_keys, mapping_of
from assay.spec.fields import GivenStart, as_number
from assay.spec.grid import Axis, GridPoint, label, settle
from assay.spec.issues import Issues, hint, invalid, issue, join_first, unknown_key, validated
from assay.spec.recipe import Component, Frozen, RecipeSpec
from assay.spec.schema import ApplyAt, DataSpec, EnvironmentSpec, InterventionSpec, RecipePoint, SourceSpec

# One environment, as it is written with `like` and `dose` or without.

ENVIRONMENT_KEYS = (*EnvironmentSpec.model_fields, "dose", "like")


def environment(value: Any, keys: Keys, issues: Issues) -> EnvironmentSpec | None:
    """Read an environment whose `like` and `dose` are resolved; None where anything is wrong with it."""
    fields = mapping_of(value)
    if fields is None:
        return validated(EnvironmentSpec, value, keys, issues)
    unknown = [key for key in fields if key not in ENVIRONMENT_KEYS]
    for key in unknown:
        issues.note(unknown_key((*keys, key), ENVIRONMENT_KEYS))
    values = {key: item for key, item in fields.items() if key not in unknown}
    marks = mapping_of(values.get("interventions"))
    if marks is None:
        return validated(EnvironmentSpec, values, keys, issues)
    values["interventions"] = {name: _with_component(name, item) for name, item in marks.items()}
    origins: dict[Keys, Keys] = {}
    for name, item in marks.items():
        at: Keys = (*keys, "interventions", name)
        if "component" not in (mapping_of(item) or {}):
            origins |= {(*at, "component", *of_component): issues.source(at) for of_component in ((), (name,))}
    return validated(EnvironmentSpec, values, keys, issues.at({**origins, **issues.origins}))


def _with_component(name: str, value: Any) -> Any:
    """Write `{size: 0.1, share: 0.5}` of the intervention `tag` as `{component: {tag: {size: 0.1}}, share: 0.5}`."""
    fields = mapping_of(open_intervention({} if value is None else value))
    if fields is None or "component" in fields:
        return value
    of_component = InterventionSpec.model_fields
    arguments = {key: item for key, item in fields.items() if key not in of_component}
    return {"component": {name: arguments}, **{key: item for key, item in fields.items() if key in of_component}}


def section(value: Any, keys: Keys, issues: Issues, shape: str) -> dict[str, Any]:
    """Return a mapping; anything else becomes an issue that names the shape, and nothing is an empty mapping."""
    mapping = {} if value is None else mapping_of(value)
    if mapping is None:
        issues.add(keys, value, f"expected {shape}", hint(value))
        return {}
    return mapping


def open_association(value: Any) -> dict[str, Any]:
    """Write `0.9` as `{strength: 0.9}`."""
    mapping = mapping_of(value)
    return {"strength": value} if mapping is None else mapping


def open_intervention(value: Any) -> Any:
    """Write `0.5` as `{share: 0.5}`."""
    return {"share": value} if as_number(value) is not None else value


# `like:` between environments: one inherits another at each point of the grid, then overrides parts of it.

_OPEN: Mapping[str, Callable[[Any], Any]] = {
    "association": open_association,
    "interventions": open_intervention,
    "where": lambda value: value,
    "difficulty": lambda value: value,
    "dose": lambda value: value,
}


_IMAGES = ("data", "crop")
"""Which images an environment shows, inherited whole."""

_AMOUNTS = {"strength", "share"}
"""How strongly a factor is tied is said by one of these: whoever gives one drops the other."""


def resolve_environments(environments: Mapping[str, Any], issues: Issues) -> tuple[dict[str, Any], dict[Keys, Keys]]:
    """Resolve `like`.

    An environment inherits the other's association, interventions, dose, `where` and difficulty by factor or name, and
    overrides those it names itself: {like: train, association: {texture: -0.9}} keeps every other association. Of an
    association or intervention that both name, only the arguments given here change; null removes it. It has the
    other's `data` and `crop`, too, and not its `split`.

    Returns:
        The environments without `like`, and keys of inherited parts -> keys at which they were written.
    """
    resolved: dict[str, Any] = {}
    origins: dict[Keys, Keys] = {}
    for name in environments:
        chain = _chain(name, environments, issues)
        merged = _without_like(environments[chain[-1]])
        for heir, parent in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
            merged = _inherit(merged, environments[heir], name, parent, origins)
        resolved[name] = merged
    return resolved, origins


def _chain(name: str, environments: Mapping[str, Any], issues: Issues) -> list[str]:
    """Return the environment, the one it is like, the one that this is like, and so on."""
    chain = [name]
    while (like := (mapping_of(environments[chain[-1]]) or {}).get("like")) is not None:
        keys: Keys = ("environments", chain[-1], "like")
        if not isinstance(like, str) or like not in environments:
            issues.add(keys, like, "no such environment", names=environments)
            break
        if like in chain:
            if name == min(chain):  # reported once, not by every environment of the circle
                circle = " -> ".join([*chain, like])
                issues.add(keys, like, f"environments are like each other in a circle: {circle}")
            break
        chain.append(like)
    return chain


def _without_like(value: Any) -> Any:
    mapping = mapping_of(value)
    return value if mapping is None else {key: item for key, item in mapping.items() if key != "like"}


def _inherit(base: Any, child: Any, name: str, parent: str, origins: dict[Keys, Keys]) -> Any:
    before, after = mapping_of(base), mapping_of(child)
    if before is None or after is None:
        return child
    images = {part: before[part] for part in _IMAGES if part in before}
    merged = {part: value for part, value in {**images, **_without_like(after)}.items() if part not in _IMAGES or value}
    for part in images.keys() - after.keys():
        origins.setdefault(("environments", name, part), ("environments", parent, part))
    for part, opened in _OPEN.items():
        inherited, changes = mapping_of(before.get(part)), mapping_of(after.get(part) or {})
        if inherited is None or changes is None:
            continue
        merged[part] = {
            key: _merge_entry(inherited.get(key), changes.get(key), opened)
            for key in {**inherited, **changes}
            if changes.get(key, "inherited") is not None  # `texture: null` drops the inherited value
        }
        for key in inherited:
            if key not in changes:
                origins.setdefault(("environments", name, part, key), ("environments", parent, part, key))
    return merged


def _merge_entry(inherited: Any, entry: Any, opened: Callable[[Any], Any]) -> Any:
    if entry is None or inherited is None:
        return inherited if entry is None else entry
    before, after = mapping_of(opened(inherited)), mapping_of(opened(entry))
    if before is None or after is None or opened not in (open_association, open_intervention):
        return entry
    if opened is open_association and _AMOUNTS & after.keys():
        before = {key: item for key, item in before.items() if key not in _AMOUNTS}
    return {**before, **after}


# A confounder by sampling: a dose of a factor of the data ties it to the target, and no pixel is changed.
#
# dose: {confounder: sex, p: 0.5}                                           # Somers' D 0.5; half of all rows are high
# dose: {confounder: {sex: {high: [F], scheme: one-sided}}, p: 0.5}         # F in half of the positives, M elsewhere
#
# balanced: D of the factor given the target is p on the positive class, -p on the negative, 0 on both, and the factor's
#     high level is as frequent at every p.
# one-sided: a share p of the class has the high level and all other rows have the low one, as the published studies do
#     it; the high level is then more frequent the greater p is, and at p = 0 there is none.


def _as_list(value: Any) -> Any:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


class FactorDose(Frozen):
    """The arguments of a factor that is dosed."""

    high: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(description="its high levels")] = ()
    scheme: Literal["balanced", "one-sided"] = "balanced"


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors of a study's data that can be dosed.

    Attributes:
        names: The factors known before an image is read. None where the data declare none.
        core: The factor that defines a phantom's target.
        are_drawn: Whether a phantom draws them, so that a factor tied at 0 equals one that is untied.
        columns: The columns of the table that are not declared.
    """

    names: tuple[str, ...] | None
    core: str = ""
    are_drawn: bool = False
    columns: tuple[str, ...] = ()

    @staticmethod
    def of(data: DataSpec | None) -> Factors:
        """Return the factors of these data; nothing is known where the data are wrong."""
        if data is None:
            return Factors(None)
        declared = declared_factors(data)
        names = None if declared is None else tuple(declared)
        return Factors(names, data.core, data.phantom is not None, undeclared_columns(data))


def is_factor(name: str, confounder: Any, keys: Keys, issues: Issues, factors: Factors) -> bool | None:
    """Decide whether a confounder is a factor of the data or an intervention.

    A registered intervention or a dotted path is an intervention, unless its arguments are those of a factor.

    Returns:
        None, with an issue, where it is neither.
    """
    arguments = mapping_of((mapping_of(confounder) or {}).get(name))
    is_dose = bool(arguments) and set(arguments or ()) <= set(FactorDose.model_fields)
    interventions = [entry.name for entry in entries("intervention")]
    if (name in interventions or ":" in name) and not is_dose:
        return False
    if factors.core and name == factors.core:
        issues.add(keys, name, f"'{name}' defines the target, and nothing can be confounded with itself")
        return None
    names = [name_of_factor for name_of_factor in factors.names or () if name_of_factor != factors.core]
    likely = None if is_dose else nearest(name, interventions)
    if name in names or (factors.names is None and not likely):
        return True
    if is_undeclared(name, factors.columns, keys, issues):
        return None
    near = [f"the intervention '{likely}'"] if likely else []
    near += [f"the factor '{nearest_factor}'"] if (nearest_factor := nearest(name, names)) else []
    meant = f": did you mean {' or '.join(near)}?" if near else ""
    issues.add(
        keys, name, f"no intervention and no factor is called '{name}'{meant}", _describe_allowed(name, factors, names)
    )
    return None


def _describe_allowed(name: str, factors: Factors, names: list[str]) -> str:
    if factors.names is None:
        return f"these data declare no factors: if '{name}' is one of theirs, write {{{name}: {{scheme: balanced}}}}"
    return f"interventions: see `assay list`; factors: {join_first(names) or 'none, declare columns in data.factors'}"


def association(
    name: str, confounder: Any, shares: Mapping[str, float], keys: Keys, issues: Issues, factors: Factors
) -> dict[str, Any] | None:
    """Write out the association that a dose of a factor is short for.

    Returns:
        The association, empty where nothing is tied and None where the dose is wrong.
    """
    dose = validated(FactorDose, (mapping_of(confounder) or {}).get(name), (*keys, name), issues)
    if dose is None:
        return None
    high_levels = {"high": [*dose.high]} if dose.high else {}
    if dose.scheme == "one-sided":
        return {"share": dict(shares), **high_levels}
    strength = shares["positive"] - shares["negative"]
    return {} if factors.are_drawn and strength == 0 else {"strength": strength, **high_levels}


# `dose:` of an environment: a confounder on a share p of the images of one class, which a dose-response varies.
#
# environments:
#   train:    {dose: {confounder: [tag, sex], p: [0, 0.2, 0.5, 1]}}         # on a share p of the positive class
#   same:     {like: train}
#   clean:    {like: train, dose: {p: 0}}                                   # on no image
#   none:     {like: train, dose: {p: 0.5, on: both}}                       # on half of each class: it tells nothing
#   reversed: {like: train, dose: {p: 1, on: negative}}                     # on all negatives and no positive
#
# For an intervention it is short for a share of each class: the images marked at p = 0.2 are among those marked at
# p = 0.5, and training at p = 0 is the same for every confounder.
#
# For a factor of the data it is short for an association (see `assay.spec.environments`).


_DOSED = "the intervention or the factor that is dosed, such as tag, {tag: {contrast: 0.6}} or sex"


def _confounder(value: Any) -> Any:
    named = isinstance(value, str) or len(mapping_of(value) or {}) == 1
    if not named or not value:
        raise invalid(issue((), value or "", f"expected {_DOSED}"))
    return value


class Dose(Frozen):
    """A confounder on a share p of the images of one class."""

    model_config = ConfigDict(json_schema_extra={"examples": ["{confounder: tag, p: 0.5}"]})
    confounder: Annotated[Any, BeforeValidator(_confounder), Field(description=_DOSED)]
    p: Annotated[float, Field(ge=0, le=1, description="share of the class that has the confounder")]
    on: Literal["positive", "negative", "both"] = "positive"
    apply_at: Annotated[ApplyAt, Field(description="of an intervention; see `interventions`")] = "input"

    @property
    def name(self) -> str:
        """The name of the intervention or factor."""
        return next(iter(mapping_of(self.confounder) or [self.confounder]))

    @property
    def shares(self) -> dict[str, float]:
        """The share of the positive and of the negative class that has the confounder."""
        positive, negative = SIDES[self.on]
        return {"positive": self.p * positive, "negative": self.p * negative}


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
    """Return the name of the axis of doses, or "" where a study has none.

    It is the end of `environments.train.dose.p`, and its values are the shares that are trained with.
    """
    path_of_p = f".{join_keys(P_PATH)}"
    for name in points[0].coordinates if points else ():
        if path_of_p.endswith(f".{name}") and all(_bears(point, point.coordinates.get(name, "")) for point in points):
            return name
    return ""


def amount_axis(points: Sequence[RecipePoint]) -> str:
    """Return the name of the axis of amounts, or "" where a study has none.

    It is the end of `environments.train.rows`, and its values are the rows that are trained on.
    """
    path_of_rows = f".{join_keys(ROWS_PATH)}"
    for name in points[0].coordinates if points else ():
        if path_of_rows.endswith(f".{name}") and all(label(p.train.rows) == p.coordinates.get(name) for p in points):
            return name
    return ""


def _bears(point: RecipePoint, p: str) -> bool:
    """Return whether this share of a class has a confounder in training; p = 0 may leave no trace."""
    shares = [
        intervention.share
        for intervention in point.train.interventions.values()
        if isinstance(intervention.share, Mapping)
    ]
    ties = point.train.association.values()
    borne = [max(share.values()) for share in shares] + [abs(tie.strength) for tie in ties if tie.share is None]
    borne += [max(tie.share.positive, tie.share.negative) for tie in ties if tie.share is not None]
    return p == "0" or any(label(intervention) == p for intervention in borne)


def dosed_factors(points: Sequence[RecipePoint], axis: str) -> dict[str, Borne]:
    """Find the confounder that each recipe is trained with a dose of.

    It is the factor that differs between training at the largest dose and at p = 0.

    Returns:
        Recipe -> the factor and its high levels.
    """
    at: dict[str, dict[float, RecipePoint]] = {}
    for point in points:
        rest = {name: value for name, value in point.coordinates.items() if name != axis}
        at.setdefault(canonical_json(rest), {})[float(point.coordinates[axis])] = point
    confounders: dict[str, Borne] = {}
    for doses in at.values():
        none, most = ({**doses[p].train.association, **doses[p].train.interventions} for p in (min(doses), max(doses)))
        differing = [name for name in most if none.get(name) != most[name]]
        if len(differing) == 1:
            tie = doses[max(doses)].train.association.get(differing[0])
            confounders |= dict.fromkeys(
                (point.label for point in doses.values()), (differing[0], tie.high if tie else ())
            )
    return confounders


class DosedEnvironment(NamedTuple):
    """An environment whose dose is written out.

    Attributes:
        environment: The environment without `dose`.
        origins: Keys of the parts that the dose is short for -> keys at which they were written.
        valid: Whether nothing was wrong with the dose.
    """

    environment: Any
    origins: dict[Keys, Keys]
    valid: bool


def written_out(value: Any, keys: Keys, issues: Issues, factors: Factors) -> DosedEnvironment:
    """Write out the `dose` of an environment as an association or intervention.

    On a phantom nothing is written for a factor tied at 0, which equals a factor that is untied, so that training at
    p = 0 is the same for every confounder. On files strength 0 chooses rows.

    Args:
        value: The environment as written, with `like` resolved.
        keys: Where it is written.
        issues: The collection that issues are added to.
        factors: The factors of the data.
    """
    environment = mapping_of(value)
    if environment is None or "dose" not in environment:
        return DosedEnvironment(value, {}, True)
    at: Keys = (*keys, "dose")
    dose = validated(Dose, environment["dose"], at, issues)
    rest = {key: item for key, item in environment.items() if key != "dose"}
    wrong = DosedEnvironment(rest, {}, False)
    if dose is None:
        return wrong
    name, shares, side = dose.name, dose.shares, dose.on
    confounder, place_of_confounder = dose.confounder, (*at, "confounder")
    sampled = is_factor(name, confounder, place_of_confounder, issues, factors)
    if sampled is None:
        return wrong
    if sampled:
        part, entry = "association", association(name, confounder, shares, place_of_confounder, issues, factors)
        if entry is not None and "share" not in entry and side == "both" and keys == TRAIN:
            what = f"trained on both classes, '{name}' is tied to neither, and the same at every p"
            issues.add((*at, "on"), side, what, f"leave '{name}' out of this dose, or put it on one class")
            return wrong
    else:
        part, name = "interventions", name.rpartition(":")[2]
        entry = {"component": confounder, "share": shares, "apply_at": dose.apply_at}
    others = section(rest.get(part), (*keys, part), issues, _SHORT[part])
    if name in others:
        issues.add(place_of_confounder, name, f"'{name}' is under {part} too; keep one")
        return wrong
    if not entry:
        return DosedEnvironment(rest, {}, entry is not None)
    place, amount = (*keys, part, name), (*at, "p")
    origins = {
        place: place_of_confounder,
        (*place, "component"): place_of_confounder,
        (*place, "high"): (*place_of_confounder, name, "high"),
    }
    origins |= {(*place, "share"): amount, (*place, "strength"): amount, (*place, "apply_at"): (*at, "apply_at")}
    return DosedEnvironment({**rest, part: {**others, name: entry}}, origins, True)


_SHORT = {"association": "{sex: 0.5}", "interventions": "{intervention: {share: 0.5}}"}
"""What stands under the parts of an environment that a dose is written into."""


# Each point of the grid as a recipe, a training environment and test environments.


def grid_points(
    values: Mapping[str, Any], axes: Sequence[Axis], grid: Sequence[GridPoint], issues: Issues, factors: Factors
) -> list[tuple[RecipePoint, Issues]]:
    """Make the points of the grid, without those that are wrong.

    Args:
        values: The study.
        axes: Its axes.
        grid: The points as settings of the axes.
        issues: The collection that issues are added to.
        factors: The factors of the data, which may be dosed.

    Returns:
        The points in order, each with the issues of its own place.
    """
    environments = mapping_of(values.get("environments"))
    if environments is None or "train" not in environments or len(environments) < 2:
        expected = "expected `train` and at least one environment to test on, such as {train: {}, same: {like: train}}"
        issues.add(("environments",), values.get("environments", ""), expected)
        return []
    before = len(issues.entries)
    resolve_environments(environments, issues)
    if len(issues.entries) > before:  # the inherited values are not known
        issues.raise_found()
    resolved = [_resolve_point(settle(values, point.settings), point, issues, factors) for point in grid]
    points = [placed for placed in resolved if placed is not None]
    _refuse_twins([point for point, _ in points], axes, issues)
    return points


def _resolve_point(
    values: Mapping[str, Any], point: GridPoint, issues: Issues, factors: Factors
) -> tuple[RecipePoint, Issues] | None:
    here = issues.at(point.origins)
    made_from, inherited = resolve_environments(values["environments"], here)
    here = issues.at({**{heir: here.source(parent) for heir, parent in inherited.items()}, **point.origins})
    how = validated(RecipeSpec, values.get("recipe"), ("recipe",), here)
    doses_valid = True
    for name, item in made_from.items():
        at = ("environments", name)
        made_from[name], written, valid = written_out(item, at, here, factors)
        doses_valid &= valid
        here = issues.at({**{derived: here.source(at) for derived, at in written.items()}, **here.origins})
    environments = {name: environment(item, ("environments", name), here) for name, item in made_from.items()}
    splits_valid = _check_splits(values["environments"], here)
    parsed = {name: item for name, item in environments.items() if item is not None}
    if how is None or len(parsed) < len(environments) or not (splits_valid and doses_valid):
        return None
    train = parsed.pop("train").model_copy(update={"split": "train"})
    return RecipePoint(coordinates=point.coordinates, recipe=how, train=train, tests=parsed), here


def _check_splits(environments: Mapping[str, Any], issues: Issues) -> bool:
    """Return whether `train` alone is made from training rows, and is like no other environment."""
    train = mapping_of(environments["train"]) or {}
    if "like" in train:
        issues.add(("environments", "train", "like"), train["like"], "'train' is like none: the others are like it")
    if train.get("split", "train") == "test":
        issues.add(("environments", "train", "split"), "test", "environment 'train' is made from training rows")
    if train.get("crop"):
        what = "crop is for test environments: training uses whole images"
        issues.add(("environments", "train", "crop"), train["crop"], what, "leave it out")
    tests = {name: mapping_of(item) or {} for name, item in environments.items() if name != "train"}
    wrong = [name for name, item in tests.items() if item.get("split") == "train"]
    for name in wrong:
        what = "every environment but 'train' is made from test rows: models have seen the training rows"
        issues.add(("environments", name, "split"), "train", what, "leave `split` out")
    amounts = ("rows", "fraction")
    fewer = [(name, key) for name, item in tests.items() for key in amounts if item.get(key) is not None]
    for name, key in fewer:
        what = f"{key}: how much is trained on; a test environment keeps all of its own rows"
        issues.add(("environments", name, key), tests[name][key], what, "leave it out")
    return not wrong and not fewer


def _refuse_twins(points: Sequence[RecipePoint], axes: Sequence[Axis], issues: Issues) -> None:
    """Refuse two points that differ only in spelling, such as `supcon` and `supcon` with its default temperature.

    Points that train the same and are tested differently are allowed: p = 0 of two confounders.
    """
    points_by_text: dict[str, RecipePoint] = {}
    for point in points:
        specs = (point.recipe, point.train, *point.tests.values())
        what = "\n".join(part.model_dump_json() for part in specs)
        twin = points_by_text.setdefault(what, point)
        axis = next((axis for axis in axes if twin.coordinates[axis.name] != point.coordinates[axis.name]), None)
        if axis is not None:  # the axis has already reported two equal labels
            same = f"'{twin.coordinates[axis.name]}' and '{point.coordinates[axis.name]}'"
            issues.add(axis.paths[0], "", f"the values {same} of this axis are the same; keep one")


def marked(points: Sequence[RecipePoint]) -> list[str]:
    """Return the names of all interventions, each once."""
    environments = [environment for point in points for environment in (point.train, *point.tests.values())]
    return list(dict.fromkeys(name for environment in environments for name in environment.interventions))


# The `sources:` part of a study: starts by name, trained by the study itself on images of their own, or given.
#
# sources:
#   natural:
#     data: {phantom: natural, size: 64, train: 4000, validation: 500, target: kind, core: kind}
#     recipe: {epochs: 16, batch_size: 64}
#   unlabeled:
#     data: own                                            # the study's own training images
#     recipe: {epochs: 50, loss: vicreg}
#   radiology:
#     initialization: {file: {path: radimagenet.pt}}     # a short name for tables and pages
# recipe:
#   initialization: [random, natural, radiology]         # a source is named like any other start

SECTION: Keys = ("sources",)
SOURCE_KEYS = ("data", "environment", "recipe", "initialization")
OWN_IMAGES = "own"
"""What a source that is trained on the study's own training images has in the place of data."""


class GivenSource(Frozen):
    """A source that is given, not trained."""

    initialization: Annotated[Component, GivenStart]


def sources_section(value: Any, issues: Issues) -> dict[str, SourceSpec]:
    """Return name -> source that the study trains; one that is wrong is left out, with an issue."""
    sections = section(value, SECTION, issues, "{name: {data: {phantom: nodule, core: margin}, recipe: {epochs: 10}}}")
    parsed = {name: _source(name, item, (*SECTION, name), issues) for name, item in sections.items()}
    sources = {name: source for name, source in parsed.items() if source is not None}
    for name in sources:
        _refuse_circle(name, sources, issues)
    return sources


def start_of(recipe: RecipeSpec) -> str:
    """Return the name of the source that a recipe starts from, or "" where it starts otherwise."""
    start = recipe.initialization
    return str(start.params.get("name", "")) if start.name == "source" else ""


def stream_seed(recipe: RecipeSpec, seed: int) -> int:
    """Return the seed of a training's own draws: the trial's, unless the recipe has streams of its own."""
    return derive(seed, "streams", recipe.streams) % 2**30 if recipe.streams else seed


def images_seed(seed: int) -> int:
    """Return the seed of the images of a source: different from any that a study counts up to.

    A phantom draws bodies from it. With the trial's own seed, a source of chests would be trained on the bodies that
    its trials are trained on, and no other source would. Below 2^30, within which patients have numbers.

    Args:
        seed: The seed of the trial.
    """
    return derive(seed, "images of a source") % 2**30


def _source(name: str, value: Any, keys: Keys, issues: Issues) -> SourceSpec | None:
    before = len(issues.entries)
    fields = section(value, keys, issues, "{data: {...}, recipe: {...}}")
    for key in fields:
        if key not in SOURCE_KEYS:
            issues.note(unknown_key((*keys, key), SOURCE_KEYS))
    if name in [entry.name for entry in entries("initialization")]:
        issues.add(keys, "", f"'{name}' is the name of an initialization already; call the source something else")
    if "initialization" in fields:
        _named(fields, keys, issues)
        return None
    on_study_images, at = fields.get("data") == OWN_IMAGES, (*keys, "recipe")
    if on_study_images:  # problems with the study's own data are reported where they are written
        data = data_section(issues.document.values.get("data"), Issues(issues.document))
        data = data and data.model_copy(update={"boxes": None})  # which nothing is trained on
    else:
        data = data_section(fields.get("data"), issues, (*keys, "data"))
    distribution = environment(fields.get("environment"), (*keys, "environment"), issues)
    recipe = section(fields.get("recipe"), at, issues, "`key: value` pairs such as {epochs: 10, batch_size: 64}")
    if "architecture" in recipe:
        what = "a source has the architecture of the recipe that starts from it; leave this out"
        issues.add((*at, "architecture"), recipe["architecture"], what)
    how = validated(RecipeSpec, {key: item for key, item in recipe.items() if key != "architecture"}, at, issues)
    if data is None or distribution is None or how is None or len(issues.entries) > before:
        return None
    return SourceSpec(
        data=data, own=on_study_images, environment=distribution.model_copy(update={"split": "train"}), recipe=how
    )


def _named(fields: Mapping[str, Any], keys: Keys, issues: Issues) -> None:
    """Check a source that is given, not trained."""
    for key in [key for key in SOURCE_KEYS if key in fields and key != "initialization"][:1]:
        what = "a source is either given (`initialization`) or trained here (`data` and `recipe`); keep one"
        issues.add((*keys, key), fields[key], what)
    validated(GivenSource, {"initialization": fields["initialization"]}, keys, issues)


def _refuse_circle(name: str, sources: Mapping[str, SourceSpec], issues: Issues) -> None:
    chain = [name]
    while (start := start_of(sources[chain[-1]].recipe)) in sources:
        if start in chain:
            if start == name == min(chain):  # reported once, not by every source of the circle
                keys = (*SECTION, name, "recipe", "initialization")
                issues.add(keys, start, f"sources start from each other in a circle: {' -> '.join([*chain, start])}")
            return
        chain.append(start)
