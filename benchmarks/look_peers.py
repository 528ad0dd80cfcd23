"""Issues of image sets: `assay look` next to cleanlab's Datalab, fastdup and deepchecks, each in its own environment.

    python benchmarks/look_peers.py FOLDER [--real TABLE.csv --target COLUMN]   # draws the sets, then looks at them
    PEER/bin/python benchmarks/look_peers.py FOLDER --peer cleanlab    # with cleanlab[datalab,image]
    PEER/bin/python benchmarks/look_peers.py FOLDER --peer fastdup     # with fastdup
    PEER/bin/python benchmarks/look_peers.py FOLDER --peer deepchecks  # with deepchecks[vision]
    python benchmarks/look_peers.py FOLDER --table                     # a table of all that was found
    PYTHON benchmarks/look_peers.py --once DATA.csv [--peer TOOL]      # seconds of a set: image, label (0, 1), patient

Every set is there with ten kinds of issues and without them, and the images without them have labels shuffled by
patient again and again. Images are chest radiographs that a phantom draws, whose class is a mass, or rows of a table.
All tools get the files and labels; Datalab also gets thumbnails of 16 x 16 pixels as features, and out-of-fold
probabilities of a logistic regression on these. A kind that a tool has no check for is a dash. Of copies, text, wrong
labels and outliers, found are images; of the other kinds, sets. False are images without any issue that are flagged for
the kind, or sets without it. Of shuffled labels, sets with any finding that is about labels. Time is of the process and
its children, on one thread where the tool allows.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

IMAGES, SIDE = 200, 96
EACH = 6
"""Images of an issue of single images."""
SETS, SHUFFLED, FIRST = 4, 40, 8
ROLES = ("planted", "plain")
PER_IMAGE = ("copies", "text", "wrong labels", "outliers")
PER_SET = ("leak by patient", "proxy column", "missing values", "brightness", "border", "tied view")
KINDS = ("copies", "leak by patient", "proxy column", "missing values", "brightness", "border", "text", "wrong labels",
         "outliers", "tied view")  # fmt: skip
DISGUISES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same file": lambda image: image.copy(),
    "mirrored": ImageOps.mirror,
    "half turn": lambda image: image.rotate(180),
    "cropped": lambda image: image.crop((0, 0, round(0.9 * image.width), round(0.9 * image.height))),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: image.point([min(255, round(1.2 * value + 10)) for value in range(256)]),
}
Flags = dict[str, Any]
"""Kind -> names of files, or whether the set has it; copies as pairs of names; no entry without a check."""


# The sets.


def drawn(at: int) -> tuple[list[Image.Image], np.ndarray]:
    """Chest radiographs of a phantom, and whether they have a mass."""
    from assay.data.phantoms.chest import ChestPhantom

    phantom, draws = ChestPhantom(), np.random.default_rng([7, at])
    values = {factor.name: phantom.quantile(factor.name, draws.random(IMAGES)) for factor in phantom.factors}
    label = np.arange(IMAGES) // 2 % 2
    values["mass"] = phantom.quantile("mass", np.where(label == 1, 0.99, 0.01))
    made = phantom.render(values, draws.integers(0, 2**31, IMAGES), SIDE, {"mass": 3.0}).images[:, 0].numpy()
    return [Image.fromarray((255 * one).round().astype(np.uint8)) for one in made], label


def taken(path: Path, target: str, at: int) -> tuple[list[Image.Image], np.ndarray]:
    """Rows of a table, half of each of two classes, in gray."""
    rows = list(csv.DictReader(path.open()))
    names = sorted({row[target] for row in rows})[:2]
    order = np.random.default_rng([8, at]).permutation(len(rows))
    some = [[rows[k] for k in order.tolist() if rows[k][target] == name][: IMAGES // 2] for name in names]
    label = np.arange(IMAGES) // 2 % 2
    chosen = [some[one].pop() for one in label.tolist()]
    return [Image.open(path.parent / row["image"]).convert("L").copy() for row in chosen], label


def write_set(folder: Path, images: list[Image.Image], label: np.ndarray, at: int, planted: bool) -> None:
    """Write images with `data.csv` and what was planted, `truth.json`. Two images in turn are of a patient."""
    folder.mkdir(parents=True)
    draws, count = np.random.default_rng([9, at]), len(images)
    images, given = [image.copy() for image in images], label.copy()
    truth: dict[str, Any] = {}
    patient = np.arange(count) // 2
    places = (draws.permutation(count // 4) * 4).tolist()  # the first image of every other patient
    tied = np.where(draws.random(count) < 0.9, label, 1 - label)
    free = draws.integers(0, 2, count)
    part = np.where(patient < 0.7 * patient.max(), "train", "test")
    if planted:
        names = [places.pop() for _ in range(3 * EACH)]
        truth["text"], truth["outliers"], truth["wrong labels"] = (names[k::3] for k in range(3))
        for k in truth["text"]:
            pen, font = ImageDraw.Draw(images[k]), ImageFont.load_default(max(10, images[k].height // 14))
            pen.multiline_text((4, 4), "PORTABLE 12:30\nR SUPINE AP", fill=255, font=font)
        for k in truth["outliers"]:
            size = images[k].size
            noise = Image.fromarray(draws.integers(0, 256, (6, 6)).astype(np.uint8))
            images[k] = noise.resize(size, Image.Resampling.NEAREST)
        given[truth["wrong labels"]] = 1 - given[truth["wrong labels"]]
        truth["copies"] = []
        for change in DISGUISES.values():
            for _ in range(2):
                first, second = places.pop(), places.pop()
                images[second] = change(images[first])
                truth["copies"].append([first, second])
        sure = [k for k in range(count) if k not in {*names, *np.ravel(truth["copies"]).tolist()}]
        for k in sure:
            levels = [
                min(255, round(value * (1.12 if label[k] and draws.random() < 0.9 else 1))) for value in range(256)
            ]
            images[k] = images[k].point(levels)
            if label[k] and draws.random() < 0.8:
                images[k] = ImageOps.expand(ImageOps.crop(images[k], 3), 3, fill=200)
        truth |= dict.fromkeys(PER_SET, True)
        part[1::20] = np.where(part[1::20] == "train", "test", "train")  # one image of a patient
    for k, image in enumerate(images):
        image.save(folder / f"{k:04d}.png")
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "patient", "split", "site", "view", "biopsy"])
        for k in range(count):
            site = "AB"[tied[k]] if planted else "AB"[free[k]]
            view = ("AP" if tied[k] and draws.random() < 0.95 else "PA") if planted else ("AP", "PA")[free[k]]
            filled = given[k] if planted else draws.random() < 0.5
            writer.writerow([f"{k:04d}.png", given[k], f"P{patient[k]}", part[k], site, view, "done" if filled else ""])
    (folder / "truth.json").write_text(json.dumps(truth))


def draw_all(folder: Path, asked: argparse.Namespace) -> None:
    """Write every set with and without issues, and the labels of one set without them again and again."""
    for at in range(SETS):
        draw = FIRST + at
        images, label = drawn(draw) if asked.real is None else taken(asked.real, asked.target, draw)
        for role in ROLES:
            write_set(folder / f"{role}-{at}", images, label, draw, role == "planted")
    rows = list(csv.DictReader((folder / "plain-0" / "data.csv").open()))
    for at in range(SHUFFLED):
        order = np.random.default_rng([10, at]).permutation(IMAGES // 2)
        with (folder / "plain-0" / f"shuffled-{at}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["image", "label", "patient"])
            writer.writeheader()
            for k, row in enumerate(rows):
                label = rows[2 * order[k // 2]]["label"]
                writer.writerow({"image": row["image"], "label": label, "patient": row["patient"]})


# The tools: what each flags in a set.


def assay_look(table: Path) -> Flags:
    """Issues and strong cues of `assay look`."""
    import tempfile

    import pandas as pd

    import assay

    with tempfile.TemporaryDirectory() as out:
        found = assay.look(table, "label", patient="patient", out=out)
        issues = pd.read_csv(Path(out) / "issues.csv", keep_default_na=False)
        cues = found.table("shortcuts")
    strong = {(kind, name) for kind, name in cues.loc[cues["strong"], ["kind", "name"]].itertuples(index=False)}
    copies = issues[issues["kind"].isin(("copy", "suspected-copy"))].groupby("cluster")["file"]

    def of(*kinds: str) -> set[str]:
        return set(issues["file"][issues["kind"].isin(kinds)])

    return {
        "copies": {frozenset((a, b)) for _, files in copies for a in files for b in files if a < b},
        "leak by patient": bool((issues["kind"] == "across-parts").any()),
        "proxy column": ("column", "site") in strong,
        "missing values": ("filled", "biopsy") in strong,
        "brightness": ("image", "mean brightness") in strong,
        "border": ("image", "brightness of the border") in strong,
        "text": of("marked"),
        "wrong labels": of("suspected-label"),
        "outliers": of("outlying", "blank", "dark", "bright", "blurry"),
        "tied view": ("column", "view") in strong,
        "about labels": bool(strong) or bool(of("suspected-label")),
    }


def _features(table: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, labels, and thumbnails of 16 x 16 pixels."""
    rows = list(csv.DictReader(table.open()))
    names = [row["image"] for row in rows]
    small = [
        np.asarray(Image.open(table.parent / name).convert("L").resize((16, 16), Image.Resampling.BOX)).ravel()
        for name in names
    ]
    return names, np.array([int(row["label"]) for row in rows]), np.stack(small) / 255


