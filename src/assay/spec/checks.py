"""Checks that compare parts of a study: task, factors, probes, and the contrasts with the axes they run along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, cast

from assay.core.errors import nearest
from assay.core.measures import (
    BY_MOVING,
    BY_VARIANCE,
    COMPARED,
    DOSED,
    INDEPENDENT,
    NEUTRAL,
    OF_WORST_GROUP,
    PROBES_OF_MAPS,
    SHARES,
    Measure,
)
from assay.core.registry import entries, lookup
from assay.core.types import Factor
from assay.spec.comparisons import CONFOUNDER, OVER_DOSES, ComparisonSides, measured_as, sides_of
from assay.spec.data import (
    LESION,
    declared_factors,
    grouped_inputs,
    has_masks,
    is_undeclared,
    no_shares,
    undeclared_columns,
)
from assay.spec.document import Keys, join_keys, mapping_of
from assay.spec.environments import CONFOUNDER_PATH, P_PATH, ROWS_PATH, dose_axis, dosed_factors, marked
from assay.spec.grid import Axis, fixed_field, label, resolve, selection
from assay.spec.issues import Issues, join_first
from assay.spec.recipe import Component
from assay.spec.schema import (
    ENVIRONMENT,
    FACTOR,
    AssociationSpec,
    ContrastSpec,
    DataSpec,
    EnvironmentSpec,
    RecipePoint,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a study that are compared with each other.

    Attributes:
        grid: The points of the grid, each with the issues of its own place.
        axes: The axes of the grid.
        data: The data, or None where they are wrong.
        factors: The factors of the data, or None where they are not known before images are read.
        probes: The probes, or None where one is wrong.
        contrasts: The contrasts, None in the place of those that are wrong or left out.
        issues: The collection that issues are added to.
    """

    grid: Sequence[tuple[RecipePoint, Issues]]
    axes: Sequence[Axis]
    data: DataSpec | None
    factors: Mapping[str, Factor] | None
    probes: Sequence[Component] | None
    contrasts: Sequence[ContrastSpec | None]
    issues: Issues

    @property
    def points(self) -> list[RecipePoint]:
        """The points of the grid."""
        return [point for point, _ in self.grid]

    @property
    def tests(self) -> list[str]:
        """The names of the test environments."""
        return list(self.grid[0][0].tests)

    @property
    def are_drawn(self) -> bool:
        """Whether images are drawn, so that any factor can be changed and all else kept."""
        return self.data is not None and self.data.phantom is not None


def check_parts(parts: Parts) -> None:
    """Check all parts of a study against each other."""
    data, factors, issues = parts.data, parts.factors, parts.issues
    if data is not None and factors is not None:
        check_core(data, factors, ("data",), issues)
        _check_conditions(("data", "split", "test_only"), data.split.test_only, data, factors, issues)
        for point, here in parts.grid:
            for name, environment in (("train", point.train), *point.tests.items()):
                source = data.tests.get(environment.data, data)
                declared = factors if source is data else declared_factors(source)
                if declared is not None:
                    check_environment(name, environment, source, declared, here)
    if data is not None:
        _check_groups(parts, data)
        _check_selection(parts, data)
        for point, here in parts.grid:
            for name, environment in (("train", point.train), *point.tests.items()):
                _check_set(name, environment, data, here)
                _check_original(("environments", name), environment, data.tests.get(environment.data, data), here)
    if issues.entries:  # a confounder cannot be found in environments that are wrong
        declared = [
            None if contrast is None or contrast.factor == CONFOUNDER else contrast for contrast in parts.contrasts
        ]
        parts = replace(parts, contrasts=declared)
    claims = [
        CheckedContrast(contrast, ("contrasts", i), parts)
        for i, contrast in enumerate(parts.contrasts)
        if contrast is not None
    ]
    claims = [claim for written in claims if (claim := _of_one_confounder(written)) is not None]
    _check_task(parts)
    check_probes(parts.probes or (), parts.tests, issues)
    for i, claim in enumerate(claims):
        _check_claim(claim)
        if claim.contrast in [other.contrast for other in claims[:i]]:
            claim.wrong("", "this contrast appears twice; keep one")
    if not issues.entries:
        _check_families(parts, claims)


# The task: a class for each image, or for each pixel.


def usual_probes(values: Mapping[str, Any]) -> list[str]:
    """Return the probes of a study that names none; a segmentation is also tested on images without a lesion."""
    task = (mapping_of(values.get("recipe")) or {}).get("task")
    return ["performance", *PROBES_OF_MAPS] if task == "segmentation" else ["performance"]


