"""Checks that compare parts of a study: task, probes, contrasts and their axes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from assay.core.errors import nearest
from assay.core.measures import (
    BY_MOVING,
    BY_VARIANCE,
    DOSED,
    INDEPENDENT,
    MEASURES,
    NATIVE,
    NEUTRAL,
    OF_MAPS,
    OF_WORST_GROUP,
    SHARES,
    MeasureName,
)
from assay.core.registry import entries, lookup
from assay.core.types import Factor
from assay.spec.document import Keys, dotted, mapping_of
from assay.spec.environments import CONFOUNDER_PATH, P_PATH, ROWS_PATH, dose_axis, dosed_factors, marked
from assay.spec.grid import Axis, label, resolve, selection
from assay.spec.issues import Issues, shorten
from assay.spec.schema import AssociationSpec, Component, ContrastSpec, DataSpec, EnvironmentSpec, RecipePoint
from assay.spec.sections import LESION, has_masks, no_shares, undeclared, undeclared_columns

# What a study must have, and must not ask, because of what its networks say: a class an image, or one a pixel.

PROBES_OF_MAPS = ("segmentation", "lesion-free")
"""Probes that look at maps of logits."""


def usual_probes(values: Mapping[str, Any]) -> list[str]:
    """The probes of a study that names none: those of a segmentation ask what it does where there is no lesion too."""
    asked = (mapping_of(values.get("recipe")) or {}).get("task")
    return ["performance", *PROBES_OF_MAPS] if asked == "segmentation" else ["performance"]


def check_task(
    points: Sequence[RecipePoint],
    data: DataSpec | None,
    contrasts: Sequence[ContrastSpec | None],
    probes: Sequence[Component] | None,
    issues: Issues,
) -> None:
    """One task, images that have masks where pixels are told apart, probes and contrasts that it can answer."""
    tasks = list(dict.fromkeys(point.recipe.task for point in points))
    if len(tasks) > 1:
        what = "recipes of both tasks in one study, whose answers cannot be compared: keep one task"
        issues.add(("recipe", "task"), ", ".join(tasks), what)
        return
    if tasks == ["classification"]:
        for i, probe in enumerate(probes or ()):
            if probe.name in PROBES_OF_MAPS:
                what = f"probe '{probe.name}' reads logits of pixels, and the recipes classify images"
                issues.add(("probes", i), probe.name, what, "set recipe.task to segmentation, or leave the probe out")
        return
    check_native(data, contrasts, probes or (), issues)
    if data is not None and without_masks(data):
        remedy = "name the column of masks in data.mask, or table: '' for the folders images/ and masks/"
        issues.add(("recipe", "task"), "segmentation", "these data have no masks", remedy)
    for i, contrast in enumerate(contrasts):
        if contrast is not None and contrast.at == "matched-fit":
            what = "matched fit refits a head on pooled features, which a segmentation has no use for"
            issues.add(("contrasts", i, "at"), contrast.at, what, "leave `at` out; quietness is compared at matched "
                         "sensitivity by the measures false-positive-rate-at-80, -90 and -95")  # fmt: skip


def asks_native(probes: Sequence[Component]) -> bool:
    """Whether maps are to be measured at the size of the images' files too."""
    return any(probe.name == "segmentation" and probe.params.get("native") for probe in probes)


def check_native(
    data: DataSpec | None,
    contrasts: Sequence[ContrastSpec | None],
    probes: Sequence[Component],
    issues: Issues,
) -> None:
    """Check that native size is that of files, and that what is compared at it is measured at it."""
    asked = asks_native(probes)
    if asked and data is not None and data.phantom is not None:
        at = next(i for i, probe in enumerate(probes) if asks_native([probe]))
        what = f"a phantom has no native size: its images are drawn at data.size, {data.size} px"
        issues.add(("probes", at, "segmentation", "native"), True, what, "leave `native` out, or raise data.size")
    for i, contrast in enumerate(contrasts):
        if contrast is not None and contrast.measure in NATIVE and not asked:
            what = "is measured at native size, which no probe of this study is asked for"
            remedy = "write probes: [{segmentation: {native: true}}]"
            issues.add(("contrasts", i, "measure"), contrast.measure, what, remedy)