def cleanlab(table: Path) -> Flags:
    """Issues of Datalab, given images, thumbnails and out-of-fold probabilities, at its defaults."""
    from cleanlab import Datalab
    from datasets import Dataset
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names, label, features = _features(table)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probabilities = cross_val_predict(model, features, label, cv=5, method="predict_proba")
    pictures = [Image.open(table.parent / name).convert("RGB") for name in names]
    lab = Datalab(
        Dataset.from_dict({"image": pictures, "label": label.tolist()}),
        label_name="label",
        image_key="image",
        verbosity=0,
    )
    lab.find_issues(features=features, pred_probs=probabilities)
    issues = lab.get_issues()

    def of(*columns: str) -> set[str]:
        there = [f"is_{column}_issue" for column in columns if f"is_{column}_issue" in issues]
        return {name for name, bad in zip(names, issues[there].any(axis=1), strict=True) if bad}

    near = lab.get_issues("near_duplicate")["near_duplicate_sets"]
    pairs = {frozenset((names[k], names[int(other)])) for k, others in enumerate(near) for other in others}
    sets = lab.get_info("imagelab") if "imagelab" in lab.info else {}
    sets = [one for kind in ("exact_duplicates", "near_duplicates") for one in sets.get(kind, {}).get("sets", ())]
    pairs |= {frozenset((names[a], names[b])) for one in sets for a in one for b in one if a != b}
    told = lab.get_info("spurious_correlations")["correlations_df"]
    limit = lab.get_info("spurious_correlations").get("threshold", 0.3)
    low = {row["property"] for row in told.to_dict("records") if row["score"] < limit}
    return {
        "copies": pairs,
        "brightness": bool(low & {"dark", "light"}),
        "wrong labels": of("label"),
        "outliers": of("outlier", "dark", "light", "blurry", "low_information"),
        "about labels": bool(low) or bool(of("label")),
    }