def _check_task(parts: Parts) -> None:
    """Check that recipes have one task, and that images, probes and contrasts fit it."""
    issues, probes, data = parts.issues, parts.probes or (), parts.data
    tasks = list(dict.fromkeys(point.recipe.task for point in parts.points))
    if len(tasks) > 1:
        what = "recipes of both tasks in one study, whose answers cannot be compared: keep one task"
        issues.add(("recipe", "task"), ", ".join(tasks), what)
    elif tasks == ["classification"]:
        for i, probe in enumerate(probes):
            if probe.name in PROBES_OF_MAPS:
                what = f"probe '{probe.name}' reads logits of pixels, and the recipes classify images"
                issues.add(("probes", i), probe.name, what, "set recipe.task to segmentation, or leave the probe out")
    else:
        check_native(data, probes, issues)
        for where, data_set in ({} if data is None else {"these data": data, **data.tests}).items():
            if without_masks(data_set):
                remedy = "name the column of masks in data.mask, or table: '' for the folders images/ and masks/"
                issues.add(("recipe", "task"), "segmentation", f"{where} have no masks", remedy)


def asks_native(probes: Sequence[Component]) -> bool:
    """Return whether maps are also measured at the original resolution of the images' files."""
    return any(probe.name == "segmentation" and probe.params.get("native") for probe in probes)


def check_native(data: DataSpec | None, probes: Sequence[Component], issues: Issues) -> None:
    """Check that native size is that of files."""
    if asks_native(probes) and data is not None and data.phantom is not None:
        at = next(i for i, probe in enumerate(probes) if asks_native([probe]))
        what = f"a phantom has no native size: its images are drawn at data.size, {data.size} px"
        issues.add(("probes", at, "segmentation", "native"), True, what, "leave `native` out, or raise data.size")


def without_masks(data: DataSpec) -> bool:
    """Return whether the spec alone shows that no image has a mask."""
    return bool(data.classes or data.medmnist or (data.folder and data.table and not has_masks(data)))


# Factors: the one that defines the target, and those that environments and recipes name.

_MISSPELT = 0.8
"""The similarity by difflib from which a name counts as a misspelt factor."""


def check_core(data: DataSpec, factors: Mapping[str, Factor], at: Keys, issues: Issues) -> None:
    """Check that a factor defines a phantom's target, and that the target's own name is no misspelt factor.

    Args:
        data: The data.
        factors: The factors of the data.
        at: Where the data are written.
        issues: The collection that issues are added to.
    """
    if data.phantom is None:
        return
    if data.core in factors:
        close = [] if data.target in factors else get_close_matches(data.target, factors, 1, _MISSPELT)
        if close:
            what = f"no factor is called '{data.target}', so it would be a name for the classes of '{data.core}'"
            issues.add((*at, "target"), data.target, what, f"did you mean '{close[0]}'? else give it another name")
        return
    what = f"no factor '{data.core}' in the phantom '{data.phantom.name}'" if data.core else "'core' is missing"
    remedy = "it is the factor that defines the target"
    issues.add((*at, "core") if data.core else at, data.core, what, remedy, factors)


def _check_set(name: str, environment: EnvironmentSpec, data: DataSpec, issues: Issues) -> None:
    """Check that there is the set whose rows an environment has."""
    at: Keys = ("environments", name, "data")
    if environment.data and name == "train":
        issues.add(at, environment.data, "training rows are those of data.train; leave `data` out")
    elif environment.data and environment.data not in data.tests:
        what = "no such set to test on" if data.tests else "this study has no other sets to test on"
        issues.add(at, environment.data, what, "write data: {train: {...}, tests: {name: {...}}}", data.tests)


def check_ensemble(ensemble: bool, keep: str, data: DataSpec, points: Sequence[RecipePoint], issues: Issues) -> None:
    """Check that other sets of a study with folds are tested by ensembles, and that ensembles have sets to test on."""
    has_other_tests = any(environment.data for point in points for environment in point.tests.values())
    if data.split.folds and has_other_tests and not ensemble:
        what = "a seed has a network for each fold, and an image of another set needs one answer"
        issues.add(("data", "tests"), "", what, "write ensemble: true, by which the folds' networks answer together")
    if not ensemble:
        return
    if not (data.split.folds and has_other_tests):
        what = "an ensemble has the networks of all folds, so it is tested on other sets than the training set"
        issues.add(("ensemble",), True, what, "give data.train.split: {folds: 5} and an environment with `data`")
    if keep == "none":
        issues.add(("keep",), keep, "an ensemble reads the weights of its folds", "leave keep out")


