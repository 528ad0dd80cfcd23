"""Parse a study: from text or mappings to a checked `StudySpec`, with errors that name file and line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from assay.core.errors import AssayError, SpecError, UnfitError, WeightsError, unknown_name, with_alternative
from assay.core.files import STUDY_SUFFIXES, at_home, fill_names, is_file, is_folder, typed_path
from assay.core.seeds import LOOKS
from assay.core.types import Factor
from assay.spec.checks import (
    Parts,
    check_core,
    check_ensemble,
    check_parts,
    per_confounder,
    settle_contrast,
    usual_probes,
)
from assay.spec.data import data_section, declared_factors, imported_factors, refused_size
from assay.spec.document import Document, Keys, leaves, nodes, plain
from assay.spec.environments import Factors, grid_points, sources_section
from assay.spec.fields import component_of, components_of
from assay.spec.given import take_models
from assay.spec.grid import expand
from assay.spec.issues import Issues, SpecIssues, issue, join_first, unknown_key, validated
from assay.spec.load import NAME, NAME_WORDS, Override, apply_scale, apply_sets, put, study_files
from assay.spec.published import PublishedTable, published_section
from assay.spec.recipe import Component, Frozen
from assay.spec.schema import ContrastSpec, DataSpec, SourceSpec, StudySpec
from assay.spec.yaml import read_yaml

# From a built-in study's name, a YAML file or a Python mapping to a checked `StudySpec`.
#
# All mistakes are reported before anything runs: place, given value, allowed values, nearest name.

FEWEST_SEEDS = 3
"""Seeds of the first look: with fewer, nothing is tested."""
SECTIONS = (
    "name", "question", "labels", "data", "sources", "environments", "recipe", "models", "grid", "seeds", "first_seed",
    "probes", "contrasts", "keep", "ensemble", "differences", "published", "scales",
)  # fmt: skip


def parse_study(
    source: Path | str | Mapping[str, Any] | Document,
    *,
    overrides: Sequence[Override] = (),
    scale: str | None = None,
    seeds: int | None = None,
    looks: Sequence[int] = (),
    compare: bool = True,
    skip_bad_rows: bool = False,
) -> StudySpec:
    """Parse a study and check all of it.

    Args:
        source: The name of a built-in study, a YAML file, a mapping, or a document that was read.
        overrides: Changes (`a.b=c`, or key and value) that are made after the scale.
        scale: One of the study's `scales`.
        seeds: The number of seeds, set last.
        looks: Numbers of seeds at which the primary comparisons are looked at; the first replaces `seeds`.
        compare: Whether the code of components compares their arguments, which imports it. Names, types and ranges are
            checked without.
        skip_bad_rows: Whether the command that runs the study leaves out bad rows.

    Raises:
        SpecError: Anything is wrong. The text names the first five issues by line, each in at most three lines.
    """
    document = apply_sets(apply_scale(read_study(source), scale), overrides)
    if looks:
        check_looks(looks)
        document = put(document, "seeds", looks[0], "--until")
    elif seeds is not None:
        document = put(document, "seeds", seeds, "--seeds")
    options = [*_options_of_looks(looks), *(["--skip-bad-rows"] if skip_bad_rows else [])]
    for key, value in (("scale", scale), ("seeds", None if looks else seeds)):  # last, since a quick look is named last
        options += [] if value is None else [f"--{key}", shlex.quote(str(value))]
    is_typed = document.file and not overrides and tuple(looks) == LOOKS[: len(looks)]
    command = " ".join(["assay run", typed_path(document.file), *options]) if is_typed else ""
    path = at_home(document.file)
    file = str(path.absolute()) if document.file and is_file(path) else ""
    return _with_looks(check_study(document, compare), looks).model_copy(update={"command": command, "file": file})


def _options_of_looks(looks: Sequence[int]) -> list[str]:
    last = [] if tuple(looks) == LOOKS else ["--max-seeds", str(looks[-1])] if looks else []
    return ["--until", "decided", *last] if looks else []


def check_looks(looks: Sequence[int]) -> None:
    """Refuse looks that are not one to three rising numbers of seeds, each enough for a test. Raises SpecError."""
    rising = all(before < after for before, after in pairwise(looks))
    if not rising or len(looks) > len(LOOKS) or looks[0] < FEWEST_SEEDS:
        raise SpecError(
            f"looks at {', '.join(map(str, looks))} seeds: give one to {len(LOOKS)} rising numbers from {FEWEST_SEEDS} "
            f"on, such as {', '.join(map(str, LOOKS))}"
        )


def _with_looks(spec: StudySpec, looks: Sequence[int]) -> StudySpec:
    """Return the study with looks. Raises SpecError where it has no primary comparison to look at."""
    if looks and not any(contrast.role == "primary" and not contrast.exploratory for contrast in spec.contrasts):
        raise SpecError(
            f"study '{spec.name}' has no primary comparison that more seeds could decide: give a contrast "
            "`role: primary` and a margin, or choose the number of seeds yourself"
        )
    return spec.model_copy(update={"looks": tuple(looks)}) if looks else spec


def refuse_unknown_keys(document: Document, overrides: Sequence[Override], scale: str | None = None) -> None:
    """Refuse overrides at keys that no study has; other issues may be solved by the next override.

    Raises:
        SpecError: A key is unknown.
    """
    document = apply_sets(apply_scale(document, scale), overrides)
    try:
        check_study(document)
    except SpecIssues as wrong:
        Issues(document, [entry for entry in wrong.issues.entries if entry.unknown_key]).raise_found()
    except AssayError:
        return


def read_study(source: Path | str | Mapping[str, Any] | Document) -> Document:
    """Read a study as it is written.

    Args:
        source: A mapping, a file, or a text: a path if it has a `/` or an ending of a study file, else the name of a
            built-in study, whatever is called so in the working folder. A document that was read is returned.

    Returns:
        Its values with their places.
    """
    if isinstance(source, Document):
        return source
    if isinstance(source, Mapping):
        return Document(cast(dict[str, Any], plain(source)))
    text = str(source)
    if isinstance(source, Path) or text.endswith(STUDY_SUFFIXES) or Path(text).name != text:
        path = at_home(source)
        if is_folder(path):
            raise SpecError(_of_folder(path))
        return read_yaml(path)
    files = study_files()
    if text not in files and is_folder(Path(text)):
        raise SpecError(_of_folder(Path(text)))
    if text not in files and is_file(Path(text)):
        raise SpecError(f"'{text}' has no ending .yaml, so that it is the name of no file: give the file as ./{text}")
    if text not in files:
        raise SpecError(with_alternative(unknown_name("study", text, list(files)), "or give the path of a YAML file"))
    return replace(read_yaml(files[text], files[text].name), file=text)


def _of_folder(folder: Path) -> str:
    """Explain which file to give instead of a folder."""
    if is_file(folder / "run.json"):
        return f"{folder} is a run folder, which `assay results` and `assay report` read; give the study's name or file"
    studies = sorted(path.name for path in folder.iterdir() if path.suffix in STUDY_SUFFIXES)
    return f"{folder} is a folder; give the YAML file of a study: {join_first(studies) or 'there is none in it'}"


def check_study(document: Document, compare: bool = True) -> StudySpec:
    """Check a document and expand its axes.

    Args:
        document: The study.
        compare: Whether the code of components compares their arguments.

    Raises:
        SpecIssues: Anything is wrong.
    """
    issues, values = Issues(document), document.values
    for keys, value in leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            issues.add(keys, value, "expected a finite number")
    for key in values.keys() - {*SECTIONS}:
        issues.note(unknown_key((key,), SECTIONS))
    issues.raise_found()  # later checks would report invalid values and sections that are not read
    written = {key: value for key, value in values.items() if key != "scales"}
    document, models = take_models(document, issues)
    values, issues = document.values, Issues(document, issues.entries)
    header = _header(document, issues)
    data = data_section(values.get("data"), issues)
    sources = sources_section(values.get("sources"), issues)
    probes_given = validated(Probes, {"probes": values.get("probes", usual_probes(values))}, (), issues)
    probes = None if probes_given is None else probes_given.probes
    before = len(issues.entries)
    axes, grid = expand(values, issues)
    points = grid_points(values, axes, grid, issues, Factors.of(data)) if len(issues.entries) == before else []
    contrasts = [
        # `--set contrasts.1=null` leaves one out
        None if item is None else validated(ContrastSpec, item, ("contrasts", i), issues)
        for i, item in enumerate(_list(values, "contrasts", issues))
    ]
    if header is not None and data is not None:
        check_ensemble(header.ensemble, header.keep, data, [point for point, _ in points], issues)
    published: tuple[PublishedTable, ...] = ()
    if header is not None and points:
        published = published_section(header.published, list(points[0][0].tests), axes, issues)
    parts = Parts(points, axes, data, _factors_of_data(data, issues) if points else None, probes, contrasts, issues)
    if points:
        check_parts(parts)
    issues.raise_found()
    if compare:
        _check_with_code(data, sources, issues)
    if header is None or data is None or probes is None:
        raise AssertionError("a part of the study is missing, and no issue was noted")
    each = [per_confounder(contrast, parts) for contrast in contrasts if contrast is not None]
    if models:
        each = [[contrast.model_copy(update={"at": "as-given"}) for contrast in group] for group in each]
    return StudySpec(
        name=header.name,
        question=header.question,
        labels=header.labels,
        data=data,
        sources=sources,
        points=tuple(parts.points),
        axes={axis.name: axis.labels for axis in axes},
        seeds=header.seeds,
        first_seed=header.first_seed,
        probes=probes,
        contrasts=tuple(settle_contrast(contrast, axes, probes) for group in each for contrast in group),
        keep=header.keep,
        models=models,
        ensemble=header.ensemble,
        differences=header.differences,
        published=published,
        written={"name": header.name, **written},
    )


def _check_with_code(data: DataSpec | None, sources: Mapping[str, SourceSpec], issues: Issues) -> None:
    """Check what only the code of components knows: the sizes that phantoms draw, and arguments against each other.

    Raises:
        SpecIssues: Anything is wrong.
    """
    of_sources = {("sources", name, "data"): source.data for name, source in sources.items() if not source.own}
    for keys, drawn_from in {("data",): data, **of_sources}.items():
        if drawn_from is None or drawn_from.phantom is None:
            continue
        if why := refused_size(drawn_from.phantom, drawn_from.size):
            issues.add((*keys, "size"), "", why)
        if keys != ("data",):
            check_core(drawn_from, imported_factors(drawn_from.phantom), keys, issues)
    issues.raise_found()
    for check in issues.later:
        check()
    issues.raise_found()


def _factors_of_data(data: DataSpec | None, issues: Issues) -> Mapping[str, Factor] | None:
    """Return the factors of the data; a phantom is imported for them only when nothing else is wrong."""
    factors = None if data is None else declared_factors(data)
    if factors is None and data is not None and data.phantom is not None and not issues.entries:
        return imported_factors(data.phantom)
    return factors


class _Header(Frozen):
    """The fields of a study that depend on no other."""

    name: str
    question: str = ""
    labels: Mapping[str, str] = {}
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    first_seed: Annotated[int, Field(ge=0)] = 0
    keep: Literal["all", "none"] = "all"
    ensemble: bool = False
    differences: tuple[str, ...] = ()
    published: tuple[PublishedTable, ...] = ()


class Probes(Frozen):
    """The probes of a study."""

    probes: Annotated[tuple[Annotated[Component, component_of("probe")], ...], components_of("probe")]


def _header(document: Document, issues: Issues) -> _Header | None:
    values = {key: document.values[key] for key in _Header.model_fields if key in document.values}
    if "name" not in values and document.file:
        values["name"] = Path(document.file).stem
    header = validated(_Header, values, (), issues)
    if header is not None and not NAME.fullmatch(header.name):
        issues.add(("name",), header.name, f"expected {NAME_WORDS}: it names the run's folder")
    return header


def _list(values: Mapping[str, Any], key: str, issues: Issues) -> list[Any]:
    items = values.get(key)
    if items is not None and not isinstance(items, list):
        issues.add((key,), items, f"expected a list; each of the {key} begins with `- `")
    return cast(list[Any], items) if isinstance(items, list) else []


# The line of a study for a mistake that appears only when files are read.


@contextmanager
def locate_errors(
    read: Callable[[], Document], overrides: Sequence[Override] = (), scale: str | None = None
) -> Generator[None]:
    """Name the line of the study for errors that appear only when images and weights are read.

    These are weights that cannot be a start, and interventions that the images cannot carry. The study is read again,
    since the parsed study has no line numbers.

    Args:
        read: Reads the study as it is written.
        overrides: As for `parse_study`.
        scale: As for `parse_study`.
    """

    def written() -> Document:
        return apply_sets(apply_scale(read(), scale), overrides)

    try:
        yield
    except UnfitError as error:
        issues = Issues(written())
        for name, (arguments, why) in error.refused.items():
            keys, value = _intervention(issues.document, name, arguments)
            issues.add(keys, value, why)
        issues.raise_found()
    except WeightsError as error:
        document = written()
        for keys, value in leaves(document.values):
            of_study = isinstance(value, str) and keys[0] != "scales"
            if of_study and error.given in (value, str(fill_names(value, document.folder))):
                raise WeightsError(issue(keys, value, str(error)).text(document)) from error
        raise


def _intervention(document: Document, name: str, arguments: Mapping[str, Any]) -> tuple[Keys, Any]:
    """Find the keys and the value of an intervention with these arguments, or with this name.

    Where the command line changed one of the arguments, that one is returned.
    """
    named = [
        (keys, value)
        for keys, value in nodes(document.values)
        if name in (keys[-1], value) and keys[0] != "scales" and not {"interventions", "confounder"}.isdisjoint(keys)
    ]
    alike = [(keys, value) for keys, value in named if _holds(value, arguments)]
    keys, value = next(iter(alike or named), ((name,), dict(arguments)))
    from_options = [node for node in nodes(value, keys) if document.location(node[0]).startswith("--set")]
    return (keys, value) if document.location(keys).startswith("--set") else next(iter(from_options), (keys, value))


def _holds(value: Any, arguments: Mapping[str, Any]) -> bool:
    inner_nodes = [(keys[-1], inside) for keys, inside in nodes(value)]
    return all(argument in inner_nodes for argument in arguments.items())