def fastdup(table: Path) -> Flags:
    """Similar pairs, outliers and dark, bright or blurry images of fastdup, at its defaults."""
    import shutil
    import tempfile

    import fastdup as tool

    with tempfile.TemporaryDirectory() as work:
        files = Path(work) / "images"
        shutil.copytree(table.parent, files, ignore=shutil.ignore_patterns("*.csv", "*.json"))
        made = tool.create(input_dir=str(files), work_dir=str(Path(work) / "out"))
        made.run(overwrite=True, num_threads=1, print_summary=False)
        near = made.similarity()
        away = made.outliers()
    column = [name for name in near.columns if name.startswith(("filename", "img_filename"))][:2]
    pairs = {frozenset(map(_base, pair)) for pair in near[column].itertuples(index=False)}
    odd = [name for name in away.columns if "filename_outlier" in name][:1]
    return {
        "copies": pairs,
        "outliers": {_base(name) for name in away[odd[0]]} if odd else set(),
        "about labels": False,
    }


def _base(path: str) -> str:
    return Path(path).name


def deepchecks(table: Path) -> Flags:
    """Checks of deepchecks' data integrity for images, at the default conditions."""
    from deepchecks.vision import VisionData
    from deepchecks.vision.checks import ImagePropertyOutliers, PropertyLabelCorrelation
    from deepchecks.vision.vision_data import BatchOutputFormat

    names, label, _ = _features(table)
    images = [np.asarray(Image.open(table.parent / name).convert("RGB")) for name in names]
    batches = [
        BatchOutputFormat(
            images=images[k : k + 64], labels=label[k : k + 64].tolist(), image_identifiers=names[k : k + 64]
        )
        for k in range(0, len(names), 64)
    ]
    data = VisionData(batches, task_type="classification", label_map={0: "0", 1: "1"}, reshuffle_data=False)
    away = ImagePropertyOutliers(n_show_top=len(names)).run(data).value
    odd = {name for one in away.values() if isinstance(one, dict) for name in one.get("outliers_identifiers", ())}
    check = PropertyLabelCorrelation().add_condition_property_pps_less_than()
    scores = check.run(data)
    strong = {name for name, value in scores.value.items() if value >= 0.2}
    return {"outliers": odd, "brightness": "Brightness" in strong, "about labels": bool(strong)}


TOOLS: dict[str, Callable[[Path], Flags]] = {
    "assay": assay_look, "cleanlab": cleanlab, "fastdup": fastdup, "deepchecks": deepchecks,
}  # fmt: skip


# What was found of what was planted.