def check_environment(
    name: str, environment: EnvironmentSpec, data: DataSpec, factors: Mapping[str, Factor], issues: Issues
) -> None:
    """Check that every factor that an environment names exists, and has the levels that are named."""
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
            issues.add(at, visibility, "difficulty is for phantoms: it cannot be set for real images")
        elif factor not in factors:
            _unknown_factor(at, factor, list(factors), data, issues)


def _check_original(keys: Keys, environment: EnvironmentSpec, data: DataSpec, issues: Issues) -> None:
    """Check that the data have pictures at original resolution, and say how these are resized."""
    wrong, remedy = "", "leave apply_at out"
    if data.phantom or (data.dataset and data.dataset.name == "lidc"):
        wrong = "these images are drawn or cut at the study's size and have no other resolution"
    elif data.preprocessing:
        wrong = f"data.preprocessing ({', '.join(data.preprocessing)}) decides the picture after it was decoded"
    elif environment.crop:
        wrong = "the crops of this environment are windows of files that are not changed"
    elif not data.resize:
        wrong, remedy = "nothing says how images, changed or not, are resized", "add data.resize: nearest"
    for name, spec in environment.interventions.items():
        if wrong and spec.apply_at == "original":
            issues.add((*keys, "interventions", name, "apply_at"), "original", wrong, remedy)


def _check_shares(at: Keys, name: str, tie: AssociationSpec, factors: Mapping[str, Factor], issues: Issues) -> None:
    """Check that shares of high rows are of a categorical factor."""
    if tie.share is None:
        return
    if name in factors:
        refused, remedy = no_shares(factors[name]), "a strength (`scheme: balanced`) ties any factor"
    else:
        refused, remedy = f"'{name}' is an intervention", f"interventions: {{{name}: {{share: ...}}}} says the same"
    if refused:
        issues.add(at, "", refused, remedy)


def _check_groups(parts: Parts, data: DataSpec) -> None:
    """Check that `recipe.groups` names a factor or an intervention of training, and that a recipe uses it."""
    written = (mapping_of(parts.issues.document.values.get("recipe")) or {}).get("groups")
    if written and not any(point.recipe.groups for point in parts.points):
        what = "no mitigation and no selection of this study uses groups"
        parts.issues.add(("recipe", "groups"), written, what, "leave it out, or choose `selection: best-worst-group`")
    for point, here in parts.grid:
        name, factors = point.recipe.groups, parts.factors
        if name and factors is not None and name not in factors and name not in point.train.interventions:
            _unknown_factor(("recipe", "groups"), name, [*factors, *point.train.interventions], data, here)


def _check_selection(parts: Parts, data: DataSpec) -> None:
    """Check that no epoch is chosen by validation rows where all folds but the tested one train."""
    for point, here in parts.grid:
        if data.split.train_on_all_others and point.recipe.selection != "last":
            what = "with `validation: 0` in data.split all other folds train, and no row is left to choose an epoch by"
            here.add(("recipe", "selection"), point.recipe.selection, what, "write selection: last")


def _unknown_factor(keys: Keys, factor: str, names: Sequence[str], data: DataSpec, issues: Issues) -> None:
    if is_undeclared(factor, undeclared_columns(data), keys, issues):
        return
    named = data.phantom or data.dataset
    origin = f"the {named.kind} '{named.name}'" if named else "data.factors"
    remedy = "" if names else "declare the column, such as data: {factors: {age: {unit: years}}}"
    issues.add(keys, factor, f"no factor '{factor}' in {origin}", remedy, names)


def _check_conditions(
    keys: Keys, where: Mapping[str, Any], data: DataSpec, factors: Mapping[str, Factor], issues: Issues
) -> None:
    """Check that row conditions name factors, and levels or ranges that these have."""
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
    """Check that values of a factor are among its levels, or numbers where it has none."""
    for value in values:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        if factor.levels and text not in factor.levels:
            issues.add(keys, value, f"not a level of '{factor.name}'", names=factor.levels)
        elif not factor.levels and factor.kind == "continuous" and isinstance(value, (str, bool)):
            unit = f" in {factor.unit}" if factor.unit else ""
            issues.add(keys, value, f"'{factor.name}' takes numbers{unit}")


# Probes: the test environments that their arguments name.


def environments_of(probe: Component) -> dict[str, str]:
    """Return argument -> test environment that it names, without arguments that have their default."""
    named = lookup("probe", probe.name).params.with_role("environment")
    return {argument: str(probe.params[argument]) for argument in named if argument in probe.params}


