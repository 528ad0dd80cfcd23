"""How often the search is right about segmentation networks: a bank, clean and with planted marks.

    python benchmarks/audit_segmentations.py [--domain phantom-endoscopy] [--networks 40 20 24] [--seed 0]

Five small architectures (`NETWORKS`), 48 px images of the domains in `DOMAINS`: 300 to train on, 160 to search on, 100
for the truth, half of each class, no patient in two of these parts. Classes are those of an audit: lesion or none, or a
larger lesion and a smaller one. A mark of `MARKS` is drawn on shares of both classes (`TIES`) and leaves the mask as it
is, so that it tells a network of the class and not of the place. The order of networks, their seeds, marks and ties
were fixed before any search.

**Limits.** The first networks are clean. Their largest effect of a region is its limit, and that of marks drawn alike,
or the smallest effect that is reported, whichever is larger; this was settled when networks on phantom frames had been
seen. The others are judged by it: clean ones, and those with a mark. With `--write`, the limits of both domains
together are written: the larger of each.

**Truth.** The mark is put on the 100 further images, which lack it: `moves` is the change of the score in standard
deviations within class, without the cells at the mark, as the search counts. Networks with 1 sd or more count.

**Searches.** Regions and marks drawn alike, as an audit of masks does, in images that are new to the network and in
those of its training; one round. *Named*: depends on a mark, at its place and with its polarity. *Nothing found*: by
both searches. The page adds how often a network calls the mark itself a lesion. Real images are read from
`ASSAY_ASSETS`. networks.csv in the folder is gone on with. About ten seconds of a core a network.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shared import Page, parser
from audit_bank import (
    ARCHITECTURES,
    PLACED,
    SEARCHED,
    SIDE,
    TRAINED,
    TRUTH,
    Network,
    Pool,
    bank,
    draw,
    fitted,
    interval,
    parts,
    pixels_of,
    planted,
    read,
    row_of_drawn,
    row_of_search,
    shown,
    verdict,
)
from torch import Tensor, nn
from torch.nn import functional

from assay.audit.references import limit_from_effects
from assay.audit.search.regions import Box, Pixels
from assay.audit.search.sample import Scores, SearchSample
from assay.audit.search.search import find_region
from assay.audit.verdicts import WEAK_EFFECT
from assay.core.files import default_cache_root
from assay.core.reasons import Reason
from assay.data.cache import ArrayCache
from assay.data.files.load import load_dataset
from assay.probes.reader import cells_of
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.stats.metrics import auroc
from assay.stats.rows import RegionVerdict

Row = dict[str, Any]
EPOCHS = 20
MOVES = 1.0
MARKS = ("letter", "date", "triangle", "ruler")
MODES = ("train", "test")
SHIPPED = {"train": "trained", "test": "new"}
"""Mode -> part of its key in `leads.json`."""
FINDERS = ("place", "drawn")
FLAGGED = {RegionVerdict.RELIES, RegionVerdict.LOOK}


# Networks, with a whole image in sight.


def _step(ins: int, outs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ins, outs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outs), nn.ReLU())


class _Encoder(nn.Module):
    """Four halvings of the side; `widths` of each."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        sides = [channels, *widths]
        self.steps = nn.ModuleList(
            nn.Sequential(_step(ins, outs, 2, 5 if at == 0 else 3), _step(outs, outs))
            for at, (ins, outs) in enumerate(zip(sides, widths, strict=False))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        levels: list[Tensor] = []
        for step in self.steps:
            levels.append(x := step(x))
        return levels


def _larger(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


class _UNet(nn.Module):
    """Skips are joined, added (`add`) or left out (`skip` false); `context` weighs channels by all of the image."""

    def __init__(self, channels: int, *, add: bool = False, skip: bool = True, context: bool = False) -> None:
        super().__init__()
        widths = (12, 20, 32, 48)
        self.encoder, self.add, self.skip = _Encoder(channels, widths), add, skip
        self.context = nn.Sequential(nn.Linear(48, 48), nn.Sigmoid()) if context else None
        joined = [widths[at] * (2 if skip and not add else 1) for at in (2, 1, 0)]
        self.across = nn.ModuleList(nn.Conv2d(widths[at + 1], widths[at], 1) for at in (2, 1, 0))
        self.up = nn.ModuleList(_step(ins, widths[at]) for at, ins in zip((2, 1, 0), joined, strict=True))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        *levels, x = self.encoder(image)
        if self.context is not None:
            x = x * self.context(x.mean((2, 3)))[..., None, None]
        for level, across, up in zip(reversed(levels), self.across, self.up, strict=True):
            x = _larger(across(x), level)
            if self.skip:
                x = x + level if self.add else torch.cat([x, level], 1)
            x = up(x)
        return _larger(self.head(x), image)


class _Dilated(nn.Module):
    """Two halvings of the side, then growing steps of the kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        body = [
            nn.Sequential(nn.Conv2d(32, 32, 3, 1, step, step, bias=False), nn.BatchNorm2d(32), nn.ReLU())
            for step in (1, 2, 4, 8)
        ]
        self.body = nn.Sequential(_step(channels, 16, 2, 5), _step(16, 32, 2), *body, nn.Conv2d(32, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return _larger(self.body(image), image)


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {
    "joined": _UNet,
    "added": partial(_UNet, add=True),
    "plain": partial(_UNet, skip=False),
    "gated": partial(_UNet, context=True),
    "dilated": _Dilated,
}


# Images.


@dataclass(frozen=True)
class Domain:
    """Images of one kind with masks.

    Attributes:
        data: `data` of a study; a folder is relative to `ASSAY_ASSETS`.
        sizes: Images to train on, to search on, and to measure the truth on.
    """

    data: Mapping[str, Any]
    sizes: Sequence[int] = (TRAINED, SEARCHED, TRUTH)


DOMAINS: Mapping[str, Domain] = {
    "phantom-endoscopy": Domain({"phantom": "endoscopy", "core": "lesion", "target": "lesion"}),
    "endoscopy": Domain({"folder": "polyp-train"}),
}
"""Frames with and without a lesion; frames with a larger lesion and with a smaller one."""


def pool(domain: Domain, count: int = 1500) -> tuple[Pool, np.ndarray]:
    """Return the images of a domain at 48 px, and their masks; of a phantom this many."""
    data = {"size": 64, **domain.data}
    cache = ArrayCache(default_cache_root())
    if "phantom" in data:
        data |= {"train": 10, "validation": 10, "test": count}
    else:
        folder = Path(os.environ["ASSAY_ASSETS"]) / data["folder"]
        data |= {"folder": str(folder), "table": "data.csv", "target": "lesion", "mask": "mask", "channels": "color"}
    recipe = {"task": "segmentation", "architecture": "small-unet"}
    environments = {"train": {}, "clean": {}}
    study = parse_study({"name": "bank", "data": data, "environments": environments, "recipe": recipe, "seeds": 1})
    if "phantom" in data:
        taken = open_population(study.data, cache).scene(study.points[0].tests, 0, 0).environment("clean")
    else:
        taken = load_dataset(study.data, cache)
    assert taken.masks is not None
    every = np.arange(len(taken.table))
    images = functional.interpolate(taken.images.read(every), (SIDE, SIDE), mode="area").numpy()
    masks = functional.interpolate((taken.masks.read(every) > 0).float(), (SIDE, SIDE), mode="area")[:, 0].numpy() > 0.5
    areas = masks.mean(axis=(1, 2))
    target = areas > (0 if (areas == 0).mean() > 0.1 else np.median(areas))
    whole = Pool(images, target.astype(np.int64), taken.table.patient, np.zeros(len(every)), domain.sizes)
    return whole, masks


# One network of the bank.


def cross_entropy_and_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the cross-entropy of pixels plus 1 - Dice of the batch."""
    share = torch.sigmoid(logits)
    dice = (2 * (share * masks).sum() + 1) / (share.sum() + masks.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, masks) + 1 - dice


def trained(architecture: str, images: Pixels, masks: np.ndarray, seed: int) -> nn.Module:
    """Return a network after its training with cross-entropy of pixels and Dice of the batch."""
    torch.manual_seed(seed)
    return fitted(NETWORKS[architecture](images.shape[1]), images, masks, epochs=EPOCHS, loss=cross_entropy_and_dice)


def maps(network: nn.Module, images: Pixels) -> np.ndarray:
    """Return log-odds of lesion by cell, as an audit reads them."""
    with torch.inference_mode():
        return np.concatenate(
            [cells_of(network(torch.from_numpy(part))[:, 0]).astype(np.float64) for part in _batches(images)]
        )


def _batches(images: Pixels, size: int = 256) -> Iterator[Pixels]:
    return (images[start : start + size] for start in range(0, len(images), size))


def _cells(masks: np.ndarray) -> int:
    """Return how many cells the median lesion has."""
    counts = (cells_of(torch.from_numpy(masks).float()) > 0).sum(axis=(1, 2))
    return int(np.median(counts[counts > 0]))


def measured(network: Network, whole: Pool, masks: np.ndarray) -> Iterator[Row]:
    """Train a network and yield what searches say of it, in the images of its training and in new ones."""
    draws = np.random.default_rng(network.seed)
    train, search, truth = parts(whole, network, draws)
    images = {
        mode: planted(network, whole.images[rows], whole.target[rows], draws)
        for mode, rows in zip(MODES, (train, search), strict=True)
    }
    model = trained(network.architecture, images["train"], masks[train], network.seed)
    scores: Scores = partial(maps, model)
    clean = whole.images[truth]
    facts: Row = {
        "network": network.name,
        "role": network.role,
        "architecture": network.architecture,
        "mark": network.mark,
        "tie": network.tie[0],
        **_truth(network, scores, whole, masks, truth, draws),
    }
    for mode, rows in zip(MODES, (train, search), strict=True):
        answers = scores(images[mode])
        sample = SearchSample(
            images[mode],
            whole.target[rows],
            whole.patient[rows],
            answers,
            network.seed,
            lesion_cells=_cells(masks[rows]),
        )
        found = find_region(scores, sample, "place", batch_size=256)
        assert not isinstance(found, Reason)
        place = {f"place {key}": value for key, value in row_of_search(found, sample, network, clean).items()}
        yield {**facts, "mode": mode, **place, **row_of_drawn(scores, sample, network, clean)}


def _truth(
    network: Network, scores: Scores, whole: Pool, masks: np.ndarray, rows: np.ndarray, draws: np.random.Generator
) -> Row:
    """Return how well a network tells the classes, and what its mark does to images without it."""
    images, target = whole.images[rows], whole.target[rows]
    off = scores(images)
    sample = SearchSample(images, target, whole.patient[rows], off, lesion_cells=_cells(masks[rows]))
    row: Row = {"auroc": auroc(sample.clean_scores[:, 0], target).value, "moves": 0.0, "mark called": 0.0}
    if not network.mark:
        return row
    pixels, _ = pixels_of(network.mark, images)
    high, wide = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    box = Box(high[0] / SIDE, wide[0] / SIDE, (high[-1] + 1) / SIDE, (wide[-1] + 1) / SIDE)
    on = scores(draw(network.mark, images, draws))
    without, with_mark = (sample.scores_from_outputs(answers, [box]) for answers in (off, on))
    called = np.array([part[box.pixel_mask(*part.shape)].max() > 0 for part in on])
    return {
        **row,
        "moves": float((with_mark - without).mean()) / sample.sd_within_classes,
        "mark called": float(called.mean()),
    }


def collected(domain: str, networks: Sequence[Network], folder: Path) -> list[Row]:
    """Return rows of the networks of a domain, measured where networks.csv has none."""
    path = folder / domain / "networks.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = [network for network in networks if network.name not in {row["network"] for row in read(path)}]
    taken = pool(DOMAINS[domain]) if missing else None
    for network in missing:
        assert taken is not None
        rows = list(measured(network, *taken))
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            if new:
                writer.writeheader()
            writer.writerows(rows)
        moves = f"{rows[0]['moves']:.2f}"
        print(network.name, moves, *(f"{row['place z']:.2f}" for row in rows), file=sys.stderr, flush=True)
    names = {network.name for network in networks}
    return [row for row in read(path) if row["network"] in names]


# From networks to limits and rates.


@dataclass(frozen=True, eq=False)
class Judged:
    """Networks of a domain in one mode, judged by limits from the clean ones of its reference."""

    rows: Sequence[Row]

    def of(self, role: str) -> list[Row]:
        """Return the networks of a role."""
        return [row for row in self.rows if row["role"] == role]

    def limit(self, of: str, without: str = "") -> float:
        """Return the limit of a search, without an architecture."""
        effects = [float(row[f"{of} z"]) for row in self.of("reference") if row["architecture"] != without]
        return max(WEAK_EFFECT, limit_from_effects(of, effects))

    @property
    def strong(self) -> list[Row]:
        """Networks that use their mark."""
        return [row for row in self.of("planted") if abs(float(row["moves"])) >= MOVES]

    def says(self, row: Row) -> dict[str, RegionVerdict]:
        """Return the verdict of each search."""
        return {of: verdict(row, of, self.limit(of)) for of in FINDERS}

    def flagged(self, row: Row) -> bool:
        """Return whether a network is said to depend on a mark or a look."""
        return bool(FLAGGED & set(self.says(row).values()))

    def named(self, row: Row) -> bool:
        """Return whether a mark is named at its place and with its polarity."""
        said = self.says(row)
        if said["place"] == RegionVerdict.RELIES and row["place place"] == row["place polarity"] == "True":
            return True
        return said["drawn"] == RegionVerdict.RELIES and row["drawn right"] == "True"

    def nothing(self, row: Row) -> bool:
        """Return whether nothing is found."""
        return set(self.says(row).values()) == {RegionVerdict.NOTHING_FOUND}

    def rates(self) -> dict[str, tuple[int, int] | str]:
        """Return what the table shows."""
        strong, reference, clean = self.strong, self.of("reference"), self.of("held-out")
        aurocs = sorted(float(row["auroc"]) for row in reference)
        beyond = sum(float(row["place z"]) > self.limit("place", row["architecture"]) for row in reference)

        def share(test: Callable[[Row], bool], among: Sequence[Row]) -> tuple[int, int]:
            return sum(map(test, among)), len(among)

        tied = {
            tie: [row for row in strong if row["tie"] == tie] for tie in dict.fromkeys(row["tie"] for row in strong)
        }
        return {
            "largest effect of clean ones: place, drawn alike": ", ".join(
                f"{max(float(row[f'{of} z']) for row in reference):.2f}" for of in FINDERS
            )
            + f" ({len(reference)})",
            "limits: place, drawn alike": f"{self.limit('place'):.2f}, {self.limit('drawn'):.2f}",
            "AUROC of clean networks": f"{aurocs[0]:.2f} to {aurocs[-1]:.2f}",
            "beyond the other architectures": (beyond, len(reference)),
            "clean: flagged": share(self.flagged, clean),
            "clean: nothing found": share(self.nothing, clean),
            "planted: use the mark by 1 sd or more": (len(strong), len(self.of("planted"))),
            "planted: flagged": share(self.flagged, strong),
            "planted: named": share(self.named, strong),
            **{f"planted, tied {tie}: named": share(self.named, rows) for tie, rows in tied.items()},
            "planted: nothing found": share(self.nothing, strong),
            "planted: the mark is called a lesion in half of images": share(
                lambda row: float(row["mark called"]) >= 0.5, strong
            ),
        }


def _beyond(of: str, limit: float, rows: Sequence[Row], architecture: str) -> tuple[int, int]:
    """Return how many networks of an architecture are beyond a limit, and their number."""
    effects = [float(row[f"{of} z"]) for row in rows if row["architecture"] == architecture]
    return sum(effect > limit for effect in effects), len(effects)


def document(of_domains: Sequence[Judged]) -> Row:
    """Return what is shipped of masks in one mode, from all domains."""
    reference = [row for judged in of_domains for row in judged.of("reference")]
    clean = [judged.flagged(row) for judged in of_domains for row in judged.of("held-out")]
    missed = [not judged.flagged(row) for judged in of_domains for row in judged.strong]

    def limit(of: str, without: str = "") -> float:
        return round(max(judged.limit(of, without) for judged in of_domains), 4)

    left_out = {
        name: {of: [limit(of, name), *_beyond(of, limit(of, name), reference, name)] for of in FINDERS}
        for name in NETWORKS
    }
    return {
        "networks": len(reference),
        "limits": {of: limit(of) for of in FINDERS},
        "leave_one_architecture_out": left_out,
        "apart": round(max(float(row["place apart"]) for row in reference), 4),
        "false_rate": interval(sum(clean), len(clean)),
        "missed_rate": interval(sum(missed), len(missed)),
    }


def main() -> None:
    """Print a column per domain and mode; a line per network goes to standard error."""
    arguments = parser(__doc__)
    arguments.add_argument("--domain", action="append", choices=tuple(DOMAINS), help="repeatable; default: the phantom")
    arguments.add_argument("--networks", type=int, nargs=3, default=(40, 20, 24), help="reference, held out, planted")
    arguments.add_argument("--seed", type=int, default=0, help="added to the seeds of networks")
    arguments.add_argument("--folder", type=Path, default=Path("segmentations"), help="folder of the bank")
    arguments.add_argument("--write", type=Path, metavar="FILE", help="write limits as `audit/references/` ships them")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    assert set(MARKS) <= set(PLACED)
    assert not set(NETWORKS) & set(ARCHITECTURES)
    columns: dict[str, dict[str, tuple[int, int] | str]] = {}
    of_modes: dict[str, list[Judged]] = {mode: [] for mode in MODES}
    for domain in given.domain or ["phantom-endoscopy"]:
        networks = list(
            bank(*given.networks, column=False, seed=given.seed, first=(0.95, 0.6), only=MARKS, kinds=tuple(NETWORKS))
        )
        rows = collected(domain, networks, given.folder)
        for mode in MODES:
            judged = Judged([row for row in rows if row["mode"] == mode])
            of_modes[mode].append(judged)
            columns[f"{domain}, {mode}"] = judged.rates()
    page = Page(("", *columns), given.out)
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        page.row(name, *(shown(column.get(name, "")) for column in columns.values()))
    page.close()
    if given.write:
        limits = {f"masks-{SHIPPED[mode]}": document(of_domains) for mode, of_domains in of_modes.items()}
        given.write.write_text(json.dumps(limits, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
