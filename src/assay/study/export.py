"""Networks that a study trained, written for others: trials with a model card, and starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from assay.core.errors import DISTRIBUTION, StoreError, WeightsError, extra, nearest, unknown_name, visible
from assay.core.files import WEIGHTS_FILE, default_cache_root, hide_paths, sha256, whole_folder
from assay.core.measures import MEASURES, label_of
from assay.core.types import Inputs
from assay.execution.jobs import TrainedModel
from assay.execution.plan import Trial
from assay.execution.workspace import no_network_reason
from assay.models.ref import Model
from assay.models.weight_files import export_trunk
from assay.report.context import PageContext
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import escape_markdown
from assay.spec.given import EXPORTED, FOLD, NETWORK, PATH, SEED
from assay.stats.findings import parse_finding
from assay.stats.format import number
from assay.store.files import Row, csv_text, write_json, write_text
from assay.store.folder import RunFolder
from assay.store.manifest import UNLINK
from assay.study.page import CONVENTIONS
from assay.study.records import class_names, stored_study, trained_model
from assay.study.words import verdict

FORMATS = ("safetensors", "onnx")
ONNX_FILE, CARD, MODELS = "model.onnx", "README.md", "models.csv"
ALL = "all"
"""In place of a trial: every network of a run."""
AGREEMENT = 1e-4
"""Difference of outputs that ONNX may make, as a share of the largest output."""
MOST_MEASURES = 6
"""Measures of a card's table of results, without those that say the same as another."""


def export_model(root: Path, trial: str, folder: Path, format: str) -> Path:
    """See `assay.Run.export`."""
    if format not in FORMATS:
        raise StoreError(unknown_name("format", format, FORMATS))
    if trial == ALL and format == "safetensors":
        return _export_models(root, folder)
    study, run = stored_study(root), RunFolder(root)
    planned = next((trial_of_plan for trial_of_plan in study.plan.trials if trial_of_plan.id == trial), None)
    if planned is None:
        text = unknown_name("trial", trial, [trial_of_plan.id for trial_of_plan in study.plan.trials][:20])
        raise StoreError(f"{text} The table `trials` of {root} lists all")
    if planned.training.members:
        raise StoreError(f"{trial} is an ensemble; `export all` writes its networks and the table that joins them")
    trained = trained_model(run.unit("trials", trial))
    if folder.exists() and not (folder / EXPORTED).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} holds other files: name a new folder for the network")
    if reason := reason_words(str(trained.unusable() if isinstance(trained, TrainedModel) else "")):
        raise StoreError(f"training run {trial} left no network: {reason}")
    model, weights = trained.load(), run.unit("trials", trial) / WEIGHTS_FILE
    values = _description(run, planned, model, study.inputs, sha256(weights))
    with whole_folder(folder) as partial:
        if format == "onnx":
            _write_onnx(model.network, study.inputs, partial / ONNX_FILE)
        else:
            shutil.copyfile(weights, partial / WEIGHTS_FILE)
        write_json(partial / EXPORTED, values)
        write_text(partial / CARD, visible("\n".join(_card(run, planned, values, format)) + "\n"))
    return folder


def _export_models(root: Path, folder: Path) -> Path:
    """Write all networks, and the table that `models` of another study takes."""
    study, run = stored_study(root), RunFolder(root)
    folds = any(trial.training.fold for trial in study.plan.trials)
    axes = [name for name, labels in study.plan.spec.axes.items() if len(labels) > 1]
    reserved = {PATH, SEED, FOLD, NETWORK}
    columns = {name: f"{name}-of-recipe" if name in reserved else name for name in axes}
    rows: list[Sequence[object]] = [[PATH, *columns.values(), SEED, *([FOLD] if folds else [])]]
    for trial in (trial_of_plan for trial_of_plan in study.plan.trials if not trial_of_plan.training.members):
        if run.complete("trials", trial.id) and not no_network_reason(run.record("trials", trial.id)):
            _require_no_link(folder / trial.id)
            export_model(root, trial.id, folder / trial.id, "safetensors")
            coordinates = [trial.point.coordinates[name] for name in axes]
            fold = [trial.training.fold] if folds else []
            rows.append([f"{trial.id}/{WEIGHTS_FILE}", *coordinates, trial.training.seed, *fold])
    if len(rows) == 1:
        raise StoreError(f"{root} holds no trained network: run its study first")
    write_text(folder / MODELS, csv_text(rows))
    return folder


def _require_no_link(path: Path) -> None:
    """Check that a folder in one that others may have made is no link. Raises StoreError."""
    if path.is_symlink():
        raise StoreError(f"{path} is a link, which may lead anywhere; {UNLINK}")