def without_masks(data: DataSpec) -> bool:
    """Return whether the spec alone shows that no image has a mask."""
    return bool(data.classes or data.medmnist or (data.folder and data.table and not has_masks(data)))


# What probes name in their arguments: test environments, and what a contrast by their measures can be of.


def environments_of(probe: Component) -> dict[str, str]:
    """Argument -> the test environment that it names; none where it has its default."""
    named = lookup("probe", probe.name).params.environments
    return {argument: str(probe.params[argument]) for argument in named if argument in probe.params}


def check_probes(probes: Sequence[Component], tests: Collection[str], issues: Issues) -> None:
    """Every environment that a probe names is one that the study tests in."""
    for i, probe in enumerate(probes):
        for argument, given in environments_of(probe).items():
            if given not in tests:
                near = nearest(given, tests)
                meant = f"did you mean '{near}'?" if near else f"leave '{argument}' out, or add the environment"
                what = f"no such test environment: {shorten(list(tests))}"
                issues.add(("probes", i, probe.name, argument), given, what, meant)


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


# What a contrast needs of the axes that it runs along: budgets, doses, or amounts of training data.

CONFOUNDER = "confounder"
"""As the `factor` of a contrast: whichever confounder a recipe is trained with a dose of."""
Fixed = Mapping[str, set[str]]
"""Axis -> the labels that a contrast's `where` leaves."""


def check_levels(contrast: ContrastSpec, axis: Axis, keys: Keys, issues: Issues) -> None:
    """The values that alone are compared lie on the axis, and none is the one that it is compared with."""
    others = [name for name in axis.labels if name != contrast.against]
    for name in contrast.levels:
        if name not in others:
            near = nearest(name, others)
            what = f"not on axis '{axis.name}' beside '{contrast.against}': {shorten(others) or 'none'}"
            issues.add((*keys, "levels"), name, what, f"did you mean '{near}'?" if near else "")


def check_along(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, issues: Issues) -> None:
    """The axes that `at` speaks of are there, whole and free, and the measure can be compared along them."""
    if contrast.at == "matched-fit":
        _check_budgets(contrast, axes, fixed, keys, issues)
    if contrast.at in ("dose-response", "matched-clean"):
        _check_doses(contrast, axes, fixed, keys, issues)
    if contrast.at == "matched-clean":
        _check_amounts(contrast, axes, fixed, keys, issues)
    elif contrast.clean:
        what = f"at {contrast.at} nothing is matched on clean images"
        issues.add((*keys, "clean"), contrast.clean, what, "leave it out, or compare `at: matched-clean`")


def per_confounder(
    contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[Axis], drawn: bool
) -> tuple[ContrastSpec, ...]:
    """What a contrast with `factor: confounder` is short for: one of each confounder that is dosed, which holds it.

    The contrast itself where its factor is another, or nothing is dosed. drawn: whether images are, so that any factor
    can be moved and all else kept; of images from files only what is put on them can, and what is chosen by their rows
    is left out where the measure asks for that.
    """
    each = _each_confounder(contrast, points, axes)
    if contrast.measure in BY_MOVING and not drawn:
        each = [one for one in each if one.factor in marked(points)]
    return tuple(each) or (contrast,)


def _each_confounder(contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[Axis]) -> list[ContrastSpec]:
    """The same, whatever the measure asks for."""
    doses = dose_axis(points)
    if contrast.factor != CONFOUNDER or not doses:
        return []
    confounders = resolve(dotted(CONFOUNDER_PATH), axes)
    name = confounders.name if confounders else ""
    dosed = dosed_factors(points, doses)
    factors = {point.coordinates.get(name, ""): dosed[point.label][0] for point in points if point.label in dosed}
    held = _confounder_held(contrast, axes)
    where = {
        key: value for key, value in contrast.where.items() if not confounders or resolve(key, axes) != confounders
    }
    return [
        contrast.model_copy(update={"factor": factor, "where": {**where, **({name: level} if name else {})}})
        for level, factor in factors.items()
        if held <= {level}
    ]


