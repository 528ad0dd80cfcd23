"""Run folders with made tables, for tests of the report."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.plugin import Code, Reason, RunFolder, generator
from assay.stats import collapse_rate
from assay.stats.corruption import corruption_rows
from assay.stats.decisions import restrict_claims
from assay.stats.doubts import study_findings
from assay.stats.findings import finding_row
from assay.stats.rows import with_id
from assay.store import schema
from assay.study.kind import STUDY

# What a made-up study has: its axes, its probes, and the levels that its numbers are drawn around.

NAN = math.nan
LEVELS = {"cross-entropy": 0.78, "supcon": 0.75, "triplet": 0.62, "pairwise-contrastive": 0.55, "arcface": 0.46}
SHIFTS = {"same": 0.22, "neutral": 0.12, "reversed": 0.0, "conflict": 0.08, "faint": -0.02, "origin-b": 0.05}


@dataclass(frozen=True)
class StudyTables:
    """What a made-up study has: its losses, its budgets, its seeds, and which probes were run. more: further axes."""

    losses: tuple[str, ...] = tuple(LEVELS)
    budgets: tuple[str, ...] = ("10", "20", "40")
    seeds: int = 5
    environments: tuple[str, ...] = tuple(SHIFTS)
    probes: tuple[str, ...] = ("performance", "reliance", "decodability")
    classes: tuple[str, ...] = ("",)
    question: str = "Which feature does each loss make a network learn, and what does that cost under shift?"
    contrasts: bool = True
    pictures: bool = True
    all_failed: bool = False
    more: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def recipes(self) -> list[tuple[str, dict[str, str]]]:
        """Label and coordinates of every recipe."""
        axes = {"loss": self.losses, "epochs": self.budgets, **dict(self.more)}
        wide = {axis: values for axis, values in axes.items() if len(values) > 1}
        found = [dict(zip(wide, values, strict=True)) for values in itertools.product(*wide.values())]
        return [(" · ".join(at.values()) or self.losses[0], at) for at in found]


# Rows of a made-up dose-response: its contrasts, and what each confounder took.


def dosed(made: StudyTables) -> Iterator[dict[str, Any]]:
    """A dose-response of every loss and confounder; one is lower, one depends on the scale, one has no seed."""
    kinds = itertools.cycle(("lower", "depends", "inconclusive", "lost"))
    for confounder, loss in itertools.product(dict(made.more)["confounder"], made.losses[1:]):
        kind, where = next(kinds), {"confounder": confounder}
        lost = kind == "lost"
        p = {"lower": (0.001, 0.002), "depends": (0.001, 0.4)}.get(kind, (0.3, 0.4))
        reason = {"lost": str(Reason.of(Code.NO_SEED)), "depends": str(Reason.of(Code.DEPENDS_ON_SCALE))}.get(kind, "")
        plain, probit = (NAN, NAN) if lost else p
        yield {
            "id": f"d05e-{confounder}-{loss}",
            "axis": "loss",
            "a": loss,
            "b": made.losses[0],
            "at": "dose-response",
            "measure": "auroc",
            "environment": "reversed",
            "factor": "",
            "layer": "",
            "where": json.dumps(where),
            "value": NAN if lost else -0.1,
            "low": NAN if lost else -0.16,
            "high": NAN if lost else -0.04,
            "standard_error": 0.02,
            "df": 5.0,
            "p": max(plain, probit),
            "plain_p": plain,
            "probit_p": probit,
            "p_holm": max(plain, probit),
            "family": "stated",
            "seeds": made.seeds,
            "left_out": 0,
            "patients": 1000,
            "paired_patients": 1000,
            "effective_patients": 400.0,
            "sign_flip_p": 0.0625,
            "sign_flip_min_p": 0.0625,
            "margin": NAN,
            "equivalence_p": NAN,
            "beyond_p": NAN,
            "equivalence_level": NAN,
            "equivalence_low": NAN,
            "equivalence_high": NAN,
            "noninferiority_p": NAN,
            "decision": "lower" if kind == "lower" else "inconclusive",
            "detectable": 0.11,
            "exploratory": False,
            "reason": reason,
        }


def dose_changes(made: StudyTables) -> Iterator[dict[str, Any]]:
    """The tag takes 0.2, the other confounder nothing."""
    if "p" not in dict(made.more):
        return
    confounders = dict(made.more)["confounder"]
    for environment, loss, confounder in itertools.product(made.environments, made.losses, confounders):
        value = -0.2 if confounder == "tag" else 0.01
        yield {
            "recipe": f"{loss} · {confounder}",
            "coordinates": json.dumps({"loss": loss, "confounder": confounder}),
            "axis": "p",
            "doses": json.dumps([float(p) for p in dict(made.more)["p"] if float(p)]),
            "measure": "auroc",
            "environment": environment,
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "seeds": 3,
            "patients": 1000,
            "reason": "",
            "per_seed": json.dumps({seed: value + 0.03 * (seed - 1) for seed in range(3)}),
        }


def dose_counts(made: StudyTables) -> Iterator[dict[str, Any]]:
    """A tag on exactly a share of 150, and another confounder that is drawn."""
    for confounder in dict(made.more).get("confounder", ()) if "p" in dict(made.more) else ():
        for p in dict(made.more)["p"]:
            for name, share in (("benign", 0.0), ("malignant", float(p))):
                exact = round(150 * share)
                around = 0 if confounder == "tag" or not exact else 4
                at = {"loss": made.losses[0], "confounder": confounder, "p": p}
                yield {
                    "recipe": " · ".join(at.values()),
                    "coordinates": json.dumps(at),
                    "factor": confounder,
                    "target": name,
                    "least": exact - around,
                    "most": exact,
                    "fewest_images": 150,
                    "most_images": 150,
                }


# Tables of the probes `representation` and `reinitialization`, and likenesses beside seeds; numbers are drawn.


# Pictures of a made-up study, gray squares with a disc each, and how visible its confounders are.


def pictures(root: Path, made: StudyTables) -> Iterator[dict[str, Any]]:
    common = {"pixel_size": 0.7, "environment": "", "factor": "", "logits": "{}"}
    for name in ("train", *made.environments):
        facts = {"head": name, "target": "malignancy", "rows": ["benign", "malignant"], "images": 1000,
                 "counts": {"benign": 500, "malignant": 500}, "rest": {}, "marks": {}, "folds": 1,
                 "masks": False}  # fmt: skip
        scale = _picture(root / "pictures" / f"sheet-{name}.png", [[64] * 8] * 2, 2)
        yield {
            **common,
            "file": f"sheet-{name}.png",
            "kind": "sheet",
            "facts": json.dumps(facts),
            "scale": scale,
            "environment": name,
        }
    for confounder in ("tag", "low-pass"):
        facts = {"images": 8, "times": 5}
        scale = _picture(root / "pictures" / f"confounder-{confounder}.png", [[64] * 8] * 3, 2)
        yield {
            **common,
            "file": f"confounder-{confounder}.png",
            "kind": "confounder",
            "facts": json.dumps(facts),
            "scale": scale,
            "factor": confounder,
        }
    for place, outcome, i in itertools.product(made.environments[:4], ("wrong", "divided", "right"), range(3)):
        facts = {"outcome": outcome, "truth": "malignant", "called": "benign", "probability": 0.93, "made": True}
        scale = _picture(root / "pictures" / f"{outcome}-{place}-line-{i + 2}.png", [[64]], 4)
        yield {
            **common,
            "file": f"{outcome}-{place}-line-{i + 2}.png",
            "kind": "case",
            "facts": json.dumps(facts),
            "scale": scale,
            "environment": place,
        }
    for factor, i in itertools.product(("margin", "texture", "size"), range(3)):
        facts = {"low": "0.1", "high": "0.9", "times": 5}
        logits = {recipe: [-1.2 - n / 3, 2.1 - n / 5] for n, (recipe, _) in enumerate(made.recipes)}
        scale = _picture(root / "pictures" / f"pair-{factor}-{i}.png", [[64] * 3], 4)
        yield {
            **common,
            "file": f"pair-{factor}-{i}.png",
            "kind": "pair",
            "facts": json.dumps(facts),
            "scale": scale,
            "factor": factor,
            "logits": json.dumps(logits),
        }


def visibility() -> Iterator[dict[str, Any]]:
    common = {"kind": "intervention", "images": 64, "reason": ""}
    yield {**common, "confounder": "tag", "factor": "tag", "share": 0.0137, "difference": 0.0081, "ssim": 0.968}
    yield {
        **common,
        "confounder": "low-pass(cutoff=0.2)",
        "factor": "low-pass",
        "share": 0.791,
        "difference": 0.0112,
        "ssim": NAN,
        "reason": str(Reason.of(Code.NO_SSIM)),
    }
    yield {
        **common,
        "confounder": "sex",
        "factor": "sex",
        "kind": "sampled",
        "share": NAN,
        "difference": NAN,
        "ssim": NAN,
        "images": 0,
        "reason": str(Reason.of(Code.TIED_BY_SAMPLING)),
    }


def _picture(path: Path, tiles: list[list[int]], scale: int) -> int:
    """A grid of gray squares with a disc each, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [np.concatenate([_disc(size, r * 8 + c) for c, size in enumerate(row)], 1) for r, row in enumerate(tiles)]
    image = np.concatenate(rows).repeat(scale, 0).repeat(scale, 1)
    Image.fromarray(image).save(path)
    return scale


