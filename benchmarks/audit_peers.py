"""Verdicts on networks with and without a planted tag: `assay audit` next to the detectors of ShortKit-ML.

    python benchmarks/audit_peers.py FOLDER [--seeds 12]        # trains, audits, writes embeddings
    PEER/bin/python benchmarks/audit_peers.py FOLDER --peer     # in an environment with shortkit-ml 0.1.0

Networks learn masses in chest radiographs that a phantom draws; in half of them a tag is on 80 % of the positive images
in training. Both tools get 400 new images. The audit gets the network and puts the tag on itself. ShortKit-ML gets the
embeddings of the same images, half of them with the tag whatever the class, the labels, and the tag as group, and the
predictions at 0.5 for its fairness detectors. Counted: how many of each kind each calls a shortcut.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

MARK = "tag"
PLANTED = 0.8
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
    from assay.data.cache import ArrayCache, default_cache_root
    from assay.shifts.population import open_population
    from assay.spec.parse import parse_study

    run = assay.load({**STUDY, "seeds": seeds}).run(folder / "runs", workers=1)
    trials = run.table("trials")
    spec = parse_study({**STUDY, "seeds": seeds})
    population = open_population(spec.data, ArrayCache(default_cache_root()))
    half = population.scene(spec.points[0].tests, 7000, 0).environment("half")
    images = half.images.read(np.arange(len(half)))
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
            network(images)
        handle.remove()
        features = kept[0].flatten(2).mean(2) if kept[0].ndim == 4 else kept[0]
        np.savez(
            folder / f"{row['trial']}.npz", planted=float(row["coordinates.p"]) > 0, verdict=own.verdict, g=own.g,
            low=own.low, high=own.high, embeddings=features.numpy(), labels=half.table.target,
            groups=half.table.columns[MARK],
        )  # fmt: skip


def compare(folder: Path) -> None:
    """Print how many networks of each kind each tool calls a shortcut."""
    from shortcut_detect import ShortcutDetector
    from shortcut_detect.benchmark.method_utils import method_flag

    called: dict[str, list[bool]] = {}
    planted: list[bool] = []
    for path in sorted(folder.glob("*.npz")):
        found = np.load(path)
        planted.append(bool(found["planted"]))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            detector = ShortcutDetector(methods=list(DETECTORS), seed=0)
            detector.fit(found["embeddings"], found["labels"], group_labels=found["groups"])
        flags = {name: method_flag(name, detector.get_results()[name]) for name in DETECTORS}
        overall = detector._generate_overall_assessment()  # the sentence of its summary
        flags["ShortKit-ML, high risk overall"] = "HIGH RISK" in overall
        flags["assay audit, affected by or relies on"] = str(found["verdict"]) in ("affected-by", "relies-on")
        flags["assay audit, relies on"] = str(found["verdict"]) == "relies-on"
        for name, flag in flags.items():
            called.setdefault(name, []).append(flag)
    truth = np.array(planted)
    print(f"{int(truth.sum())} networks with a planted {MARK}, {int((~truth).sum())} without")
    print("| | found of planted | called of clean |\n| --- | --- | --- |")
    for name, flags in called.items():
        print(f"| {name} | {int(np.sum(np.array(flags)[truth]))} | {int(np.sum(np.array(flags)[~truth]))} |")


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path)
    made.add_argument("--seeds", type=int, default=12)
    made.add_argument("--peer", action="store_true", help="read the folder with ShortKit-ML, and print the table")
    given = made.parse_args()
    if given.peer:
        compare(given.folder)
    else:
        train_and_audit(given.folder, given.seeds)


if __name__ == "__main__":
    main()