def check_probes(probes: Sequence[Component], tests: Sequence[str], issues: Issues) -> None:
    """Check that there is every test environment that a probe names."""
    for i, probe in enumerate(probes):
        for argument, environment in environments_of(probe).items():
            if environment not in tests:
                at, remedy = ("probes", i, probe.name, argument), f"or leave '{argument}' out"
                issues.add(at, environment, "no such test environment", remedy, tests)


# Contrasts with `factor: confounder`, which hold for each confounder that is dosed.


def per_confounder(contrast: ContrastSpec, parts: Parts) -> tuple[ContrastSpec, ...]:
    """Write out a contrast with `factor: confounder`.

    Args:
        contrast: The contrast.
        parts: The study. In images from files only applied interventions can be changed, so confounders that are chosen
            by rows are left out where the measure changes them.

    Returns:
        A contrast for each confounder that is dosed, or the contrast itself where its factor is another.
    """
    each = _each_confounder(contrast, parts)
    confounders = resolve(join_keys(CONFOUNDER_PATH), parts.axes)
    if confounders and any(resolve(name, parts.axes) == confounders for name in contrast.mean_over):
        return (contrast,)
    if contrast.measure in BY_MOVING and not parts.are_drawn:
        each = [sides for sides in each if sides.factor in marked(parts.points)]
    return tuple(each) or (contrast,)


def _each_confounder(contrast: ContrastSpec, parts: Parts) -> list[ContrastSpec]:
    """Write out a contrast for every confounder, whatever its measure."""
    doses = dose_axis(parts.points)
    if contrast.factor != CONFOUNDER or not doses:
        return []
    confounders = resolve(join_keys(CONFOUNDER_PATH), parts.axes)
    name = confounders.name if confounders else ""
    dosed = dosed_factors(parts.points, doses)
    factors = {point.coordinates.get(name, ""): dosed[point.label][0] for point in parts.points if point.label in dosed}
    values, where = _confounder_held(contrast, parts.axes)
    return [
        contrast.model_copy(update={"factor": factor, "where": {**where, **({name: level} if name else {})}})
        for level, factor in factors.items()
        if values <= {level}
    ]


def _confounder_held(contrast: ContrastSpec, axes: Sequence[Axis]) -> tuple[set[str], dict[str, str]]:
    """Split `where` into the values on the axis of confounders, and the rest."""
    confounders = resolve(join_keys(CONFOUNDER_PATH), axes)
    names_held = {key for key in contrast.where if confounders and resolve(key, axes) == confounders}
    return {contrast.where[key] for key in names_held}, {k: v for k, v in contrast.where.items() if k not in names_held}


def _of_one_confounder(claim: CheckedContrast) -> CheckedContrast | None:
    """Return the first contrast that one with `factor: confounder` is short for.

    Returns:
        The contrast as written where its factor is another or its measure has none, and None, with an issue, where it
        is short for nothing.
    """
    contrast, parts = claim.contrast, claim.parts
    measure = COMPARED.get(contrast.measure)
    if contrast.factor != CONFOUNDER or (measure is not None and "factor" not in measure.needs):
        return claim
    short_for = per_confounder(contrast, parts)
    if contrast.mean_over and dose_axis(parts.points) and short_for == (contrast,):
        return claim
    if short_for != (contrast,):
        return replace(claim, contrast=short_for[0])
    if not dose_axis(parts.points):
        what = "stands for each confounder along its doses, and this study has no list of them"
        claim.wrong("factor", what, "such as environments.train.dose: {confounder: tag, p: [0, 0.5, 1]}")
    elif _each_confounder(contrast, parts):
        what = f"'{contrast.measure}' needs a confounder that is put on images; those of this study are chosen by rows"
        claim.wrong("factor", what, claim.left_out)
    elif _confounder_held(contrast, parts.axes)[0] <= {name for axis in parts.axes for name in axis.labels}:
        claim.wrong("where", "leaves no recipe that is trained with a dose of a confounder", claim.left_out)
    else:
        return claim  # a value that is not on the axis, which is refused when `where` is checked
    return None


# Contrasts: the axis, the values compared, the axes held constant, the measure and its environment.


@dataclass(frozen=True, slots=True)
class CheckedContrast:
    """A contrast of a study that is checked, with the keys at which it is written."""

    contrast: ContrastSpec
    keys: Keys
    parts: Parts

    def wrong(self, field: str, what: str, remedy: str = "", names: Iterable[str] = (), value: Any = None) -> None:
        """Add an issue of a field, or of the whole contrast where the field is empty."""
        value = getattr(self.contrast, field) if field and value is None else value or ""
        value = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value
        self.parts.issues.add((*self.keys, field) if field else self.keys, value, what, remedy, names)

    @property
    def left_out(self) -> str:
        """The change that leaves the contrast out."""
        return f"--set {'.'.join(map(str, self.keys))}=null leaves this contrast out"