def confounder_of(
    contrast: ContrastSpec,
    points: Sequence[RecipePoint],
    axes: Sequence[Axis],
    drawn: bool,
    keys: Keys,
    issues: Issues,
) -> ContrastSpec | None:
    """The contrast to check: the first of those that one with `factor: confounder` is short for, as `per_confounder`
    says. None, and a issue noted, where it is short for none; a measure of no factor is checked as written.
    """
    measure = MEASURES.get(contrast.measure)
    if contrast.factor != CONFOUNDER or (measure is not None and "factor" not in measure.needs):
        return contrast
    short_for = per_confounder(contrast, points, axes, drawn)
    if short_for != (contrast,):
        return short_for[0]
    at: Keys = (*keys, "factor")
    if not dose_axis(points):
        what = "stands for each confounder along its doses, and this study has no list of them"
        issues.add(at, CONFOUNDER, what, "such as environments.train.dose: {confounder: tag, p: [0, 0.5, 1]}")
    elif _each_confounder(contrast, points, axes):
        needed = f"'{contrast.measure}' needs a confounder that is put on images"
        issues.add(at, CONFOUNDER, f"{needed}; those that are meant are chosen by rows", left_out(keys))
    elif _confounder_held(contrast, axes) <= {label for axis in axes for label in axis.labels}:
        what = "leaves no recipe that is trained with a dose of a confounder"
        issues.add((*keys, "where"), dict(contrast.where), what, left_out(keys))
    else:
        return contrast  # a value that is not on the axis, which is told when `where` is checked
    return None


def _confounder_held(contrast: ContrastSpec, axes: Sequence[Axis]) -> set[str]:
    """Where a contrast holds the axis of confounders."""
    confounders = resolve(dotted(CONFOUNDER_PATH), axes)
    return {value for key, value in contrast.where.items() if confounders and resolve(key, axes) == confounders}


def left_out(keys: Keys) -> str:
    """How a contrast is left out of a study."""
    return f"--set {'.'.join(map(str, keys))}=null leaves this contrast out"


def _check_budgets(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, issues: Issues) -> None:
    """Along `epochs`, by what is measured of all images."""
    budget = resolve("epochs", axes)
    if budget is None or len(budget.labels) < 2 or len(fixed.get(budget.name, budget.labels)) < 2:
        remedy = f"give recipe.epochs a list, and leave it out of this contrast's `where`; {left_out(keys)}"
        issues.add((*keys, "at"), "matched-fit", "matched-fit compares along several budgets", remedy)
    measure = MEASURES.get(contrast.measure)
    if measure is not None and (measure.probe != "performance" or measure.name in OF_WORST_GROUP):
        what = f"matched-fit compares performance on all images, which '{contrast.measure}' is not"
        issues.add((*keys, "measure"), contrast.measure, what, "compare it at equal budget, or along doses")


def _check_doses(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, issues: Issues) -> None:
    """Along `p` from 0, whatever the axis compared, by a measure of which the change means something."""
    doses = resolve(dotted(P_PATH), axes)
    at: Keys = (*keys, "at")
    if doses is None or len(doses.paths) > 1 or len(doses.labels) < 2 or "0" not in doses.labels:
        remedy = f"such as environments.train.dose: {{confounder: tag, p: [0, 0.5, 1]}}; {left_out(keys)}"
        what = f"{contrast.at} compares along the doses p: an axis with 0 and another"
        issues.add(at, contrast.at, what, remedy)
    elif doses.name == contrast.axis or doses.name in fixed:
        remedy = f"compare along another axis, and leave {doses.name} out of `where`; {left_out(keys)}"
        issues.add(at, contrast.at, f"{contrast.at} runs over all of {doses.name}", remedy)
    allowed = SHARES if contrast.at == "matched-clean" else DOSED
    if contrast.measure not in allowed and (contrast.measure in MEASURES or not nearest(contrast.measure, MEASURES)):
        what = f"{contrast.at} is claimed on the probit scale too, which '{contrast.measure}' has not"
        if contrast.measure in DOSED:
            what = f"{contrast.at} matches performance on all images, which '{contrast.measure}' is not"
        issues.add((*keys, "measure"), contrast.measure, what, f"{contrast.at} takes {shorten(allowed)}")


