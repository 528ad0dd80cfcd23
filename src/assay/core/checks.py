"""What only the parts of a study together can show to be wrong: factors that the data lacks, contrasts that nothing in
the grid answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from assay.core.along import check_along, check_levels, left_out
from assay.core.axes import Axis, label, resolve
from assay.core.check_probes import factor_names
from assay.core.component import Component
from assay.core.data_section import undeclared, undeclared_columns
from assay.core.data_spec import DataSpec
from assay.core.document import Keys, mapping_of
from assay.core.environment_spec import AssociationSpec, EnvironmentSpec
from assay.core.errors import nearest
from assay.core.factors import LESION, no_shares
from assay.core.grid import selection
from assay.core.measures import BY_VARIANCE, INDEPENDENT, MEASURES, NEUTRAL, MeasureName
from assay.core.problems import Problems, shorten
from assay.core.spec import ContrastSpec, RecipePoint
from assay.core.types import Factor

_MISSPELT = 0.8
"""How alike a name must be to a factor's to count as one misspelt, as difflib has it."""


def check_core(data: DataSpec, factors: Mapping[str, Factor], at: Keys, problems: Problems) -> None:
    """A phantom's target is defined by one of its factors; its own name is free, but for a misspelt factor.

    at: where the data are written.
    """
    if data.phantom is None:
        return
    if data.core in factors:
        close = [] if data.target in factors else get_close_matches(data.target, factors, 1, _MISSPELT)
        if close:
            what = f"no factor is called '{data.target}', so that it would be a name for the classes of '{data.core}'"
            problems.add((*at, "target"), data.target, what, f"did you mean '{close[0]}'? else give it another name")
        return
    near = nearest(data.core, factors)
    meant = f": did you mean '{near}'?" if near else ""
    what = f"no factor '{data.core}' in the phantom '{data.phantom.name}'{meant}" if data.core else "'core' is missing"
    keys: Keys = (*at, "core") if data.core else at
    problems.add(keys, "", what, f"the factor that defines the target, one of {shorten(list(factors))}")


def check_split(data: DataSpec, factors: Mapping[str, Factor], problems: Problems) -> None:
    """Rows that are tested only are told by factors that there are."""
    _check_conditions(("data", "split", "test_only"), data.split.test_only, data, factors, problems)


def check_environment(
    name: str, environment: EnvironmentSpec, data: DataSpec, factors: Mapping[str, Factor], problems: Problems
) -> None:
    """Every factor that an environment names exists, and has the levels that are named."""
    keys: Keys = ("environments", name)
    for factor, tie in environment.association.items():
        at = (*keys, "association", factor)
        if factor not in factors and factor not in environment.interventions:
            _unknown_factor(at, factor, list(factors), data, problems)
        elif factor in factors:
            _check_levels((*at, "high"), factors[factor], list(tie.high), problems)
        _check_shares(at, factor, tie, factors, problems)
        _check_conditions((*at, "given"), tie.given, data, factors, problems)
    _check_conditions((*keys, "where"), environment.where, data, factors, problems)
    if environment.crop and name != "train" and (data.phantom is not None or factors.get(LESION.name) != LESION):
        what = "crops need photographs with masks and `target: lesion`"
        problems.add((*keys, "crop"), environment.crop, what, "lesion-free phantoms: `where: {lesion: absent}`")
    for factor, visibility in environment.difficulty.items():
        at = (*keys, "difficulty", factor)
        if data.phantom is None:
            problems.add(at, visibility, "difficulty is for phantoms: what real images show cannot be dimmed")
        elif factor not in factors:
            _unknown_factor(at, factor, list(factors), data, problems)


def _check_shares(at: Keys, name: str, tie: AssociationSpec, factors: Mapping[str, Factor], problems: Problems) -> None:
    """Shares of high rows are of a categorical factor; those of an intervention are its own."""
    if tie.share is None:
        return
    if name in factors:
        refused, remedy = no_shares(factors[name]), "a strength (`scheme: balanced`) ties any factor"
    else:
        refused, remedy = f"'{name}' is an intervention", f"interventions: {{{name}: {{share: ...}}}} says the same"
    if refused:
        problems.add(at, "", refused, remedy)


def check_groups(
    points: Sequence[tuple[RecipePoint, Problems]],
    data: DataSpec,
    factors: Mapping[str, Factor] | None,
    problems: Problems,
) -> None:
    """`recipe.groups` names a factor or an intervention of the training environment, and some recipe looks at it."""
    written = (mapping_of(problems.document.values.get("recipe")) or {}).get("groups")
    if written and not any(point.recipe.groups for point, _ in points):
        what = "no mitigation and no selection of this study uses groups"
        problems.add(("recipe", "groups"), written, what, "leave it out, or choose `selection: best-worst-group`")
    for point, here in points:
        name = point.recipe.groups
        if name and factors is not None and name not in factors and name not in point.train.interventions:
            _unknown_factor(("recipe", "groups"), name, [*factors, *point.train.interventions], data, here)