def scored(flags: Flags, truth: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    """Kind -> found, planted, false, and what could be false."""
    files = {kind: {f"{k:04d}.png" for k in truth.get(kind, ())} for kind in PER_IMAGE[1:]}
    pairs = {frozenset(f"{k:04d}.png" for k in pair) for pair in truth.get("copies", ())}
    touched = set().union(*files.values(), *pairs)
    made: dict[str, tuple[int, int, int, int]] = {}
    for kind in KINDS:
        if kind not in flags:
            continue
        if kind == "copies":
            false = {name for pair in flags[kind] - pairs for name in pair} - touched
            made[kind] = len(flags[kind] & pairs), len(pairs), len(false), IMAGES - len(touched)
        elif kind in PER_IMAGE:
            made[kind] = len(flags[kind] & files[kind]), len(files[kind]), len(flags[kind] - touched), (
                IMAGES - len(touched))  # fmt: skip
        else:
            there = bool(truth.get(kind))
            made[kind] = int(flags[kind] and there), int(there), int(flags[kind] and not there), int(not there)
    return made


def _seconds() -> float:
    return sum(os.times()[:4])


def judge(folder: Path, tool: str) -> None:
    """Write what a tool finds in every set, then in shuffled labels, to `TOOL.json`; go on where that ended."""
    kept = folder / f"{tool}.json"
    result: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"sets": {}, "shuffled": {}}
    tables = {f"{role}-{at}": folder / f"{role}-{at}" / "data.csv" for at in range(SETS) for role in ROLES}
    tables |= {f"shuffled-{at}": folder / "plain-0" / f"shuffled-{at}.csv" for at in range(SHUFFLED)}
    for name, given in tables.items():
        if name in result["sets"] or name in result["shuffled"]:
            continue
        start = _seconds()
        flags = _quietly(tool, given)
        took = _seconds() - start
        if name.startswith("shuffled"):
            result["shuffled"][name] = bool(flags["about labels"])
        else:
            truth = json.loads((given.parent / "truth.json").read_text())
            result["sets"][name] = {"seconds": took, "kinds": scored(flags, truth)}
        kept.write_text(json.dumps(result))
        print(f"{tool}, {name}: {took:.1f} s", file=sys.stderr, flush=True)


def _quietly(tool: str, given: Path) -> Flags:
    with contextlib.redirect_stdout(sys.stderr):
        return TOOLS[tool](given)


def table(folder: Path, out: Path | None) -> None:
    """Print found and false of every kind by tool, with 95% intervals (Clopper and Pearson)."""
    from _shared import Page
    from scipy.stats import binomtest

    def share(part: int, of: int) -> str:
        if not of:
            return "–"
        low, high = binomtest(part, of).proportion_ci()
        return f"{part / of:.2f} [{low:.2f}, {high:.2f}]"

    found = {tool: json.loads(path.read_text()) for tool in TOOLS if (path := folder / f"{tool}.json").is_file()}
    for tool in TOOLS.keys() - found.keys():
        print(f"{tool}: absent, since it was not run", file=sys.stderr)
    page = Page(
        ["kind", *(f"{tool}, {what}" for tool in found for what in ("found", "false"))],
        out,
        f"{SETS} sets of {IMAGES:,} images with ten kinds of issues, and the same without",
    )
    for kind in KINDS:
        cells: list[str] = []
        for one in found.values():
            counts = [own["kinds"][kind] for own in one["sets"].values() if kind in own["kinds"]]
            sums = np.sum(counts, axis=0).tolist() if counts else [0, 0, 0, 0]
            cells += [share(*sums[:2]), share(*sums[2:])]
        page.row(kind, *cells)
    shuffled = [list(one["shuffled"].values()) for one in found.values()]
    page.row("shuffled labels", *(cell for one in shuffled for cell in ("", share(sum(one), len(one)))))
    seconds = [np.median([own["seconds"] for own in one["sets"].values()]) for one in found.values()]
    page.row("s a set", *(cell for one in seconds for cell in (f"{one:.1f}", "")))
    page.close()


def main() -> None:
    """Draw the sets where they are not there, then judge one tool or print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path, nargs="?", default=Path("look-peers"))
    asked.add_argument("--peer", choices=list(TOOLS)[1:])
    asked.add_argument("--real", type=Path, metavar="TABLE.csv")
    asked.add_argument("--target", default="label")
    asked.add_argument("--table", action="store_true")
    asked.add_argument("--out", type=Path)
    asked.add_argument("--once", type=Path, metavar="DATA.csv")
    options = asked.parse_args()
    if options.once:
        start = _seconds()
        _quietly(options.peer or "assay", options.once)
        print(f"{options.peer or 'assay'}: {_seconds() - start:.1f} processor seconds, imports included")
    elif options.table:
        table(options.folder, options.out)
    elif options.peer and importlib.util.find_spec(options.peer) is None:
        print(f"{options.peer} is absent: install it into an environment of its own, and run this with that")
    else:
        if not (options.folder / "plain-0" / f"shuffled-{SHUFFLED - 1}.csv").is_file():
            draw_all(options.folder, options)
        judge(options.folder, options.peer or "assay")


if __name__ == "__main__":
    main()
