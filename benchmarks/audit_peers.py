"""Verdicts on networks with and without a planted tag: `assay audit` next to ShortKit-ML and deepchecks.

    python benchmarks/audit_peers.py FOLDER [--seeds 12]                # trains, audits, writes embeddings and scores
    PEER/bin/python benchmarks/audit_peers.py FOLDER --peer shortkit    # in an environment with shortkit-ml 0.1.0
    PEER/bin/python benchmarks/audit_peers.py FOLDER --peer deepchecks  # in one with deepchecks[vision] 0.19.1, with
                                     # "numpy<2", scikit-learn 1.5.2, category-encoders 2.6.4, "setuptools<80"

Networks learn masses in chest radiographs that a phantom draws; in half of them a tag is on 80 % of the positive images
in training. All tools get 400 new images. The audit gets the network and puts the tag on itself. The others get the
same images, half of them with the tag whatever the class, and the labels: ShortKit-ML the embeddings, the tag as group
and the predictions at 0.5; deepchecks the pixels and the scores, for two checks the images without the tag as training
data and those with it as test data, and each condition at its default. Counted: how many of each kind each calls a
shortcut.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

MARK = "tag"
PLANTED = 0.8
IMAGES = "images.npy"
Found = dict[str, Any]
Flags = dict[str, bool | None]
DETECTORS = ("hbac", "probe", "statistical", "geometric", "bias_direction_pca", "equalized_odds", "demographic_parity")
STUDY: dict[str, Any] = {
    "name": "audited",
    "data": {"phantom": "chest", "size": 64, "train": 600, "validation": 150, "test": 400, "target": "mass",
             "core": "mass"},
    "environments": {
        "train": {"difficulty": {"mass": 2.0}, "dose": {"confounder": MARK, "p": [0, PLANTED]}},
        "clean": {"like": "train", "dose": {"p": 0}},
        "half": {"like": "train", "dose": {"p": 0.5, "on": "both"}},
    },
    "recipe": {"architecture": "small-cnn", "optimizer": {"adamw": {"lr": 0.01}}, "epochs": 24, "batch_size": 32,
               "augmentation": [{"flip": {"vertical": 0}}, "shift"]},
    "probes": ["performance"],
    "first_seed": 900,
}  # fmt: skip


def train_and_audit(folder: Path, seeds: int) -> None:
    """Train networks, audit them, and write embeddings with labels and groups."""
    import torch

    import assay
    from assay.core.files import default_cache_root
    from assay.data.cache import ArrayCache
    from assay.shifts.sources import open_population
    from assay.spec.parse import parse_study

    run = assay.load({**STUDY, "seeds": seeds}).run(folder / "runs", workers=1)
    trials = run.table("trials")
    spec = parse_study({**STUDY, "seeds": seeds})
    population = open_population(spec.data, ArrayCache(default_cache_root()))
    half = population.scene(spec.points[0].tests, 7000, 0).environment("half")
    images = half.images.read(np.arange(len(half)))
    np.save(folder / IMAGES, images.numpy())
    data = {"phantom": "chest", "size": 64, "test": 400, "target": "mass", "core": "mass"}
    for index in range(len(trials)):
        row = {name: trials[name][index] for name in trials.columns}
        where = Path(run.folder) / "trials" / row["trial"]
        audit = assay.audit(where, data, domain="phantom-chest", out=folder / "audits" / row["trial"], progress=False)
        verdicts = audit.table("verdicts")
        own = verdicts[verdicts.factor == MARK].iloc[0]
        model = assay.load_model(where)
        network = model.network
        layer = dict(network.named_modules())[model.layers[-1]]
        kept: list[torch.Tensor] = []
        handle = layer.register_forward_hook(lambda _module, _input, out, kept=kept: kept.append(out))
        with torch.inference_mode():
            scores = network(images).softmax(1)
        handle.remove()
        features = kept[0].flatten(2).mean(2) if kept[0].ndim == 4 else kept[0]
        np.savez(
            folder / f"{row['trial']}.npz",
            planted=float(row["coordinates.p"]) > 0,
            verdict=own.verdict,
            g=own.g,
            low=own.low,
            high=own.high,
            embeddings=features.numpy(),
            labels=half.table.target,
            groups=half.table.columns[MARK],
            scores=scores.numpy(),
        )


def shortkit(found: Found) -> Flags:
    """Return what each detector of ShortKit-ML calls a shortcut, and the audit."""
    from shortcut_detect import ShortcutDetector
    from shortcut_detect.benchmark.method_utils import method_flag

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        detector = ShortcutDetector(methods=list(DETECTORS), seed=0)
        detector.fit(found["embeddings"], found["labels"], group_labels=found["groups"])
    flags: Flags = {name: method_flag(name, detector.get_results()[name]) for name in DETECTORS}
    overall = detector._generate_overall_assessment()  # the sentence of its summary
    flags["ShortKit-ML, high risk overall"] = "HIGH RISK" in overall
    flags["assay audit, affected by or relies on"] = str(found["verdict"]) in ("affected-by", "relies-on")
    flags["assay audit, relies on"] = str(found["verdict"]) == "relies-on"
    return flags


def deepchecks(found: Found) -> Flags:
    """Return which conditions of deepchecks are not met; None where a check ends in an error."""
    vision: Any = import_module("deepchecks.vision")
    checks: Any = import_module("deepchecks.vision.checks")
    properties: Any = import_module("deepchecks.vision.utils.image_properties")
    errors: Any = import_module("deepchecks.core.errors")
    pixels: list[np.ndarray] = [
        np.repeat(np.round(255 * image[0]).astype(np.uint8)[..., None], 3, axis=2) for image in found["images"]
    ]
    group = {image.tobytes(): int(tag) for image, tag in zip(pixels, found["groups"], strict=True)}

    def tags(batch: list[np.ndarray]) -> list[int]:
        return [group[np.asarray(image, np.uint8).tobytes()] for image in batch]

    tag = {"name": MARK, "method": tags, "output_type": "categorical"}

    class Batches:
        def __init__(self, rows: Any) -> None:
            self.rows = rows

        def __iter__(self) -> Iterator[dict[str, Any]]:
            for start in range(0, len(self.rows), 100):
                rows = self.rows[start : start + 100]
                yield {
                    "images": [pixels[k] for k in rows],
                    "labels": found["labels"][rows].astype(int).tolist(),
                    "predictions": list(found["scores"][rows].astype(float)),
                }

    def data(rows: Any) -> Any:
        return vision.VisionData(
            Batches(rows), "classification", label_map={0: "healthy", 1: "mass"}, reshuffle_data=False
        )

    every, tagged = np.arange(len(pixels)), found["groups"] == 1
    both = data(every[~tagged]), data(every[tagged])
    ways: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "PredictionDrift": (checks.PredictionDrift().add_condition_drift_score_less_than(), both),
        "ClassPerformance": (checks.ClassPerformance().add_condition_train_test_relative_degradation_less_than(), both),
        "WeakSegmentsPerformance": (
            checks.WeakSegmentsPerformance().add_condition_segments_relative_performance_greater_than(), (data(every),)
        ),
        "WeakSegmentsPerformance, tag as a property": (
            checks.WeakSegmentsPerformance(
                image_properties=[*properties.default_image_properties, tag]
            ).add_condition_segments_relative_performance_greater_than(), (data(every),)
        ),
    }  # fmt: skip
    flags: Flags = {}
    for name, (check, given) in ways.items():
        try:
            flags[name] = not check.run(*given).passed_conditions()
        except errors.DeepchecksBaseError as error:
            print(name, error)
            flags[name] = None
    return flags


PEERS: dict[str, Callable[[Found], Flags]] = {"shortkit": shortkit, "deepchecks": deepchecks}


def compare(folder: Path, flags_of: Callable[[Found], Flags]) -> None:
    """Print how many networks of each kind each tool calls a shortcut."""
    called: dict[str, list[bool | None]] = {}
    planted: list[bool] = []
    images = np.load(folder / IMAGES)
    for path in sorted(folder.glob("*.npz")):
        found = {**np.load(path), "images": images}
        planted.append(bool(found["planted"]))
        for name, flag in flags_of(found).items():
            called.setdefault(name, []).append(flag)
    print(f"{sum(planted)} networks with a planted {MARK}, {len(planted) - sum(planted)} without")
    print("| | found of planted | called of clean | no answer |\n| --- | --- | --- | --- |")
    for name, flags in called.items():
        pairs = list(zip(flags, planted, strict=True))
        counts = [sum(flag is True for flag, truth in pairs if truth is kind) for kind in (True, False)]
        print(f"| {name} | {counts[0]} | {counts[1]} | {flags.count(None)} |")


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path)
    made.add_argument("--seeds", type=int, default=12)
    made.add_argument("--peer", choices=list(PEERS), help="read the folder with this tool, and print the table")
    given = made.parse_args()
    if given.peer:
        compare(given.folder, PEERS[given.peer])
    else:
        train_and_audit(given.folder, given.seeds)


if __name__ == "__main__":
    main()