def _unknown_factor(keys: Keys, factor: str, known: Sequence[str], data: DataSpec, problems: Problems) -> None:
    if undeclared(factor, undeclared_columns(data), keys, problems):
        return
    near = nearest(factor, known)
    named = data.phantom or data.dataset
    origin = f"the {named.kind} '{named.name}'" if named else "data.factors"
    meant = f": did you mean '{near}'?" if near else ""
    remedy = (
        f"factors: {shorten(known)}" if known else "declare the column, such as data: {factors: {age: {unit: years}}}"
    )
    problems.add(keys, "", f"no factor '{factor}' in {origin}{meant}", remedy)


def _check_conditions(
    keys: Keys, where: Mapping[str, Any], data: DataSpec, factors: Mapping[str, Factor], problems: Problems
) -> None:
    for name, wanted in where.items():
        if name not in factors:
            _unknown_factor((*keys, name), name, list(factors), data, problems)
            continue
        bounds = mapping_of(wanted)
        values = list(bounds.values()) if bounds is not None else cast(list[Any], wanted)
        _check_levels((*keys, name), factors[name], values, problems)
        if bounds is not None and factors[name].levels and factors[name].kind == "categorical":
            problems.add((*keys, name), bounds, f"'{name}' is categorical and has no range", "list the levels wanted")


def _check_levels(keys: Keys, factor: Factor, values: Iterable[Any], problems: Problems) -> None:
    """Values of a factor with levels are among them, by name; those of other factors are numbers."""
    for value in values:
        if factor.levels and _text(value) not in factor.levels:
            near = nearest(str(value), factor.levels)
            meant = f"did you mean '{near}'?" if near else ""
            problems.add(keys, value, f"not a level of '{factor.name}': {shorten(factor.levels)}", meant)
        elif not factor.levels and factor.kind == "continuous" and isinstance(value, (str, bool)):
            unit = f" in {factor.unit}" if factor.unit else ""
            problems.add(keys, value, f"'{factor.name}' takes numbers{unit}")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_contrasts(
    contrasts: Sequence[ContrastSpec | None],
    axes: Sequence[Axis],
    tests: Iterable[str],
    factors: Iterable[str] | None,
    probes: Sequence[Component] | None,
    problems: Problems,
    columns: Collection[str] = (),
) -> None:
    """Every contrast can be computed: its axis, value, measure, environment and factor exist.

    What it holds constant is a value of an axis, or the value of a field that is no axis: a contrast is never bent to
    an axis that was changed, since it was stated as it is. columns: of the table that are not declared.
    """
    tests, names = list(tests), None if factors is None else list(factors)
    for i, contrast in enumerate(contrasts):
        if contrast is None:
            continue
        keys: Keys = ("contrasts", i)
        _check_axis(contrast, axes, keys, problems)
        if probes is not None:
            _check_measure(contrast, probes, keys, problems)
        environments = _measured_in(contrast.measure, tests, probes)
        elsewhere = contrast.environment in (*tests, NEUTRAL, INDEPENDENT) or not {*tests} & {*environments}
        if contrast.environment and elsewhere and contrast.environment not in environments:
            what = f"'{contrast.measure}' is not measured there, but in: {shorten(environments)}"
            if not environments:
                what = f"'{contrast.measure}' is of the phantom as a whole and of no environment"
            remedy = "" if {*tests} & {*environments} else "leave it out"
            problems.add((*keys, "environment"), contrast.environment, what, remedy)
            environments = [*environments, contrast.environment]
        for key, what, given, known in (
            ("environment", "environment", contrast.environment, environments),
            ("clean", "environment", contrast.clean, tests),
            ("factor", *factor_names(contrast, names, probes)),
        ):
            if not given or known is None or given in known:
                continue
            if key != "factor" or not undeclared(given, columns, (*keys, key), problems):
                near = nearest(given, known)
                hint = f"did you mean '{near}'?" if near else ""
                problems.add((*keys, key), given, f"no such {what}: {shorten(known)}", hint)
        if contrast in contrasts[:i]:
            problems.add(keys, "", "this contrast is stated twice; keep one")


def _measured_in(name: str, tests: list[str], probes: Sequence[Component] | None) -> list[str]:
    """The environments that a measure is taken in, among the tests and those that a scene makes by itself."""
    measure = MEASURES.get(name)
    listed = [probe.name for probe in probes or ()]
    if measure is None or measure.probe not in listed or any(":" in name for name in listed):
        return [*tests, NEUTRAL, INDEPENDENT]  # a probe of the user's own may measure anywhere
    if "environment" in measure.needs:
        return tests
    own = [measure.environment] if measure.environment else []
    return _chosen(measure, probes or ()) or own


def _chosen(measure: MeasureName, probes: Sequence[Component]) -> list[str]:
    """The environments in which the probes of a measure that looks at one are told to look."""
    looking = [probe for probe in probes if measure.environment and probe.name == measure.probe]
    return [str(probe.params.get("environment", measure.environment)) for probe in looking]