def _check_amounts(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, issues: Issues) -> None:
    """Along `rows` of the training environment, and matched in a test environment that is named."""
    amounts = resolve(dotted(ROWS_PATH), axes)
    at: Keys = (*keys, "at")
    if (
        amounts is None
        or len(amounts.paths) > 1
        or len(amounts.labels) < 2
        or not all(map(str.isdigit, amounts.labels))
    ):
        remedy = f"such as environments.train.rows: [100, 300, 1000]; {left_out(keys)}"
        what = "matched-clean compares along amounts of training rows: an axis of at least two numbers"
        issues.add(at, contrast.at, what, remedy)
    elif amounts.name == contrast.axis or amounts.name in fixed:
        remedy = f"compare along another axis, and leave {amounts.name} out of `where`; {left_out(keys)}"
        issues.add(at, contrast.at, f"matched-clean runs over all of {amounts.name}", remedy)
    if not contrast.clean:
        what = "matched-clean needs `clean`, the test environment without the confounder"
        issues.add(keys, "", what, "such as clean: {like: train, dose: {p: 0}} in environments, and clean: clean here")


# What only the parts of a study together can show to be wrong: factors that the data lacks, contrasts that nothing in
# the grid answers.

_MISSPELT = 0.8
"""How alike a name must be to a factor's to count as one misspelt, as difflib has it."""


def check_core(data: DataSpec, factors: Mapping[str, Factor], at: Keys, issues: Issues) -> None:
    """A phantom's target is defined by one of its factors; its own name is free, but for a misspelt factor.

    at: where the data are written.
    """
    if data.phantom is None:
        return
    if data.core in factors:
        close = [] if data.target in factors else get_close_matches(data.target, factors, 1, _MISSPELT)
        if close:
            what = f"no factor is called '{data.target}', so that it would be a name for the classes of '{data.core}'"
            issues.add((*at, "target"), data.target, what, f"did you mean '{close[0]}'? else give it another name")
        return
    near = nearest(data.core, factors)
    meant = f": did you mean '{near}'?" if near else ""
    what = f"no factor '{data.core}' in the phantom '{data.phantom.name}'{meant}" if data.core else "'core' is missing"
    keys: Keys = (*at, "core") if data.core else at
    issues.add(keys, "", what, f"the factor that defines the target, one of {shorten(list(factors))}")


def check_split(data: DataSpec, factors: Mapping[str, Factor], issues: Issues) -> None:
    """Rows that are tested only are told by factors that there are."""
    _check_conditions(("data", "split", "test_only"), data.split.test_only, data, factors, issues)


def check_environment(
    name: str, environment: EnvironmentSpec, data: DataSpec, factors: Mapping[str, Factor], issues: Issues
) -> None:
    """Every factor that an environment names exists, and has the levels that are named."""
    keys: Keys = ("environments", name)
    for factor, tie in environment.association.items():
        at = (*keys, "association", factor)
        if factor not in factors and factor not in environment.interventions:
            _unknown_factor(at, factor, list(factors), data, issues)
        elif factor in factors:
            _check_levels((*at, "high"), factors[factor], list(tie.high), issues)
        _check_shares(at, factor, tie, factors, issues)
        _check_conditions((*at, "given"), tie.given, data, factors, issues)
    _check_conditions((*keys, "where"), environment.where, data, factors, issues)
    if environment.crop and name != "train" and (data.phantom is not None or factors.get(LESION.name) != LESION):
        what = "crops need photographs with masks and `target: lesion`"
        issues.add((*keys, "crop"), environment.crop, what, "lesion-free phantoms: `where: {lesion: absent}`")
    for factor, visibility in environment.difficulty.items():
        at = (*keys, "difficulty", factor)
        if data.phantom is None:
            issues.add(at, visibility, "difficulty is for phantoms: what real images show cannot be dimmed")
        elif factor not in factors:
            _unknown_factor(at, factor, list(factors), data, issues)


def _check_shares(at: Keys, name: str, tie: AssociationSpec, factors: Mapping[str, Factor], issues: Issues) -> None:
    """Shares of high rows are of a categorical factor; those of an intervention are its own."""
    if tie.share is None:
        return
    if name in factors:
        refused, remedy = no_shares(factors[name]), "a strength (`scheme: balanced`) ties any factor"
    else:
        refused, remedy = f"'{name}' is an intervention", f"interventions: {{{name}: {{share: ...}}}} says the same"
    if refused:
        issues.add(at, "", refused, remedy)