def _check_claim(claim: CheckedContrast) -> None:
    """Check that a contrast can be computed: its axis, values, measure, environment and factor exist.

    A contrast holds constant a value of an axis, or the value of a field that is no axis. A contrast never follows an
    axis that was changed, since it was pre-specified as it is.
    """
    _check_axis(claim)
    _check_mean(claim)
    for measured in measured_as(claim.contrast, claim.contrast.mean_over):
        _check_measured(replace(claim, contrast=measured))
        _check_factor(replace(claim, contrast=measured))


def _check_measured(claim: CheckedContrast) -> None:
    """Check that a probe measures what is compared in the environment of a contrast."""
    contrast, tests, probes = claim.contrast, claim.parts.tests, claim.parts.probes
    if probes is not None:
        _check_measure(claim, probes)
    environments = _measured_in(contrast.measure, tests, probes)
    is_elsewhere = contrast.environment in (*tests, NEUTRAL, INDEPENDENT) or not {*tests} & {*environments}
    if contrast.environment and is_elsewhere and contrast.environment not in environments:
        what = f"'{contrast.measure}' is not measured there, but in: {join_first(environments)}"
        if not environments:
            what = f"'{contrast.measure}' is of the phantom as a whole and of no environment"
        claim.wrong("environment", what, "" if {*tests} & {*environments} else "leave it out")
        environments = [*environments, contrast.environment]
    for field, names in (("environment", environments), ("clean", tests)):
        value = getattr(contrast, field)
        if value and value not in names:
            claim.wrong(field, "no such environment", names=names)


def _check_factor(claim: CheckedContrast) -> None:
    """Check the field `factor`, which names a factor, a family of distortions, or an explainer."""
    contrast, parts = claim.contrast, claim.parts
    measure = COMPARED.get(contrast.measure)
    probe = "" if measure is None else measure.probe
    if probe == "robustness":
        what, names = "distortion", None if ":" in contrast.factor else [entry.name for entry in entries("distortion")]
    elif probe == "attribution":
        same_probe = [probe_spec for probe_spec in parts.probes or () if probe_spec.name == probe]
        what, names = "explainer", [name for probe_spec in same_probe for name in _explainers(probe_spec)] or None
    else:
        dosed = (CONFOUNDER,) if dose_axis(parts.points) else ()
        factors = parts.factors
        others = [*marked(parts.points), *dosed]
        what, names = "factor", None if factors is None else [*factors, *grouped_inputs(factors), *others]
    if not contrast.factor or names is None or contrast.factor in names:
        return
    columns = () if parts.data is None else undeclared_columns(parts.data)
    if not is_undeclared(contrast.factor, columns, (*claim.keys, "factor"), parts.issues):
        claim.wrong("factor", f"no such {what}", names=names)


def _explainers(probe: Component) -> list[str]:
    """Return the explainers of a probe by the names that its tables use."""
    params = lookup("probe", probe.name).params.model_validate(dict(probe.params))
    return [label(explainer) for explainer in params.model_dump()["explainers"]]


def _measured_in(name: str, tests: list[str], probes: Sequence[Component] | None) -> list[str]:
    """Return the environments that a measure is taken in, among the tests and those that a scene makes by itself."""
    measure = COMPARED.get(name)
    listed = [probe.name for probe in probes or ()]
    if measure is None or measure.probe not in listed or any(":" in name for name in listed):
        return [*tests, NEUTRAL, INDEPENDENT]  # a probe of the user's own may measure anywhere
    if "environment" in measure.needs:
        return tests
    of_measure = [measure.environment] if measure.environment else []
    return _named_environments(measure, probes or ()) or of_measure


def _named_environments(measure: Measure, probes: Sequence[Component]) -> list[str]:
    """Return the environments that the probes of a measure are given as an argument."""
    looking = [probe for probe in probes if measure.environment and probe.name == measure.probe]
    return [str(probe.params.get("environment", measure.environment)) for probe in looking]


