"""Networks of known truth before other tools: cleanlab's Datalab, ShortKit-ML, and audits as Assay once made them.

    python benchmarks/audit_bank_peers.py FOLDER --domain phantom-nodule --networks 20 40 --seed 0
    PEER/bin/python benchmarks/audit_bank_peers.py FOLDER --peer datalab      # with cleanlab[datalab,image]
    PEER/bin/python benchmarks/audit_bank_peers.py FOLDER --peer shortkit     # with shortkit-ml
    PYTHONPATH=EARLIER/src python benchmarks/audit_bank_peers.py FOLDER --peer earlier     # a checkout of 8541ab18

The first makes networks of `audit_bank.py`, clean and planted, and keeps of each an ONNX file, the images that an audit
would get, their labels, and the features before the last layer. Datalab looks at images and labels for properties that
tell the label (default threshold 0.3). ShortKit-ML gets features and labels, without a group, which is what is sought:
its default detectors, and each that says anything without a group; flagged is a moderate or high risk. The earlier
audit has drawn marks and no search, and of phantoms alone limits of clean networks, without which nothing is said to be
relied on; the first mark of its headline is held against the planted one by its family, without a place. A share is of
the clean networks, and of those whose mark moves scores by 1 standard deviation or more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = {"letter": "objects", "date": "objects", "dot": "objects", "triangle": "objects", "frame": "frames",
            "ruler": "lines"}  # fmt: skip
DETECTORS = ("default", "hbac", "probe", "statistical", "geometric", "gce", "frequency")
THRESHOLD = 0.3


def make(folder: Path, domain: str, clean: int, planted: int, seed: int) -> None:
    """Write a file per network: its images, labels and features, and what its mark does."""
    import audit_bank
    import torch

    whole = audit_bank.pool(audit_bank.DOMAINS[domain])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    column = bool(audit_bank.DOMAINS[domain].column)
    for one in audit_bank.bank(0, clean, planted, column, seed):
        path = folder / f"{domain}-{one.name}.npz"
        if path.exists() or one.mark in ("sticker", "column"):
            continue
        draws = np.random.default_rng(one.seed)
        rows = audit_bank.parts(whole, one, draws)
        train, search = (audit_bank.planted(one, whole.images[k], whole.target[k], draws) for k in rows[:2])
        network = audit_bank.trained(one.architecture, train, whole.target[rows[0]], one.seed)
        seen: list[np.ndarray] = []
        head = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        hook = head.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0].numpy()))
        audit_bank.answers(network, search)
        hook.remove()
        truth = audit_bank._truth(one, partial(audit_bank.answers, network), whole, rows[2], draws)
        torch.onnx.export(
            network,
            (torch.from_numpy(search[:2]),),
            path.with_suffix(".onnx"),
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )
        np.savez(
            path,
            images=search,
            target=whole.target[rows[1]],
            patient=whole.patient[rows[1]],
            features=seen[0],
            moves=truth["moves"],
            mark=one.mark,
            tie=one.tie[0],
            domain=domain,
        )
        print(path.stem, f"moves {truth['moves']:.2f}", file=sys.stderr, flush=True)


def datalab(made: Any) -> dict[str, bool]:
    """Return whether a property of the images is said to tell the label."""
    from cleanlab import Datalab
    from datasets import Dataset, Features, Image, Value
    from PIL import Image as Picture

    gray = (255 * made["images"].mean(axis=1)).round().astype(np.uint8)
    data = {"image": [Picture.fromarray(one) for one in gray], "label": made["target"].astype(int).tolist()}
    set_ = Dataset.from_dict(data, features=Features({"image": Image(), "label": Value("int64")}))
    lab = Datalab(data=set_, label_name="label", image_key="image", verbosity=0)
    lab.find_issues()
    scores = lab.get_info("spurious_correlations")["correlations_df"]
    return {"a property tells the label": bool((scores["score"] < THRESHOLD).any())}


def shortkit(made: Any) -> dict[str, bool]:
    """Return what the detectors say of features and labels."""
    from shortcut_detect import ShortcutDetector

    found = {}
    for name in DETECTORS:
        detector = ShortcutDetector(methods=None if name == "default" else [name])
        detector.fit(made["features"].astype(np.float64), made["target"].astype(int))
        if all(not result.get("success") for result in detector.results_.values()):
            continue
        found[name] = "LOW RISK" not in detector.summary()
    return found


def earlier(made: Any, network: Path) -> dict[str, bool]:
    """Return the statements in the headline of an audit of drawn marks."""
    # Of the checkout 8541ab18, not of this one.
    from assay.report.sentences.audit import HARMFUL, leading
    from PIL import Image as Picture

    import assay

    with tempfile.TemporaryDirectory() as kept:
        rows = ["image,target,patient"]
        of = zip(made["images"], made["target"], made["patient"], strict=True)
        for at, (image, target, patient) in enumerate(of):
            pixels = (255 * np.moveaxis(image, 0, 2)).round().astype(np.uint8).squeeze()
            Picture.fromarray(pixels).save(Path(kept) / f"{at}.png")
            rows.append(f"{at}.png,{target},{patient}")
        Path(kept, "data.csv").write_text("\n".join(rows), encoding="utf-8")
        data = {"folder": kept, "target": "target", "patient": "patient", "size": made["images"].shape[-1]}
        said = assay.audit(
            network,
            data,
            domain=str(made["domain"]),
            scaling="0..1",
            pictures=False,
            progress=False,
            out=Path(kept) / "audit",
        )
        tested = leading(said.table("verdicts").to_dict("records"))
    harmful = [row for row in tested if row["verdict"] in HARMFUL]
    open_ = any(row["verdict"] == "inconclusive" for row in tested)
    mark = str(made["mark"])
    return {
        "says that answers change with a mark": bool(harmful),
        "says that the model relies on a mark": any(row["verdict"] == "relies-on" for row in harmful),
        "the first is of the planted mark's family": bool(harmful) and harmful[0]["family"] == FAMILIES.get(mark),
        "says that no mark changes answers": not harmful and not open_,
    }


def main() -> None:
    """Make networks, or print what a peer says of them."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("folder", type=Path)
    given.add_argument("--domain", default="phantom-nodule")
    given.add_argument("--networks", type=int, nargs=2, default=(20, 40), help="clean, planted")
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--peer", choices=("datalab", "shortkit", "earlier"))
    asked = given.parse_args()
    if asked.peer is None:
        make(asked.folder, asked.domain, *asked.networks, asked.seed)
        return
    said: dict[str, dict[str, list[bool]]] = {}
    for path in sorted(asked.folder.glob("*.npz")):
        with np.load(path) as made:
            strong = abs(float(made["moves"])) >= 1
            role = "clean" if not str(made["mark"]) else f"planted {float(made['tie']):g}" if strong else ""
            if not role:
                continue
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
                if asked.peer == "earlier":
                    found = earlier(made, path.with_suffix(".onnx"))
                else:
                    found = (datalab if asked.peer == "datalab" else shortkit)(made)
        for name, flagged in found.items():
            said.setdefault(name, {}).setdefault(role, []).append(flagged)
    for name, roles in said.items():
        print(name, json.dumps({role: f"{sum(one)}/{len(one)}" for role, one in sorted(roles.items())}))


if __name__ == "__main__":
    main()