def settle_contrast(contrast: ContrastSpec, axes: Sequence[Axis], probes: Sequence[Component]) -> ContrastSpec:
    """The contrast with axes by their short names, and the environment that its probe looks at where none is named."""
    names = {name: axis.name for name in (contrast.axis, *contrast.where) if (axis := resolve(name, axes))}
    measure = MEASURES.get(contrast.measure)
    own = measure.environment if measure else ""
    chosen = _chosen(measure, probes) if measure else []
    return contrast.model_copy(
        update={
            "axis": names[contrast.axis],
            "where": {names[name]: value for name, value in contrast.where.items() if name in names},
            "environment": contrast.environment or (chosen[0] if chosen else own),
        }
    )


def _check_axis(contrast: ContrastSpec, axes: Sequence[Axis], keys: Keys, problems: Problems) -> None:
    axis = resolve(contrast.axis, axes)
    known = [other.name for other in axes]
    if axis is None:
        near = nearest(contrast.axis, known)
        makes = f"a list in recipe or environments.train makes an axis; {left_out(keys)}"
        hint = f"did you mean '{near}'?" if near else makes
        problems.add(
            (*keys, "axis"), contrast.axis, f"no such axis; axes of this study: {shorten(known) or 'none'}", hint
        )
    else:
        if contrast.against not in axis.labels:
            near = nearest(contrast.against, axis.labels)
            hint = f"did you mean '{near}'?" if near else ""
            problems.add(
                (*keys, "against"), contrast.against, f"not on axis '{axis.name}': {shorten(axis.labels)}", hint
            )
        elif len(axis.labels) < 2:
            what = f"axis '{axis.name}' has no other value to compare with it"
            problems.add((*keys, "against"), contrast.against, what, left_out(keys))
        check_levels(contrast, axis, keys, problems)
    fixed = selection(_on_axes(contrast, axes, keys, problems), axes, (*keys, "where"), problems, left_out(keys))
    if axis is not None and axis.name in fixed and contrast.against not in fixed[axis.name]:
        problems.add((*keys, "where"), contrast.where, f"leaves out '{contrast.against}', which is compared against")
    check_along(contrast, axes, fixed, keys, problems)


def _on_axes(contrast: ContrastSpec, axes: Sequence[Axis], keys: Keys, problems: Problems) -> dict[str, Any]:
    """What a contrast holds constant along axes; what it says of a field that is no axis must be that field's value."""
    along: dict[str, Any] = {}
    for name, wanted in contrast.where.items():
        held = _held(name, problems.document.values) if resolve(name, axes) is None else None
        if held is None:
            along[name] = wanted
        elif held[1] != wanted:
            place, value = held
            asked = f"--set {'.'.join(map(str, keys))}.where.{name}={value} asks for that; " if "=" not in value else ""
            remedy = f"{asked}{left_out(keys)}"
            problems.add((*keys, "where", name), wanted, f"{place} is {value} in this study, and no axis", remedy)
    return along


def _held(name: str, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The dotted place and the label of a field that is no axis, by its dotted place or the name that its axis has."""
    train = "environments.train"
    for place in (name, f"recipe.{name}", f"{train}.{name}", f"{train}.association.{name}"):
        here: Any = values
        for key in place.split("."):
            here = (mapping_of(here) or {}).get(key)
        if here is not None and "." in place:
            return place, label(here)
    return None


def _check_measure(contrast: ContrastSpec, probes: Sequence[Component], keys: Keys, problems: Problems) -> None:
    measure = MEASURES.get(contrast.measure)
    listed = [probe.name for probe in probes]
    if measure is None:
        if any(":" in name for name in listed):
            return  # a probe of the user's own may yield measures of any name
        near = nearest(contrast.measure, MEASURES)
        hint = f"did you mean '{near}'?" if near else ""
        problems.add((*keys, "measure"), contrast.measure, f"no such measure: {shorten(list(MEASURES))}", hint)
        return
    if measure.probe not in listed:
        given = shorten(listed) or "none"
        problems.add(
            (*keys, "measure"),
            contrast.measure,
            f"comes from probe '{measure.probe}', which this study does not list (probes: {given})",
            f"add {measure.probe} to probes",
        )
    elif measure.name in BY_VARIANCE and all(p.params.get("sobol") is False for p in probes if p.name == measure.probe):
        what = "comes from the Sobol' indices, which probe 'reliance' leaves out here"
        problems.add((*keys, "measure"), contrast.measure, what, "take `sobol: false` away")
    for field in measure.needs:
        if not getattr(contrast, field):
            problems.add(keys, "", f"measure '{measure.name}' says nothing without `{field}`")
    for field in ("factor", "layer"):
        if getattr(contrast, field) and field not in measure.needs:
            what = f"measure '{measure.name}' is of the whole and of no {field}"
            problems.add((*keys, field), getattr(contrast, field), what, "leave it out")