def settle_contrast(contrast: ContrastSpec, axes: Sequence[Axis], probes: Sequence[Component]) -> ContrastSpec:
    """Name axes by their short names, and fill in the environment of the probe where none is named.

    Along doses, a dose in `where` is the change from p = 0 at that dose alone: a mean over one.
    """
    written = (contrast.axis, *contrast.where, *contrast.mean_over)
    names = {name: axis.name for name in written if (axis := resolve(name, axes))}
    doses = resolve(join_keys(P_PATH), axes) if contrast.at in OVER_DOSES else None
    settled = {name: (value,) for name, value in contrast.where.items() if doses and names.get(name) == doses.name}
    measure = COMPARED.get(contrast.measure)
    of_measure = measure.environment if measure else ""
    chosen = _named_environments(measure, probes) if measure else []
    return contrast.model_copy(
        update={
            "axis": names[contrast.axis],
            "where": {names[name]: v for name, v in contrast.where.items() if name in names and name not in settled},
            "environment": contrast.environment
            or ("" if ENVIRONMENT in contrast.mean_over else chosen[0] if chosen else of_measure),
            "mean_over": {
                names.get(name, name): values or _all_of(contrast, name, axes)
                for name, values in {**contrast.mean_over, **settled}.items()
            },
        }
    )


