"""How often the exchange test of an audit finds a planted tag, and how often it points outside the center without one.

    python benchmarks/audit_leads.py --phantom nodule --networks 12 --tie 0.5
    python benchmarks/audit_leads.py --phantom nodule --networks 12 --tie 0 [--images 300] [--out FILE]

Small networks are trained on 700 phantom images each, with a tag tied to the target by this Somers' D (0: no tag).
Each is tested on images with a tag tied by 0.9, and on as many without tags. The swing g of the tag is measured on the
latter. A network takes 25 seconds of a core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shared import Page, parser
from torch import nn

import assay
from assay.analysis.leads import Tested, leads_of_places
from assay.data.cache import ArrayCache, default_cache_root
from assay.probes.reader import log_odds, paired
from assay.shifts.environment import Environment
from assay.shifts.exchange import Cell, Place
from assay.shifts.scene import switched
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.spec.recipe import Component
from assay.spec.schema import InterventionSpec
from assay.stats.swing import Exchange, marked
from assay.stats.verdicts import MARGIN
from assay.store.folder import RunFolder
from assay.study.leads import DONORS, ExchangeTest, center_of

TAG = "6:0,5:1x1"
"""The cell of the tag."""
TARGETS = {"nodule": ("malignant", "margin", 1.0), "chest": ("mass", "mass", 1.5)}
"""Phantom -> target, the factor that defines it, and its difficulty."""
DRAWN = InterventionSpec(component=Component(kind="intervention", name="tag", params={"size": 0.12}), share=0.5)


@dataclass(frozen=True)
class Found:
    """Results of one network: its swing, cells on images with and without tags."""

    g: float
    tagged: list[Tested]
    plain: list[Tested]

    @property
    def top(self) -> bool:
        """Whether the place of the tag is among the first three cells of the finer grid."""
        fine = [one for one in self.tagged if isinstance(one.place, Cell) and one.place.parts == 6]
        return TAG in [one.place.name for one in sorted(fine, key=lambda one: -one.loss.value)[:3]]


def outside(tested: list[Tested]) -> bool:
    """Return whether a cell outside the center is a lead."""
    return any(row["kind"] == "cell" and not row["center"] for row in leads_of_places(tested, {}, MARGIN, 1, 1))


def study(phantom: str, tie: float, networks: int, *, seed: int, train: int, test: int) -> dict[str, Any]:
    """Return the study that trains the networks."""
    target, core, difficulty = TARGETS[phantom]
    hard = {"difficulty": {core: difficulty}}
    tags: dict[str, Any] = {"interventions": {"tag": {}}}
    return {
        "name": "leads",
        "data": {"phantom": phantom, "size": 64, "target": target, "core": core, "train": train, "validation": 50,
                 "test": test},
        "environments": {
            "train": {**hard, **tags, "association": {"tag": tie}} if tie else hard,
            "tagged": {**hard, **tags, "association": {"tag": 0.9}},
            "plain": hard,
        },
        "recipe": {"architecture": "small-cnn", "optimizer": {"adamw": {"lr": 0.01}}, "epochs": 10, "batch_size": 32},
        "first_seed": seed,
        "seeds": networks,
        "probes": ["performance"],
    }  # fmt: skip


def measured(spec: dict[str, Any]) -> Iterator[Found]:
    """Train the networks and test each."""
    parsed = parse_study(spec)
    with tempfile.TemporaryDirectory() as folder:
        run = assay.load(spec).run(Path(folder) / "runs", progress=False)
        for trial in RunFolder(run.folder).table("trials"):
            network = assay.load_model(run.folder / "trials" / str(trial["trial"])).network.eval()
            population = open_population(parsed.data, ArrayCache(default_cache_root()))
            scene = population.scene(parsed.points[0].tests, int(trial["seed"]), 0)
            plain = scene.environment("plain")
            off, on = (log_odds(answers(network, switched(plain, "tag", DRAWN, end, 3))) for end in ("low", "high"))
            same = np.zeros(len(plain), dtype=bool)
            effect = marked(off, on, plain.table.target, plain.table.patient, same)
            yield Found(
                effect.largest.g.value, *(exchanged(network, scene.environment(name)) for name in ("tagged", "plain"))
            )


def exchanged(network: nn.Module, environment: Environment) -> list[Tested]:
    """Return the places of the exchange test, without columns."""
    clean = replace(environment, table=replace(environment.table, factors=(), columns={}), masks=None)
    test = ExchangeTest(clean, center_of(clean), True, DONORS, 0)

    def lost(places: Iterable[Place]) -> dict[Place, Exchange]:
        return {place: test.loss(answers(network, test.images(place)[0])) for place in places}

    found = lost(test.first)
    return test.tested({**found, **lost(test.finer(found))})


def answers(network: nn.Module, environment: Environment) -> np.ndarray:
    """Return logits in float64."""
    parts = np.array_split(np.arange(len(environment)), max(1, len(environment) // 256))
    with torch.inference_mode():
        found = np.concatenate([network(environment.images.read(part)).numpy() for part in parts])
    return paired(found, 2, "the benchmark").astype(np.float64)


def main() -> None:
    """Print a row per group of networks; a line per network goes to standard error."""
    given = parser(__doc__)
    given.add_argument("--phantom", default="nodule", choices=sorted(TARGETS))
    given.add_argument("--networks", type=int, default=12)
    given.add_argument("--tie", type=float, default=0.5)
    given.add_argument("--seed", type=int, default=800)
    given.add_argument("--train", type=int, default=700)
    given.add_argument("--images", type=int, default=300)
    asked = given.parse_args()
    heads = ("swing of the tag", "networks", "tag in the top 3", "lead outside the center, with tags", "without tags")
    page = Page(heads, asked.out)
    found: list[Found] = []
    spec = study(asked.phantom, asked.tie, asked.networks, seed=asked.seed, train=asked.train, test=asked.images)
    for one in measured(spec):
        found.append(one)
        print(f"g {one.g:+.3f}", row(one), file=sys.stderr, flush=True)
    groups = {
        "0.1 or more": [one for one in found if abs(one.g) >= 0.1],
        "below 0.05": [one for one in found if abs(one.g) < 0.05],
        "any": found,
    }
    for name, part in groups.items():
        page.row(name, len(part), *(sum(row(one)[at] for one in part) for at in range(3)))
    page.close()


def row(one: Found) -> tuple[bool, bool, bool]:
    """Return whether the tag is found, and whether a lead is outside the center with and without tags."""
    return one.top, outside(one.tagged), outside(one.plain)


if __name__ == "__main__":
    main()