def _description(run: RunFolder, planned: Trial, model: Model, inputs: Inputs, digest: str) -> dict[str, Any]:
    """Return all that is needed to use the network: what it takes, what it gives, and how it was trained."""
    record, training, data = run.record("trials", planned.id), planned.training, stored_study(run.root).plan.spec.data
    images = {"size": inputs.size, "channels": inputs.channels, "classes": inputs.classes}
    framing = {key: getattr(data, key) for key in ("fit", "crop_share", "resize", "preprocessing")}
    return {
        "id": planned.id,
        "study": run.root.name,
        "label": planned.point.label,
        "task": training.recipe.task,
        "sha256": digest,
        "input": {
            **images,
            "values": "float32 [batch, channels, size, size] in [0, 1]",
            **framing,
            "scaling": record.get("scaling", ""),
            "scaling_inside": True,
        },
        "output": {
            "values": "logits; softmax over axis 1 gives probabilities, of a single column sigmoid does",
            "classes": _classes(run, inputs, training.recipe.task),
            "threshold": model.threshold,
            "operating": [None if value != value else value for value in model.operating],
        },
        "recipe": hide_paths(training.recipe.model_dump(mode="json", context={"complete": True})),
        "seed": training.seed,
        "fold": training.fold,
    }


def _classes(run: RunFolder, inputs: Inputs, task: str) -> Sequence[str]:
    """Return the names of the classes in the order of the outputs; numbers where the tables do not have all."""
    if task == "segmentation":
        return ["background", "lesion"] if inputs.classes <= 2 else [str(i) for i in range(inputs.classes)]
    return class_names(run, inputs.classes) or [str(i) for i in range(inputs.classes)]


def _write_onnx(network: nn.Module, inputs: Inputs, path: Path) -> None:
    """Write a network as ONNX, and compare its outputs with those of onnxruntime.

    Raises:
        ExtraError: The extra `onnx` is not installed.
        WeightsError: The network has operations that ONNX lacks, or gives other outputs there.
    """
    with extra("onnx"):
        import onnx
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport, reportMissingTypeStubs]

    pixels = np.random.default_rng(0).random((2, inputs.channels, inputs.size, inputs.size), dtype=np.float32)
    images = torch.as_tensor(pixels)
    batch = torch.export.Dim("batch")
    try:
        torch.onnx.export(  # pyright: ignore[reportUnknownMemberType]
            network,
            (images,),
            path,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: batch},),
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise WeightsError(f"torch cannot write this network as ONNX: {str(error).splitlines()[0]}") from error
    written = onnx.load(path)  # pyright: ignore[reportUnknownMemberType]
    _clear_notes(written)
    onnx.save(written, path)  # pyright: ignore[reportUnknownMemberType]
    session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 2):
        with torch.inference_mode():
            wanted = network(images[:count]).numpy()
        logits = session.run(None, {"images": pixels[:count]})[0]
        difference = float(np.abs(logits - wanted).max() / max(1.0, float(np.abs(wanted).max())))
        if not difference <= AGREEMENT:
            path.unlink()
            raise WeightsError(
                f"outputs of ONNX differ by {difference:.1e} of the largest one, more than {AGREEMENT:g}"
            )