def _all_of(contrast: ContrastSpec, name: str, axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return all values of an axis that a mean is taken over: not the reference, and not p = 0 of changes from it."""
    axis = resolve(name, axes)
    if axis is None:
        return ()
    doses = resolve(join_keys(P_PATH), axes) if contrast.at in OVER_DOSES else None
    left_out = contrast.against if axis == resolve(contrast.axis, axes) else "0" if axis == doses else None
    return tuple(value for value in axis.labels if value != left_out)


def _check_axis(claim: CheckedContrast) -> None:
    """Check the axis of a contrast, its values, and the values held constant on the other axes."""
    contrast, axes = claim.contrast, claim.parts.axes
    axis = resolve(contrast.axis, axes)
    names = [other.name for other in axes]
    if axis is None:
        makes = "" if nearest(contrast.axis, names) else "a list in recipe or environments.train makes an axis; "
        what = "no such axis" if names else "this study has no axis"
        claim.wrong("axis", what, f"{makes}{claim.left_out}", names)
    else:
        if contrast.against not in axis.labels:
            claim.wrong("against", f"not on axis '{axis.name}'", names=axis.labels)
        elif len(axis.labels) < 2:
            claim.wrong("against", f"axis '{axis.name}' has no other value to compare with it", claim.left_out)
        others = [name for name in axis.labels if name != contrast.against]
        for name in contrast.levels:
            if name not in others:
                what = f"not on axis '{axis.name}', apart from '{contrast.against}'"
                claim.wrong("levels", what, "" if others else "there is no other value", others, name)
    fixed_values, where = _held_on_axes(claim), (*claim.keys, "where")
    fixed = selection(fixed_values, axes, where, claim.parts.issues, claim.left_out)
    if axis is not None and axis.name in fixed and contrast.against not in fixed[axis.name]:
        claim.wrong("where", f"leaves out '{contrast.against}', which is compared against")
    for check in _ALONG.get(contrast.at, ()):
        check(claim, fixed)
    if contrast.at != "matched-clean" and contrast.clean:
        what = f"at {contrast.at} nothing is matched on clean images"
        claim.wrong("clean", what, "leave it out, or compare `at: matched-clean`")


def _held_on_axes(claim: CheckedContrast) -> dict[str, Any]:
    """Return the values that a contrast holds constant along axes.

    A field that is no axis must have the named value.
    """
    fixed_values: dict[str, Any] = {}
    issues, keys = claim.parts.issues, claim.keys
    for name, wanted in claim.contrast.where.items():
        fixed_in_study = fixed_field(name, issues.document.values) if resolve(name, claim.parts.axes) is None else None
        if fixed_in_study is None:
            fixed_values[name] = wanted
        elif fixed_in_study[1] != wanted:
            place, value = fixed_in_study
            request = (
                f"--set {'.'.join(map(str, keys))}.where.{name}={value} asks for that; " if "=" not in value else ""
            )
            what = f"{place} is {value} in this study, and no axis"
            issues.add((*keys, "where", name), wanted, what, f"{request}{claim.left_out}")
    return fixed_values


_PLACES = {ENVIRONMENT: "test environments", FACTOR: "factors"}


def _check_mean(claim: CheckedContrast) -> None:
    """Check that a mean is taken over values of other axes, of the compared axis, over test environments or factors."""
    contrast, axes, at = claim.contrast, claim.parts.axes, (*claim.keys, "mean_over")
    fixed_axes = {axis.name for name in contrast.where if (axis := resolve(name, axes))}
    for name, values in contrast.mean_over.items():
        axis = resolve(name, axes)
        if name in (ENVIRONMENT, FACTOR):
            if not values:
                names = claim.parts.tests if name == ENVIRONMENT else claim.parts.factors or ()
                claim.wrong("mean_over", f"name the {_PLACES[name]}", names=names, value=name)
            if getattr(contrast, name):
                claim.wrong(name, f"the {_PLACES[name]} are those of `mean_over`", "leave it out")
        elif axis is None:
            claim.wrong("mean_over", "no such axis", names=[*(other.name for other in axes), *_PLACES], value=name)
        elif axis.name in fixed_axes:
            claim.wrong("mean_over", "`where` holds this axis at one value", "leave it out of `where`", value=name)
        elif axis.name == contrast.axis and contrast.levels:
            claim.wrong("levels", "`mean_over` names the values of this axis", "leave `levels` out")
        else:
            allowed = _all_of(contrast, name, axes)
            for value in values:
                if value not in allowed:
                    claim.parts.issues.add((*at, name), value, "no mean can be taken over it", names=allowed)


# Roles and families of contrasts.

MOST_PRIMARY = 4
STREAMS_PATH: Keys = ("recipe", "streams")


def _check_families(parts: Parts, claims: Sequence[CheckedContrast]) -> None:
    """Check roles: at most four primary comparisons, families of one role and correction, complete means."""
    compared = [(claim, _sides_of_claim(claim)) for claim in claims]
    _check_primary(compared)
    first: dict[str, CheckedContrast] = {}
    orders: dict[tuple[str, int], CheckedContrast] = {}
    for claim, sides in compared:
        contrast, family = claim.contrast, claim.contrast.family
        if contrast.role == "a-a" and resolve(contrast.axis, parts.axes) != resolve(
            join_keys(STREAMS_PATH), parts.axes
        ):
            claim.wrong(
                "axis",
                "an A/A comparison is of a recipe with itself",
                "list recipe.streams: [0, 1], and write axis: streams, against: 0",
            )
        if any(not side.complete for side in sides):
            claim.wrong("mean_over", "the grid lacks some of these combinations", "take fewer values", value="")
        if family is None:
            continue
        same_family = first.setdefault(family.name, claim).contrast
        assert same_family.family is not None
        if same_family.role != contrast.role:
            claim.wrong("role", f"family '{family.name}' has role {same_family.role} elsewhere", "name another family")
        if same_family.family.correction != family.correction:
            what = f"family '{family.name}' has correction {same_family.family.correction} elsewhere"
            claim.wrong("family", what, "give all of its contrasts the same one", value=family.correction)
        if family.order is None:
            continue
        if len(sides) != 1:
            what = f"an order is of one comparison, and this contrast is {len(sides)}"
            claim.wrong("family", what, "name one value in `levels`, or take `mean_over`", value=family.order)
        if orders.setdefault((family.name, family.order), claim) is not claim:
            claim.wrong("family", f"two contrasts of '{family.name}' have this order", value=family.order)


def _sides_of_claim(claim: CheckedContrast) -> list[ComparisonSides]:
    """Return the comparisons of a contrast, of each confounder that it holds for."""
    parts, axes = claim.parts, claim.parts.axes
    names = [axis.name for axis in axes]
    each = [settle_contrast(contrast, axes, parts.probes or ()) for contrast in per_confounder(claim.contrast, parts)]
    return [sides for contrast in each for sides in sides_of(contrast, parts.points, names)]


def _check_primary(compared: Sequence[tuple[CheckedContrast, Sequence[ComparisonSides]]]) -> None:
    primary = [(claim, len(sides)) for claim, sides in compared if claim.contrast.role == "primary"]
    count = sum(size for _, size in primary)
    if count > MOST_PRIMARY:
        claim = primary[-1][0]
        what = f"the primary contrasts of this study are {count} comparisons; at most {MOST_PRIMARY}"
        remedy = "name `levels`, take a mean (`mean_over`), or make some secondary"
        claim.wrong("role", what, remedy)


def _check_measure(claim: CheckedContrast, probes: Sequence[Component]) -> None:
    """Check that a probe yields the measure, and that the contrast gives exactly the fields that the measure needs."""
    contrast = claim.contrast
    measure = COMPARED.get(contrast.measure)
    listed = [probe.name for probe in probes]
    if measure is None:
        if not any(":" in name for name in listed):  # a probe of the user's own may yield measures of any name
            claim.wrong("measure", "no such measure", names=COMPARED)
        return
    same_probe = [probe.params for probe in probes if probe.name == measure.probe]
    if not same_probe:
        what = f"comes from probe '{measure.probe}', which this study does not list"
        claim.wrong("measure", f"{what} (probes: {join_first(listed) or 'none'})", f"add {measure.probe} to probes")
    elif measure.name in BY_VARIANCE and all(params.get("sobol") is False for params in same_probe):
        what = "comes from the Sobol' indices, which probe 'reliance' leaves out here"
        claim.wrong("measure", what, "take `sobol: false` away")
    elif measure.option and not any(params.get(measure.option) for params in same_probe):
        what = f"needs `{measure.option}` of probe '{measure.probe}'"
        claim.wrong("measure", what, f"give {{{measure.probe}: {{{measure.option}: ...}}}} in probes")
    for field in measure.needs:
        if not getattr(contrast, field):
            claim.wrong("", f"measure '{measure.name}' needs `{field}`")
    for field in ("factor", "layer"):
        if getattr(contrast, field) and field not in measure.needs:
            claim.wrong(field, f"measure '{measure.name}' is of the whole and of no {field}", "leave it out")


# Axes that a contrast needs to run along: budgets, doses, or amounts of training data.

Fixed = Mapping[str, set[str]]
"""Axis -> the labels that a contrast's `where` leaves."""


def _check_budgets(claim: CheckedContrast, fixed: Fixed) -> None:
    """Check a contrast along `epochs`, whose measure must use all images."""
    contrast = claim.contrast
    budget = resolve("epochs", claim.parts.axes)
    if budget is None or len(budget.labels) < 2 or len(fixed.get(budget.name, budget.labels)) < 2:
        remedy = f"give recipe.epochs a list, and leave it out of this contrast's `where`; {claim.left_out}"
        claim.wrong("at", "matched-fit compares along several budgets", remedy)
    measure = COMPARED.get(contrast.measure)
    if measure is not None and (
        measure.probe not in ("performance", *PROBES_OF_MAPS) or measure.name in OF_WORST_GROUP
    ):
        what = f"matched-fit compares performance on all images, which '{contrast.measure}' is not"
        claim.wrong("measure", what, "compare it at equal budget, or along doses")


def _check_whole_axis(
    claim: CheckedContrast, fixed: Fixed, path: Keys, suits: Callable[[Sequence[str]], bool], what: str, example: str
) -> None:
    """Check that an axis is there with at least two suitable values, and that the contrast runs over all of it."""
    at = claim.contrast.at
    axis = resolve(join_keys(path), claim.parts.axes)
    if axis is None or len(axis.paths) > 1 or len(axis.labels) < 2 or not suits(axis.labels):
        claim.wrong("at", f"{at} compares along {what}", f"such as {example}; {claim.left_out}")
    elif axis.name == claim.contrast.axis or (axis.name in fixed and path != P_PATH):
        remedy = f"compare along another axis, and leave {axis.name} out of `where`; {claim.left_out}"
        claim.wrong("at", f"{at} runs over all of {axis.name}", remedy)
    elif "0" in fixed.get(axis.name, ()):
        claim.wrong("where", "changes are those from p = 0", "name another dose, or leave it out", value=axis.name)


def _check_doses(claim: CheckedContrast, fixed: Fixed) -> None:
    """Check a contrast along `p` from 0, by a measure whose change has a meaning."""
    contrast, example = claim.contrast, "environments.train.dose: {confounder: tag, p: [0, 0.5, 1]}"
    what = "the doses p: an axis with 0 and another"
    _check_whole_axis(claim, fixed, P_PATH, lambda labels: "0" in labels, what, example)
    allowed = SHARES if contrast.at == "matched-clean" else DOSED
    if contrast.measure not in allowed and (contrast.measure in COMPARED or not nearest(contrast.measure, COMPARED)):
        what = f"{contrast.at} also needs the probit scale, which '{contrast.measure}' does not have"
        if contrast.measure in DOSED:
            what = f"{contrast.at} matches performance on all images, which '{contrast.measure}' is not"
        claim.wrong("measure", what, f"{contrast.at} takes {join_first(allowed)}")


def _check_amounts(claim: CheckedContrast, fixed: Fixed) -> None:
    """Check a contrast along `rows` of the training environment, matched in a test environment that is named."""
    what = "amounts of training rows: an axis of at least two numbers"
    example = "environments.train.rows: [100, 300, 1000]"
    _check_whole_axis(claim, fixed, ROWS_PATH, lambda labels: all(map(str.isdigit, labels)), what, example)
    if not claim.contrast.clean:
        what = "matched-clean needs `clean`, the test environment without the confounder"
        claim.wrong("", what, "such as clean: {like: train, dose: {p: 0}} in environments, and clean: clean here")


_ALONG: Mapping[str, Sequence[Callable[[CheckedContrast, Fixed], None]]] = {
    "matched-fit": (_check_budgets,),
    "dose-response": (_check_doses,),
    "matched-clean": (_check_doses, _check_amounts),
}
"""What is checked of a contrast by its `at`."""