def _disc(size: int, number: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    noise = generator(3, "disc", number).normal(0, 12, (size, size))
    tile = 60 + noise + 130 * (np.hypot(x, y) < 5 + number % 5)
    tile[:, -2:] = tile[-2:] = 255
    return tile.clip(0, 255).astype(np.uint8)


# A run folder with every table, as a study would leave it; the numbers are drawn, not measured.

FACTORS = {
    "margin": 0.5, "texture": 0.35, "size": 0.08, "contrast": 0.05, "position": 0.02, "elongation": 0.01,
    "vessel attachment": 0.03, "nuisance seed": 0.09,
}  # fmt: skip
LAYERS = ("stem", "stage 1", "stage 2", "stage 3", "pooled")
MEASURES = ("auroc", "auroc-macro", "average-precision", "accuracy", "sensitivity", "specificity", "brier",
            "log-loss", "calibration-error", "somers-d")  # fmt: skip


EVERYTHING = StudyTables()


def make_run(root: Path, made: StudyTables = EVERYTHING) -> Path:
    """Write every table and picture of a made-up study and return its folder."""
    folder = RunFolder(root)
    folder.begin(STUDY, {})
    trials = list(_trials(made))
    values, estimates = _measured(made, trials)
    estimates += map(with_id, corruption_rows(estimates, "loss", made.losses[0]))
    contrasts = restrict_claims(list(_contrasts(made)), []) if made.contrasts else []
    asked = [row["id"] for row in contrasts if not row.get("exploratory")][:2]
    contrasts = [{"role": "primary" if row["id"] in asked else "secondary", **row} for row in contrasts]
    environments = list(_environments(made))
    rows: dict[str, Sequence[dict[str, Any]]] = {
        "trials": trials,
        "values": values,
        "estimates": estimates,
        "contrasts": contrasts,
        "dose_changes": list(dose_changes(made)),
        "starts": list(_starts()),
        "recipes": list(_recipes(made)),
        "collapses": list(_collapses(trials)),
        "environments": environments,
        "findings": [finding_row(one) for one in study_findings(contrasts, estimates, trials, environments)],
        "pictures": list(pictures(root, made)) if made.pictures else [],
        "dose_counts": list(dose_counts(made)),
        "visibility": list(visibility()) if made.pictures else [],
        "provenance": _provenance(made),
    }
    for name, table in schema.TABLES.items():
        if not table.parts:
            folder.write_table(name, table.names, rows.get(name, []))
    return root


def _trials(made: StudyTables) -> Iterator[dict[str, Any]]:
    for number, (recipe, at) in enumerate(made.recipes):
        for seed in range(made.seeds):
            status, reason = "done", ""
            if made.all_failed or (number == 1 and seed == 0):
                status, reason = "failed", 'Traceback:\n  File "x.py", line 3\nValueError: the loss is <not> finite'
            elif number == len(made.recipes) - 1 and len(made.recipes) > 2:
                status, reason = "collapsed", "all embeddings are equal: distances spread by 1e-9"
            yield {
                "trial": f"{number:04x}{seed:04x}",
                "recipe": recipe,
                "coordinates": json.dumps(at),
                "seed": seed,
                "fold": 0,
                "status": status,
                "reason": reason,
                "yardstick": 0.3 + 0.02 * seed,
                "seconds": 9.0 + seed,
                "train_loss": 0.2,
                "validation_loss": 0.31,
            }


def _measured(made: StudyTables, trials: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Values of seeds and estimates of every probe; a recipe without a kept seed has none."""
    of_seeds: list[dict[str, Any]] = []
    estimates: list[dict[str, Any]] = []
    for recipe, at in made.recipes:
        kept = [row["seed"] for row in trials if row["recipe"] == recipe and row["status"] == "done"]
        if not kept:
            continue
        for center, spread, row in _places(made, at):
            draw = generator(7, "made", recipe, *map(str, row.values()))
            values = center + spread * draw.standard_normal(len(kept))
            where = {"recipe": recipe, "coordinates": json.dumps(at), **_blank(), **row}
            reason = row.get("reason", "")
            estimates.append(with_id({**where, **_summary(values, center, reason, where["group"])}))
            named = {"id": estimates[-1]["id"]}
            of_seeds += [{**named, "seed": s, "value": v} for s, v in zip(kept, values.tolist(), strict=True)]
    return of_seeds, estimates


def _blank() -> dict[str, Any]:
    names = ("measure", "environment", "factor", "level", "layer", "group", "unit", "direction", "reason")
    return {**dict.fromkeys(names, ""), "chance": NAN}


def _summary(values: np.ndarray, center: float, reason: str, group: str) -> dict[str, Any]:
    found = {"seeds": len(values), "patients": 1000, "images": 1000, "df": 6.0}
    if math.isnan(center):
        return {**found, "value": NAN, "low": NAN, "high": NAN, "standard_error": NAN, "reason": reason}
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) + 0.006 if len(values) > 2 else NAN
    mean = float(values.mean())
    few = "" if len(values) > 2 else _few(len(values))
    group_place = Reason.of(Code.WORST_GROUP_PLACE, factor="texture", level="part-solid", target="benign")
    environment = Reason.of(Code.WORST_ENVIRONMENT_PLACE, environment="reversed")
    where = str(environment if group == "worst environment" else group_place)
    said = reason or few or (where if group.startswith("worst") else "")
    return {
        **found,
        "value": mean,
        "low": mean - 2.6 * error,
        "high": mean + 2.6 * error,
        "standard_error": error,
        "reason": said,
    }


def _few(seeds: int) -> str:
    return str(Reason.of(Code.FEW_SEEDS, seeds=seeds, least=3))


def _places(made: StudyTables, at: dict[str, str]) -> Iterator[tuple[float, float, dict[str, Any]]]:
    """(center, spread over seeds, where) of everything measured for a recipe."""
    loss = at.get("loss", made.losses[0])
    level = LEVELS.get(loss, 0.4 + 0.4 * (made.losses.index(loss) / len(made.losses)))
    level -= 0.5 * float(at.get("p", 0)) * (at.get("confounder") == "tag")  # the other one harms nothing
    level += 0.1 * math.log10(float(at.get("fraction+epochs", "1").split("+")[0]))
    gain = 0.06 * made.budgets.index(at["epochs"]) if "epochs" in at else 0.06
    if "performance" in made.probes:
        yield from _performance(made, level + gain)
    if "reliance" in made.probes:
        yield from _reliance(made, level)
    if "decodability" in made.probes:
        yield from _decodability(level)
    if "robustness" in made.probes:
        yield from _robustness(level)
    if "attribution" in made.probes:
        yield from _attribution(level)


def _performance(made: StudyTables, level: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    for environment in made.environments:
        value = min(0.985, level + SHIFTS[environment])
        for measure in MEASURES:
            row = {"measure": measure, "environment": environment, "direction": "higher", "chance": 0.5}
            if measure in ("brier", "log-loss", "calibration-error"):
                row |= {"direction": "lower", "chance": NAN}
                yield 0.5 * (1 - value) + 0.05, 0.01, row
            elif measure == "sensitivity" and environment == "conflict":
                yield NAN, 0.0, {**row, "reason": "no image is of class 'malignant'"}
            else:
                yield value, 0.012 + 0.06 * (1 - value), row
        yield value - 0.1, 0.03, {"measure": "accuracy", "environment": environment, "group": "worst group"}
    yield level, 0.04, {"measure": "auroc", "group": "worst environment", "chance": 0.5}


def _reliance(made: StudyTables, level: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    for factor, share in FACTORS.items():
        tilt = {"margin": level, "texture": 1.1 - level}.get(factor, 0.5)
        for name in made.classes:
            place = {"factor": factor, "level": name, "chance": 0.0}
            value = share * 2 * tilt
            unsure = Reason.of(Code.NOT_CONVERGED_ERROR, error=0.061, tolerance=0.05)
            doubt = str(unsure) if factor == "contrast" else ""
            unit = "share of variance"
            yield value, 0.03, {**place, "measure": "sobol-total", "unit": unit, "reason": doubt}
            yield 0.8 * value, 0.03, {**place, "measure": "sobol-first", "unit": unit}
            if factor != "nuisance seed":
                yield 0.6 * value, 0.02, {**place, "measure": "flip-rate"}
                sign = -1 if factor == "size" else 1
                effect = {**place, "measure": "logit-effect", "unit": "within-class sd"}
                yield sign * 4 * value, 0.2, effect
                yield sign * 3 * value, 0.2, {**effect, "group": "low to high"}


def _decodability(level: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    for factor, share in list(FACTORS.items())[:7]:
        place = {"measure": "decodability", "environment": "independent", "factor": factor, "chance": 0.5,
                 "unit": "AUROC"}  # fmt: skip
        for depth, layer in enumerate(LAYERS):
            trained = 0.6 + 0.3 * share + 0.06 * depth * (level if factor == "margin" else 0.4)
            yield min(0.98, trained), 0.015, {**place, "layer": layer, "group": "trained"}
            yield 0.5, 0.01, {**place, "layer": layer, "group": "shuffled"}
            yield 0.58 + 0.02 * depth, 0.012, {**place, "layer": layer, "group": "untrained"}
        yield 0.62, 0.0, {**place, "group": "pixels"}


def _robustness(level: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    for family, harm in (("retinal-defocus", 0.1), ("retinal-artifacts", 0.03)):
        place = {"environment": "same", "factor": family, "direction": "lower"}
        for severity in (3, 5):
            yield 0.9 - level + harm * severity, 0.01, {**place, "measure": "distorted-error", "level": str(severity)}
        yield 0.9 - level + harm * 4, 0.01, {**place, "measure": "distorted-error"}
        yield harm * 4, 0.01, {**place, "measure": "distorted-error-increase"}
    fog = {"environment": "same", "factor": "fog", "reason": "fog takes color images"}
    yield NAN, 0.0, {**fog, "measure": "distorted-error", "direction": "lower"}


def _attribution(level: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    said = str(Reason.of(Code.FAILS_SANITY, correlation=0.81))
    place = {"environment": "(neutral)", "unit": "share", "chance": 0.05}
    yield 0.11, 0.0, {**place, "measure": "mass-accuracy", "factor": "center-prior"}
    for factor, gain in (("gradient", 0.1), ("input-x-gradient", 0.2), ("maps:Cam", NAN)):
        reason = {"input-x-gradient": said, "maps:Cam": "no convolution of this network gives maps"}.get(factor, "")
        for measure in ("mass-accuracy", "pointing-game"):
            yield level + gain - 0.2, 0.02, {**place, "measure": measure, "factor": factor, "reason": reason}
        for order, stage in (("", ""), ("cascading", "head")):
            check = {"measure": "sanity-rank-correlation", "factor": factor, "group": order, "level": stage}
            yield 2 * gain, 0.01, {**place, **check, "reason": reason if math.isnan(gain) else ""}
    for size, effect in (("", 0.5), ("small", 0.1), ("medium", 0.5), ("large", 0.9)):
        erased = {"measure": "erasure-effect-over-elsewhere", "level": size, "chance": 0.0, "unit": "within-class sd"}
        yield effect * level, 0.05, {**place, **erased}
    for kind, effect in (("microaneurysms", 0.2), ("cotton_wool", 0.7)):
        for measure in ("lesion-effect", "erasure-effect-over-elsewhere"):
            gone = {"measure": measure, "group": kind, "chance": 0.0, "unit": "within-class sd"}
            yield effect * level, 0.05, {**place, **gone}


def _contrasts(made: StudyTables) -> Iterator[dict[str, Any]]:
    if "p" in dict(made.more):
        yield from dosed(made)
        return
    more = {axis: values[-1] for axis, values in made.more}
    for at, where in (("equal-budget", {"epochs": made.budgets[1 % len(made.budgets)], **more}), ("matched-fit", more)):
        for number, loss in enumerate(made.losses[1:]):
            share = 0.4 if at == "matched-fit" else 1.0
            value = share * (LEVELS.get(loss, 0.5) - 0.78)
            lost, few = at == "matched-fit" and number == 1, made.seeds < 3
            undefined = lost or few
            p = min(1.0, math.exp(-abs(value) * 30))
            verdict = "lower" if p < 0.05 else "equivalent" if abs(value) < 0.02 else "inconclusive"
            yield {
                "id": f"c0ffee-{at}-{loss}",
                "axis": "loss",
                "a": loss,
                "b": made.losses[0],
                "at": at,
                "measure": "auroc",
                "environment": "reversed",
                "factor": "",
                "layer": "",
                "where": json.dumps(where),
                "value": NAN if lost else value,
                "low": NAN if undefined else value - 0.07,
                "high": NAN if undefined else value + 0.07,
                "standard_error": 0.03,
                "df": 6.1,
                "p": NAN if undefined else p / 2,
                "p_holm": NAN if undefined else p,
                "family": "stated",
                "seeds": made.seeds,
                "left_out": 1,
                "patients": 1000,
                "paired_patients": 1000,
                "effective_patients": 400.0,
                "sign_flip_p": 0.0625,
                "sign_flip_min_p": 0.0625,
                "margin": 0.05,
                "equivalence_p": 0.4,
                "beyond_p": 0.3,
                "equivalence_level": 0.9,
                "equivalence_low": value - 0.055,
                "equivalence_high": value + 0.055,
                "noninferiority_p": 0.3,
                "decision": "inconclusive" if undefined else verdict,
                "detectable": 0.11,
                "exploratory": loss == "supcon" and at == "matched-fit",
                "reason": "the two recipes reach no common fit" if lost else _few(made.seeds) if few else "",
            }


def _starts() -> Iterator[dict[str, Any]]:
    """One of each sort that a study can have."""
    own: dict[str, Any] = dict.fromkeys(
        ("data", "phantom", "target", "statistics", "below", "reason", "file", "sha256"), ""
    )
    own |= dict.fromkeys(("size", "steps", "images", "seeds", "value", "low", "high"), NAN)
    own["scaling"] = "(x - (0.5)) / (0.5)"
    yield {**own, "start": "random", "kind": "random", "component": "random"}
    yield {
        **own,
        "start": "file(path=net.pt)",
        "kind": "file",
        "component": "file(path=net.pt)",
        "file": "net.pt",
        "sha256": "0123456789abcdef" * 4,
        "scaling": "2 x - 1",
    }
    yield {
        **own,
        "start": "natural",
        "kind": "source",
        "component": "source",
        "data": "phantom",
        "phantom": "natural",
        "target": "kind",
        "size": 64.0,
        "steps": 1250.0,
        "images": 4000.0,
        "seeds": 3,
        "value": 0.91,
        "low": 0.85,
        "high": 0.95,
    }


def _recipes(made: StudyTables) -> Iterator[dict[str, Any]]:
    for recipe, at in made.recipes:
        mitigation = at.get("mitigation", "none")
        yield {
            "recipe": recipe,
            "coordinates": json.dumps(at),
            "mitigation": mitigation,
            "groups": "" if mitigation == "none" else "tag",
            "training_labels": "none" if mitigation == "none" else "training",
            "selection_labels": "none" if mitigation == "none" else "validation",
        }


def _collapses(trials: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    of: dict[str, list[dict[str, Any]]] = {}
    for row in trials:
        of.setdefault(row["recipe"], []).append(row)
    for recipe, own in of.items():
        lost = sum(row["status"] == "collapsed" for row in own)
        ended = lost + sum(row["status"] == "done" for row in own)
        rate = collapse_rate(lost, ended)
        yield {
            "recipe": recipe,
            "coordinates": own[0]["coordinates"],
            "against": "",
            "collapsed": lost,
            "diverged": 0,
            "seeds": ended,
            "rate": rate.value,
            "low": rate.low,
            "high": rate.high,
            "p": NAN,
            "min_p": NAN,
        }


def _environments(made: StudyTables) -> Iterator[dict[str, Any]]:
    asked = {"train": 0.9, "same": 0.9, "neutral": 0.0, "reversed": -0.9}
    for name in ("train", *made.environments):
        want = asked.get(name, NAN)
        got = 0.0 if math.isnan(want) else want - 0.01
        held = "solid" if name == "conflict" else ""
        room = 0.0 if held else 0.03
        counts = [["benign", "solid", 430], ["benign", "part-solid", 40], ["malignant", "solid", 30]]
        yield {
            "environment": name,
            "recipe": "",
            "factor": "texture",
            "target": "malignant",
            "asked": want,
            "strength": got,
            "low": got - room,
            "high": got + room,
            "held": held,
            "kept": 500,
            "available": 1000,
            "counts": json.dumps(counts),
            "images": 1000,
            "patients": 1000,
        }


def _provenance(made: StudyTables) -> list[dict[str, Any]]:
    facts = {
        "study": "nodule-loss", "question": made.question, "seeds": str(made.seeds), "data": "nodule phantom",
        "data summary": "lung nodules drawn by a phantom", "license": "Apache-2.0",
        "known faults": "vessels are straighter than in patients", "rows left out": "row 17: no label",
        "hash of what is trained": "0123456789abcdef", "machine": "x86_64 made-up processor", "python": "3.11.9",
        "torch": "2.15.0", "spec": json.dumps({"name": "nodule-loss", "seeds": made.seeds}, indent=1),
    }  # fmt: skip
    return [{"key": key, "value": value} for key, value in facts.items()]