def _clear_notes(message: Any) -> None:
    """Clear the notes in a message of ONNX and all within it: torch writes there which files of this machine it ran."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type:
            for part in (value,) if hasattr(value, "ListFields") else value:
                _clear_notes(part)


# The model card, from facts of the run.


def _card(run: RunFolder, planned: Trial, values: Mapping[str, Any], format: str) -> Iterator[str]:
    facts = {row["key"]: escape_markdown(str(row["value"])) for row in run.table("provenance")}
    yield from (
        f"# {facts.get('study') or escape_markdown(run.root.name)}: {escape_markdown(planned.point.label)}, "
        f"seed {planned.training.seed}",
        "",
        f"A network for {planned.training.recipe.task}, trained by Assay in a study of the question: "
        f"{facts.get('question') or 'none stated'}",
        "",
        "**Use.** Trained to compare design choices. It was not validated for clinical use.",
        "",
        "## Data",
        "",
        *_list_facts(facts, "data", "data summary", "license", "known faults"),
        *(f"- {line}" for line in _associations(run, planned)),
        "",
        "## Input and output",
        "",
        *_in_and_out(values["input"], values["output"]),
        "",
        "## Results of this network",
        "",
        *_results(run, planned),
        "",
        "## Findings of the study",
        "",
        f"- {escape_markdown(verdict(PageContext.of(run.root))) or 'No answer is possible.'}",
    )
    doubts = (finding for finding in map(parse_finding, run.table("findings")) if finding.light in ("warn", "bad"))
    yield from (f"- Caution: {escape_markdown(reason_words(finding.reason))}" for finding in doubts)
    load = (
        "`assay.load_model(FOLDER)` loads the network, `assay.probe(FOLDER, data)` probes it."
        if format == "safetensors"
        else f"`onnxruntime` runs `{ONNX_FILE}`: input `images`, output `logits`, any batch size. "
        "`assay.probe` reads it too."
    )
    yield from (
        "",
        "## Files",
        "",
        load,
        f"`{EXPORTED}` holds the facts of this page for programs, and the whole recipe.",
        "",
        "## Provenance",
        "",
        f"- training run: {planned.id}",
        f"- SHA-256 of the weights: {values['sha256']}",
        *_list_facts(facts, "trained to", "hash of what is trained", "device", DISTRIBUTION, "torch", "timm"),
    )


def _list_facts(facts: Mapping[str, str], *names: str) -> Iterator[str]:
    yield from (f"- {name}: {facts[name]}" for name in names if facts.get(name))


def _in_and_out(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[str]:
    cut = outputs["threshold"]
    threshold = "" if cut is None else f" Threshold on the probability of the last: {cut:.4f}."
    crop = f", of which {inputs['crop_share']:g} is kept" if inputs["crop_share"] != 1 else ""
    crop += inputs["resize"] and f", resized by `{inputs['resize']}`"
    steps = (
        f"; before that {', '.join(map(escape_markdown, inputs['preprocessing']))}" if inputs["preprocessing"] else ""
    )
    scaling = escape_markdown(inputs["scaling"]) or "no scaling"
    yield (
        f"- Input: {inputs['values']}, {inputs['channels']} x {inputs['size']} x {inputs['size']}. Images become "
        "squares "
        f"by `{inputs['fit']}`{crop}{steps}. The network scales by itself: {scaling}."
    )
    yield f"- Output: {outputs['values']}. Classes: {', '.join(map(escape_markdown, outputs['classes']))}.{threshold}"


def _associations(run: RunFolder, planned: Trial) -> Iterator[str]:
    """Return the images of training, and what was tied to the classes there."""
    rows = [
        row
        for row in run.table("environments")
        if row["environment"] == "train" and row["recipe"] in ("", planned.point.label)
    ]
    if rows:
        yield f"training images: {int(rows[0]['images']):,}"
    for row in rows:
        if row["strength"] == row["strength"] and row["strength"]:
            tied = f"association in training: {escape_markdown(row['factor'])} with {escape_markdown(row['target'])}"
            yield f"{tied}, Somers' D {number(float(row['strength']))}"


def _results(run: RunFolder, planned: Trial) -> Iterator[str]:
    """Return a table of Markdown: this seed's measures of all images, by test environment; compared ones first."""
    of_network = [
        row
        for row in run.table("seeds")
        if (row["recipe"], row["seed"]) == (planned.point.label, planned.training.seed) and _is_overall(row)
    ]
    defined = list(dict.fromkeys(row["measure"] for row in of_network if row["value"] == row["value"]))
    same = CONVENTIONS[1:] + (("auroc-macro", "somers-d") if "auroc" in defined else ())
    compared = {row["measure"] for row in run.table("contrasts")}
    of_images = planned.training.recipe.task == "segmentation"

    def rank(name: str) -> tuple[bool, bool]:
        return name not in compared, of_images and name in MEASURES and MEASURES[name].probe == "performance"

    measures = sorted((name for name in defined if name not in same), key=rank)[:MOST_MEASURES]
    if not measures:
        yield "No measure of all images was made of it."
        return
    yield f"| environment | {' | '.join(escape_markdown(label_of(measure)) for measure in measures)} |"
    yield f"|---|{'--:|' * len(measures)}"
    for name in dict.fromkeys(row["environment"] for row in of_network):
        at = {row["measure"]: float(row["value"]) for row in of_network if row["environment"] == name}
        cells = [
            number(at[measure]) if at.get(measure, np.nan) == at.get(measure, np.nan) else "–" for measure in measures
        ]
        yield f"| {escape_markdown(name)} | {' | '.join(cells)} |"
    if planned.training.fold or any(trial.training.fold for trial in stored_study(run.root).plan.trials):
        yield "\nMeans over the folds of the seed; this network is of one fold."


def _is_overall(row: Row) -> bool:
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["layer"] or row["group"])


# Starts.


def export_start(root: Path, start: str, path: Path, seed: int | None = None, fold: int = 0) -> Path:
    """See `assay.Run.export_start`."""
    sources = stored_study(root).plan.sources
    names = list(dict.fromkeys(source.name for source in sources))
    if start not in names:
        near = nearest(start, names)
        meant = f"did you mean '{near}'?" if near else f"it trained {', '.join(names) or 'none'}"
        raise StoreError(f"the study in {root} trained no start '{start}': {meant}")
    of_start = [source for source in sources if source.name == start]
    wanted = of_start[0].training.seed if seed is None else seed
    trial = next(
        (
            trial_of_start
            for trial_of_start in of_start
            if (trial_of_start.training.seed, trial_of_start.training.fold) == (wanted, fold)
        ),
        None,
    )
    if trial is None:
        seeds = ", ".join(map(str, sorted({trial_of_start.training.seed for trial_of_start in of_start})))
        raise StoreError(f"start '{start}' has no seed {wanted}, fold {fold}: its seeds are {seeds}")
    folder = RunFolder(root)
    status = folder.record("sources", trial.id)["status"] if folder.complete("sources", trial.id) else "not trained"
    if status != "done":
        raise StoreError(f"{trial.label} is {status}: there are no weights to export")
    weights = default_cache_root() / "sources" / trial.id / WEIGHTS_FILE
    if not weights.is_file():
        raise WeightsError(f"source {trial.id} is not in {weights.parent.parent}: run its study again, which trains it")
    architecture = trial.training.recipe.architecture.label
    export_trunk(weights, path, {"architecture": architecture, "trained_by": f"assay {trial.id}"})
    return path