def check_groups(
    points: Sequence[tuple[RecipePoint, Issues]],
    data: DataSpec,
    factors: Mapping[str, Factor] | None,
    issues: Issues,
) -> None:
    """`recipe.groups` names a factor or an intervention of the training environment, and some recipe looks at it."""
    written = (mapping_of(issues.document.values.get("recipe")) or {}).get("groups")
    if written and not any(point.recipe.groups for point, _ in points):
        what = "no mitigation and no selection of this study uses groups"
        issues.add(("recipe", "groups"), written, what, "leave it out, or choose `selection: best-worst-group`")
    for point, here in points:
        name = point.recipe.groups
        if name and factors is not None and name not in factors and name not in point.train.interventions:
            _unknown_factor(("recipe", "groups"), name, [*factors, *point.train.interventions], data, here)


def _unknown_factor(keys: Keys, factor: str, known: Sequence[str], data: DataSpec, issues: Issues) -> None:
    if undeclared(factor, undeclared_columns(data), keys, issues):
        return
    near = nearest(factor, known)
    named = data.phantom or data.dataset
    origin = f"the {named.kind} '{named.name}'" if named else "data.factors"
    meant = f": did you mean '{near}'?" if near else ""
    remedy = (
        f"factors: {shorten(known)}" if known else "declare the column, such as data: {factors: {age: {unit: years}}}"
    )
    issues.add(keys, "", f"no factor '{factor}' in {origin}{meant}", remedy)


def _check_conditions(
    keys: Keys, where: Mapping[str, Any], data: DataSpec, factors: Mapping[str, Factor], issues: Issues
) -> None:
    for name, wanted in where.items():
        if name not in factors:
            _unknown_factor((*keys, name), name, list(factors), data, issues)
            continue
        bounds = mapping_of(wanted)
        values = list(bounds.values()) if bounds is not None else cast(list[Any], wanted)
        _check_levels((*keys, name), factors[name], values, issues)
        if bounds is not None and factors[name].levels and factors[name].kind == "categorical":
            issues.add((*keys, name), bounds, f"'{name}' is categorical and has no range", "list the levels wanted")


def _check_levels(keys: Keys, factor: Factor, values: Iterable[Any], issues: Issues) -> None:
    """Values of a factor with levels are among them, by name; those of other factors are numbers."""
    for value in values:
        if factor.levels and _text(value) not in factor.levels:
            near = nearest(str(value), factor.levels)
            meant = f"did you mean '{near}'?" if near else ""
            issues.add(keys, value, f"not a level of '{factor.name}': {shorten(factor.levels)}", meant)
        elif not factor.levels and factor.kind == "continuous" and isinstance(value, (str, bool)):
            unit = f" in {factor.unit}" if factor.unit else ""
            issues.add(keys, value, f"'{factor.name}' takes numbers{unit}")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_contrasts(
    contrasts: Sequence[ContrastSpec | None],
    axes: Sequence[Axis],
    tests: Iterable[str],
    factors: Iterable[str] | None,
    probes: Sequence[Component] | None,
    issues: Issues,
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
        _check_axis(contrast, axes, keys, issues)
        if probes is not None:
            _check_measure(contrast, probes, keys, issues)
        environments = _measured_in(contrast.measure, tests, probes)
        elsewhere = contrast.environment in (*tests, NEUTRAL, INDEPENDENT) or not {*tests} & {*environments}
        if contrast.environment and elsewhere and contrast.environment not in environments:
            what = f"'{contrast.measure}' is not measured there, but in: {shorten(environments)}"
            if not environments:
                what = f"'{contrast.measure}' is of the phantom as a whole and of no environment"
            remedy = "" if {*tests} & {*environments} else "leave it out"
            issues.add((*keys, "environment"), contrast.environment, what, remedy)
            environments = [*environments, contrast.environment]
        for key, what, given, known in (
            ("environment", "environment", contrast.environment, environments),
            ("clean", "environment", contrast.clean, tests),
            ("factor", *factor_names(contrast, names, probes)),
        ):
            if not given or known is None or given in known:
                continue
            if key != "factor" or not undeclared(given, columns, (*keys, key), issues):
                near = nearest(given, known)
                hint = f"did you mean '{near}'?" if near else ""
                issues.add((*keys, key), given, f"no such {what}: {shorten(known)}", hint)
        if contrast in contrasts[:i]:
            issues.add(keys, "", "this contrast is stated twice; keep one")


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


def _check_axis(contrast: ContrastSpec, axes: Sequence[Axis], keys: Keys, issues: Issues) -> None:
    axis = resolve(contrast.axis, axes)
    known = [other.name for other in axes]
    if axis is None:
        near = nearest(contrast.axis, known)
        makes = f"a list in recipe or environments.train makes an axis; {left_out(keys)}"
        hint = f"did you mean '{near}'?" if near else makes
        issues.add(
            (*keys, "axis"), contrast.axis, f"no such axis; axes of this study: {shorten(known) or 'none'}", hint
        )
    else:
        if contrast.against not in axis.labels:
            near = nearest(contrast.against, axis.labels)
            hint = f"did you mean '{near}'?" if near else ""
            issues.add((*keys, "against"), contrast.against, f"not on axis '{axis.name}': {shorten(axis.labels)}", hint)
        elif len(axis.labels) < 2:
            what = f"axis '{axis.name}' has no other value to compare with it"
            issues.add((*keys, "against"), contrast.against, what, left_out(keys))
        check_levels(contrast, axis, keys, issues)
    fixed = selection(_on_axes(contrast, axes, keys, issues), axes, (*keys, "where"), issues, left_out(keys))
    if axis is not None and axis.name in fixed and contrast.against not in fixed[axis.name]:
        issues.add((*keys, "where"), contrast.where, f"leaves out '{contrast.against}', which is compared against")
    check_along(contrast, axes, fixed, keys, issues)


def _on_axes(contrast: ContrastSpec, axes: Sequence[Axis], keys: Keys, issues: Issues) -> dict[str, Any]:
    """What a contrast holds constant along axes; what it says of a field that is no axis must be that field's value."""
    along: dict[str, Any] = {}
    for name, wanted in contrast.where.items():
        held = _held(name, issues.document.values) if resolve(name, axes) is None else None
        if held is None:
            along[name] = wanted
        elif held[1] != wanted:
            place, value = held
            asked = f"--set {'.'.join(map(str, keys))}.where.{name}={value} asks for that; " if "=" not in value else ""
            remedy = f"{asked}{left_out(keys)}"
            issues.add((*keys, "where", name), wanted, f"{place} is {value} in this study, and no axis", remedy)
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


def _check_measure(contrast: ContrastSpec, probes: Sequence[Component], keys: Keys, issues: Issues) -> None:
    measure = MEASURES.get(contrast.measure)
    listed = [probe.name for probe in probes]
    if measure is None:
        if any(":" in name for name in listed):
            return  # a probe of the user's own may yield measures of any name
        near = nearest(contrast.measure, MEASURES)
        hint = f"did you mean '{near}'?" if near else ""
        issues.add((*keys, "measure"), contrast.measure, f"no such measure: {shorten(list(MEASURES))}", hint)
        return
    if measure.probe not in listed:
        given = shorten(listed) or "none"
        issues.add(
            (*keys, "measure"),
            contrast.measure,
            f"comes from probe '{measure.probe}', which this study does not list (probes: {given})",
            f"add {measure.probe} to probes",
        )
    elif measure.name in BY_VARIANCE and all(p.params.get("sobol") is False for p in probes if p.name == measure.probe):
        what = "comes from the Sobol' indices, which probe 'reliance' leaves out here"
        issues.add((*keys, "measure"), contrast.measure, what, "take `sobol: false` away")
    elif measure.name == OF_MAPS and not any(p.params.get("maps") for p in probes if p.name == measure.probe):
        what = "needs `maps` of probe 'representation'"
        issues.add((*keys, "measure"), contrast.measure, what, "list {representation: {maps: 200}} in probes")
    for field in measure.needs:
        if not getattr(contrast, field):
            issues.add(keys, "", f"measure '{measure.name}' says nothing without `{field}`")
    for field in ("factor", "layer"):
        if getattr(contrast, field) and field not in measure.needs:
            what = f"measure '{measure.name}' is of the whole and of no {field}"
            issues.add((*keys, field), getattr(contrast, field), what, "leave it out")
