"""How often find, name and verify are right: a bank of networks, clean and with planted marks.

    python benchmarks/audit_bank.py [--domain phantom-chest] [--networks 60 30 48] [--seed 0] [--tie 0.6] [--usual]

Networks of five small architectures, or with `--usual` of three of usual size, are trained on 300 images each, clean or
with a mark tied to the class, and searched on 160 images of other patients as in training. Marks are drawn here, by
code that audits do not use. The first clean networks of a domain set its limits; others, and all planted ones, are
judged by them, or without any by those that are shipped. What a planted mark does is measured on a third set, put on
and not. Next to it, on the same images: an occlusion map, with a limit from the same clean networks, and paired t tests
over drawn marks, the planted one among them. In three more domains nothing is planted: images that have something of
their own are chosen so that it is tied to the class, or not. With `--trained`, networks are searched in their training
images; effects are then in standard deviations of the third set, since scores of images known by heart vary less, and
networks are of both sizes, since larger ones know more by heart. Real images are read from `ASSAY_ASSETS`. The folder
gets networks.csv, which a second call goes on with, and leads.json, the limits that `audit/references/` ships. Some
seconds of a core a network, half a minute of one of usual size.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from _shared import Page, parser
from PIL import Image, ImageDraw, ImageFont
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from assay.audit.references import RegionLimits, limit_from_effects, limits_of_kinds, shipped_limits
from assay.audit.search.drawn import find_drawn
from assay.audit.search.exchange import exchange_effects
from assay.audit.search.patches import carrying_group
from assay.audit.search.regions import Pixels, Track, candidates
from assay.audit.search.sample import DONORS, CountedModel, Scores, SearchSample
from assay.audit.search.search import RegionFinding, find_region
from assay.audit.swing import effect_of_mark
from assay.audit.verdicts import WEAK_EFFECT, decide_region
from assay.core.files import default_cache_root
from assay.core.reasons import Reason
from assay.data.cache import ArrayCache
from assay.data.files.load import load_dataset
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.stats.bounds import BoundedEstimate
from assay.stats.metrics import auroc
from assay.stats.rows import RegionVerdict

Row = dict[str, Any]
SIDE = 48
TRAINED, SEARCHED, TRUTH = 300, 160, 100
"""Images of a network: half of each class, no patient in two of these parts."""
EPOCHS, BATCH, RATE = 12, 32, 3e-3
TRACKS: tuple[Track, ...] = ("place", "whole")
SEARCHES = (*TRACKS, "drawn")
NUMBERS = ("z", "error", "low", "high", "first", "second", "effective", "passes")
"""Numbers of the search for what is drawn alike."""
MOVES = 1.0
"""Change of scores by a planted mark, in standard deviations within class, from which on it should be found."""


# Images.


@dataclass(frozen=True)
class Domain:
    """Images of one kind.

    Attributes:
        data: `data` of a study; a folder is relative to `ASSAY_ASSETS`.
        environment: How a phantom's images are drawn.
        column: A factor that is tied to the class in some networks.
    """

    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    column: str = ""


@dataclass(frozen=True, eq=False)
class Pool:
    """All images of a domain."""

    images: Pixels
    target: np.ndarray
    patient: np.ndarray
    column: np.ndarray
    sizes: Sequence[int] = (TRAINED, SEARCHED, TRUTH)


DOMAINS: Mapping[str, Domain] = {
    "phantom-chest": Domain(
        {"phantom": "chest", "target": "mass", "core": "mass"}, {"difficulty": {"mass": 2.5}}, "view"
    ),
    "phantom-nodule": Domain({"phantom": "nodule", "target": "malignant", "core": "margin"},
                             {"difficulty": {"margin": 3}}),
    "chest-xray": Domain({"folder": "chest-xray", "target": "finding", "patient": "patient",
                          "where": {"origin": "a"}}, {}),
    "dermoscopy": Domain({"folder": "dermoscopy", "target": "melanoma", "patient": "lesion"}, {}),
    "fundus": Domain({"folder": "fundus", "target": "grade", "positive": [2, 3, 4], "patient": "patient"}, {}),
}  # fmt: skip


@dataclass(frozen=True)
class Natural:
    """Images of which some have something that nobody planted.

    Attributes:
        folder: Their folder in `ASSAY_ASSETS`.
        positive: Whether a row of its table is positive.
        has: Whether an image has it.
        sizes: Images to train on, to search on (0: those of training), and to measure the truth on.
        limits: The domain whose shipped limits judge; empty: none, so that no finding is verified.
        mode: Mode of the images.
        column: What images have is a column, as in a domain with one.
        table: Its table.
        keeps: Whether a row is of these images.
    """

    folder: str
    positive: Callable[[Row], bool]
    has: Callable[[Row, np.ndarray], bool]
    sizes: Sequence[int]
    limits: str = ""
    mode: str = "RGB"
    column: str = "has"
    table: str = "data.csv"
    keeps: Callable[[Row], bool] = lambda row: True


NATURAL: Mapping[str, Natural] = {
    "xray-origin": Natural("chest-xray", lambda row: row["finding"] == "1", lambda row, _: row["origin"] == "b",
                           (TRAINED, SEARCHED, TRUTH), "chest-xray", "L"),
    "xray-view-told": Natural("chest-xray", lambda row: row["view"] == "PA", lambda row, _: False,
                              (TRAINED, SEARCHED, TRUTH), "chest-xray", "L", "",
                              keeps=lambda row: row["origin"] == "a"),
    "foot-padding": Natural("foot-ulcer", lambda row: float(row["lesion_fraction"]) > 0.007,
                            lambda _, image: image[-6:].max() < 0.1, (76, 0, 20)),
    "polyp-inset": Natural("polyp", lambda row: float(row["lesion_fraction"]) < 0.12,
                           lambda _, image: np.diff(image[30:, :16, :2]).mean() > 0.1, (60, 0, 20)),
    "polyp-frames": Natural("polyp-train", lambda row: float(row["lesion_fraction"]) > 0.11,
                            lambda _, image: image[-12:-3, 3:12].mean() < 0.08, (200, 100, 60), "endoscopy", column=""),
}  # fmt: skip
"""Two sources of radiographs with and without a finding; the view of radiographs, with nothing tied to it; photographs
of feet padded at the bottom or at the right, with a large wound or a small one; frames with a green inset or none, with
no polyp, a small one, or a large one; frames with a large polyp or a small one, and on 55% and 54% of them a black
square."""


def natural(found: Natural) -> Pool:
    """Return all images of a folder at 48 px."""
    folder = Path(os.environ["ASSAY_ASSETS"]) / found.folder
    rows = [row for row in read(folder / found.table) if found.keeps(row)]
    opened = (Image.open(folder / row["image"]).convert(found.mode) for row in rows)
    images = np.stack([np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255 for one in opened])
    has = np.array([found.has(row, image) for row, image in zip(rows, images, strict=True)])
    people = np.unique([row.get("patient", row["image"]) for row in rows], return_inverse=True)[1]
    pixels = np.ascontiguousarray(np.moveaxis(images.reshape(*images.shape[:3], -1), 3, 1))
    return Pool(pixels, np.array([found.positive(row) for row in rows], np.int64), people, has, found.sizes)


def pool(domain: Domain | Natural, count: int = 1500) -> Pool:
    """Return the images of a domain at 48 px; of a phantom this many."""
    if isinstance(domain, Natural):
        return natural(domain)
    data = {"size": 64, **domain.data}
    cache = ArrayCache(default_cache_root())
    if "phantom" in data:
        data |= {"train": 10, "validation": 10, "test": count}
    else:
        data |= {"folder": str(Path(os.environ["ASSAY_ASSETS"]) / data["folder"]), "table": "data.csv"}
    environments = {"train": dict(domain.environment), "clean": dict(domain.environment)}
    recipe = {"architecture": "small-cnn"}
    study = parse_study({"name": "bank", "data": data, "environments": environments, "recipe": recipe, "seeds": 1})
    if "phantom" in data:
        taken = open_population(study.data, cache).scene(study.points[0].tests, 0, 0).environment("clean")
    else:
        taken = load_dataset(study.data, cache)
    table = taken.table
    found = taken.images.read(np.arange(len(table)))
    small = functional.interpolate(found, (SIDE, SIDE), mode="area").numpy()
    column = table.columns[domain.column] if domain.column else np.zeros(len(table))
    return Pool(small, table.target.astype(np.int64), table.patient, np.asarray(column > np.median(column)))


# Marks, drawn by code of their own.


def _text(words: str, size: int) -> np.ndarray:
    """Return the pixels of words."""
    font = ImageFont.load_default(size)
    page = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(page).text((2, 2), words, fill=255, font=font)
    box = page.getbbox()
    assert box is not None
    return np.asarray(page.crop(box)) > 100


def _at(shape: np.ndarray, top: int, left: int) -> np.ndarray:
    """Return a mask of the image with a shape at a place, from the other edge where negative."""
    found = np.zeros((SIDE, SIDE), dtype=bool)
    top, left = (at if at >= 0 else SIDE + at - side for at, side in zip((top, left), shape.shape, strict=True))
    found[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return found


def _frame() -> np.ndarray:
    found = np.ones((SIDE, SIDE), dtype=bool)
    found[2:-2, 2:-2] = False
    return found


def _ruler() -> np.ndarray:
    found = np.zeros((40, 4), dtype=bool)
    found[:, 0] = found[::4] = True
    return found


PLACED: Mapping[str, Callable[[], tuple[np.ndarray, float]]] = {
    "letter": lambda: (_at(_text("R", 9), -3, -3), 0.95),
    "date": lambda: (_at(_text("12.04", 8), 2, 3), 0.85),
    "frame": lambda: (_frame(), math.nan),
    "triangle": lambda: (_at(np.triu(np.ones((9, 9), dtype=bool)), 0, -1), 0.9),
    "dot": lambda: (_at(np.ones((3, 3), dtype=bool), 12, 34), 1.0),
    "ruler": lambda: (_at(_ruler(), 4, 2), 0.9),
}
"""Mark -> its pixels and their gray level; NaN for one far from that of the images there."""
MARKS = (*PLACED, "sticker", "column")
MOVED = ("tinted", "jittered", "places")
"""Letters: one colored and as bright as what is around it, one moved by up to a pixel, one at two places in turn."""
MORE = (*MOVED, "hair", "vignette", "jpeg", "mirror")
"""Marks that are planted where they are named."""
TIES = ((0.95, 0.05), (0.6, 0.2), (0.2, 0.02))
"""Shares of the positive and of the other images with a mark."""


def pixels_of(mark: str, images: Pixels) -> tuple[np.ndarray, float]:
    """Return the pixels of a mark with a place, and their gray level."""
    where, level = PLACED[mark]()
    if level != level:
        level = 0.02 if images[:, :, where].mean() > 0.3 else 0.7
    return where, level


def draw(mark: str, images: Pixels, draws: np.random.Generator) -> Pixels:
    """Return images with a mark on each."""
    made = images.copy()
    if mark == "sticker":
        for one in made:
            top, left = draws.integers(0, SIDE - 7, 2)
            one[:, top : top + 7, left : left + 7] = 0.9
            one[:, top + 3, left + 1 : left + 6] = one[:, top + 1 : top + 6, left + 3] = 0.1
        return made
    if mark == "mirror":
        return np.ascontiguousarray(images[..., ::-1])
    if mark == "jpeg":
        return np.stack([_compressed(one) for one in images])
    if mark == "hair":
        for one in made:
            one[:, _hair(draws)] = 0.1
        return made
    if mark == "vignette":
        across = np.linspace(-1, 1, SIDE) ** 2
        return (images * (1 - np.multiply.outer([0.1, 0.3, 0.5], across[:, None] + across))).astype(np.float32)
    if mark in MOVED:
        for one in made:
            _draw_letter(mark, one, draws)
        return made
    where, level = pixels_of(mark, images)
    made[:, :, where] = level
    return made


def _draw_letter(mark: str, image: Pixels, draws: np.random.Generator) -> None:
    """Draw a letter that is tinted, jittered or at one of two places on an image."""
    where, level = PLACED["letter"]()
    if mark == "jittered":
        where = np.roll(where, draws.integers(-1, 2, 2), (0, 1))
    if mark == "places" and draws.random() < 0.5:
        where = where[::-1, ::-1]
    color = np.full(len(image), level)
    if mark == "tinted" and len(image) > 1:
        color = np.clip(image[:, where].mean() + np.array([-0.3, 0.15, 0.15]), 0, 1)
    image[:, where] = color[:, None]


def _hair(draws: np.random.Generator) -> np.ndarray:
    """Return the pixels of four arcs."""
    page = Image.new("L", (SIDE, SIDE))
    for left, top, wide, high, angle in draws.integers([-24, -24, 30, 30, 0], [30, 30, 60, 60, 360], (4, 5)).tolist():
        ImageDraw.Draw(page).arc((left, top, left + wide, top + high), angle, angle + 120, fill=255)
    return np.asarray(page) > 0


def _compressed(image: np.ndarray) -> np.ndarray:
    """Return an image after JPEG at quality 15."""
    file, pixels = io.BytesIO(), (255 * np.moveaxis(image, 0, 2)).round().astype(np.uint8)
    Image.fromarray(pixels.squeeze()).save(file, "jpeg", quality=15)
    found = np.asarray(Image.open(file), np.float32).reshape(pixels.shape) / 255
    return np.moveaxis(found, 2, 0)


# Networks.


def _block(ins: int, outs: int, kernel: int = 3, stride: int = 2) -> list[nn.Module]:
    return [nn.Conv2d(ins, outs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outs), nn.ReLU()]


class _Added(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class _Tokens(nn.Module):
    """Three convolutions, two layers of attention between 36 places, and their mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_block(channels, 12, 5), *_block(12, 24), nn.Conv2d(24, 48, 2, 2))
        self.place = nn.Parameter(torch.randn(36, 48) * 0.02)
        layer = nn.TransformerEncoderLayer(48, 4, 96, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(48, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.stem(x).flatten(2).transpose(1, 2) + self.place).mean(1))


def _pooled(channels: int) -> nn.Module:
    body = [*_block(channels, 12, 5), *_block(12, 24), *_block(24, 32), *_block(32, 48)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))


def _flat(channels: int) -> nn.Module:
    body = [*_block(channels, 12, 5), *_block(12, 24), *_block(24, 32), *_block(32, 48)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(48 * 9, 1))


def _residual(channels: int) -> nn.Module:
    def more(width: int) -> list[nn.Module]:
        inner = [*_block(width, width, stride=1), nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)]
        return [_Added(*inner), nn.ReLU()]

    body = [*_block(channels, 12, 5), *_block(12, 24), *more(24), *_block(24, 48), *more(48)]
    return nn.Sequential(*body, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(48, 1))


def _depthwise(channels: int) -> nn.Module:
    def more(width: int) -> nn.Module:
        return _Added(
            nn.Conv2d(width, width, 5, 1, 2, groups=width),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 1),
        )

    body = [nn.Conv2d(channels, 24, 4, 4), nn.BatchNorm2d(24), more(24), nn.Conv2d(24, 48, 2, 2), more(48), more(48)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))


ARCHITECTURES: Mapping[str, Callable[[int], nn.Module]] = {
    "pooled": _pooled,
    "flat": _flat,
    "residual": _residual,
    "depthwise": _depthwise,
    "transformer": _Tokens,
}


def _timm(name: str, channels: int, weights: str = "", **more: Any) -> nn.Module:
    """Return a network of timm that reads images on the scale of those of training, with weights of ImageNet if any."""
    if weights:
        file = Path(os.environ["ASSAY_ASSETS"]) / "weights" / weights
        more |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
    return nn.Sequential(
        nn.BatchNorm2d(channels, affine=False), timm.create_model(name, in_chans=channels, num_classes=1, **more)
    )


USUAL: Mapping[str, Callable[[int], nn.Module]] = {
    "resnet18": partial(_timm, "resnet18"),
    "vit-tiny": partial(_timm, "vit_tiny_patch16_224", img_size=SIDE, patch_size=12),
    "efficientnet": partial(_timm, "tf_efficientnet_lite0", weights="tf_efficientnet_lite0.imagenet.safetensors"),
}
"""Networks of 11.2, 5.4 and 3.4 million parameters, the last pretrained."""
USUAL_RATE = 3e-4


def trained(architecture: str, images: Pixels, target: np.ndarray, seed: int) -> nn.Module:
    """Return a network that was trained on images."""
    torch.manual_seed(seed)
    network = (ARCHITECTURES | USUAL)[architecture](images.shape[1])
    return fitted(network, images, target, USUAL_RATE if architecture in USUAL else RATE)


def fitted(
    network: nn.Module,
    images: Pixels,
    target: np.ndarray,
    rate: float = RATE,
    epochs: int = EPOCHS,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.binary_cross_entropy_with_logits,
) -> nn.Module:
    """Return a network after its training on images; `target` is a class or a mask of each."""
    x, y = torch.from_numpy(images), torch.from_numpy(target).float()
    epochs = epochs * TRAINED // len(y)
    steps = epochs * (len(y) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(y))[: len(y) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss(network(x[rows])[:, 0], y[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def answers(network: nn.Module, images: Pixels) -> np.ndarray:
    """Return log-odds in float64."""
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(images)).numpy(), dtype=np.float64)


# One network of the bank.


@dataclass(frozen=True)
class Network:
    """A network of the bank.

    Attributes:
        role: `reference`, `held-out` or `planted`.
        architecture: Its architecture.
        seed: Seed of its images, weights and marks.
        mark: The mark that is tied to the class; empty of a clean network.
        tie: Shares of both classes with it.
    """

    role: str
    architecture: str
    seed: int
    mark: str = ""
    tie: tuple[float, float] = (0.0, 0.0)

    @property
    def name(self) -> str:
        """Its name in the table."""
        return "-".join((self.role, self.architecture, str(self.seed), self.mark, *map(str, self.tie)))


def bank(
    references: int,
    held_out: int,
    planted: int,
    column: bool,
    seed: int = 0,
    first: Sequence[float] = (),
    only: Sequence[str] = (),
    kinds: Sequence[str] = tuple(ARCHITECTURES),
) -> Iterator[Network]:
    """Yield the networks of a domain: those of the reference, then clean and planted ones in turns.

    Args:
        references: Clean networks that set the limits.
        held_out: Other clean networks.
        planted: Networks with a mark.
        column: Whether the domain has a column that can be tied.
        seed: Added to all seeds.
        first: Shares of the positive images with a mark; all of `TIES` by default.
        only: Marks; all of `MARKS` by default. With the column alone, clean networks have it on a fifth of each class.
        kinds: Architectures, in turns.
    """
    clean = ("column", (0.2, 0.2)) if list(only) == ["column"] else ()
    for at in range(references):
        yield Network("reference", kinds[at % len(kinds)], 1000 + seed + at)
    ties = [tie for tie in TIES if not first or tie[0] in first]
    marks = [(mark, tie) for tie in ties for mark in only or MARKS if column or mark != "column"]
    for at in range(max(held_out, planted)):
        if at < planted:
            mark, tie = marks[at % len(marks)]
            yield Network("planted", kinds[at % len(kinds)], 3000 + seed + at, mark, tie)
        if at < held_out:
            yield Network("held-out", kinds[at % len(kinds)], 2000 + seed + at, *clean)


def parts(whole: Pool, network: Network, draws: np.random.Generator) -> list[np.ndarray]:
    """Return rows to train on, to search on, and to measure the truth on, half of each class, by patient."""
    people = np.unique(whole.patient)
    place = draws.permutation(len(people))[np.searchsorted(people, whole.patient)]
    left = iter(np.split(np.argsort(place, kind="stable"), np.flatnonzero(np.diff(np.sort(place))) + 1))
    tied, found = network.mark == "column", []
    for part, size in enumerate(whole.sizes):
        shares = (network.tie if part < 2 else (0.5, 0.5)) if tied else (0.0, 0.0)
        high = [round(size / 2 * share) for share in shares]
        need = {(1, 1): high[0], (1, 0): size // 2 - high[0], (0, 1): high[1], (0, 0): size // 2 - high[1]}
        rows: list[int] = []
        while any(need.values()):
            for row in next(left):
                kind = int(whole.target[row]), int(whole.column[row]) if tied else 0
                if need[kind]:
                    need[kind] -= 1
                    rows.append(int(row))
        found.append(np.array(rows) if rows else found[0])
    return found


def planted(network: Network, images: Pixels, target: np.ndarray, draws: np.random.Generator) -> Pixels:
    """Return images with the mark of a network on its shares of both classes."""
    if network.mark in ("", "column"):
        return images
    has = draws.random(len(target)) < np.where(target == 1, *network.tie)
    made = images.copy()
    made[has] = draw(network.mark, images[has], draws)
    return made


def measured(network: Network, whole: Pool) -> Row:
    """Train a network, search it, and measure the truth."""
    draws = np.random.default_rng(network.seed)
    train, search, truth = parts(whole, network, draws)
    made = [planted(network, whole.images[rows], whole.target[rows], draws) for rows in (train, search)]
    scores = partial(answers, trained(network.architecture, made[0], whole.target[train], network.seed))
    clean = whole.images[truth]
    own = (
        0.0
        if search is not train
        else SearchSample(clean, whole.target[truth], whole.patient[truth], scores(clean)).sd_within_classes
    )
    sample = SearchSample(made[1], whole.target[search], whole.patient[search], scores(made[1]), network.seed, own)
    row: Row = {
        "network": network.name,
        "role": network.role,
        "architecture": network.architecture,
        "mark": network.mark,
        "tie": network.tie[0],
        "auroc": auroc(scores(clean)[:, 0], whole.target[truth]).value,
        "searched auroc": auroc(sample.clean_scores[:, 0], sample.target).value,
    }
    row |= _truth(network, scores, whole, truth, draws)
    for of in TRACKS:
        found = find_region(scores, sample, of, batch_size=256)
        assert not isinstance(found, Reason)
        row |= {f"{of} {key}": value for key, value in row_of_search(found, sample, network, clean).items()}
    row |= row_of_drawn(scores, sample, network, clean)
    row |= {f"effect of {kind}": value for kind, value in effects_of_kinds(scores, sample).items()}
    row |= _occluded(network, scores, sample)
    row |= _tested(network, scores, clean, draws)
    return row


def effects_of_kinds(scores: Scores, sample: SearchSample) -> dict[str, float]:
    """Return the effect of each kind of whole-image change on all images."""
    kinds = candidates("whole")
    effects = exchange_effects(CountedModel(scores, 256), sample, kinds, np.arange(len(sample.target)), DONORS).mean(
        axis=1
    )
    return {kind.key: float(value) for kind, value in zip(kinds, effects, strict=True)}


def document_of_kinds(effects: Sequence[Mapping[str, float]]) -> Row:
    """Return what is shipped of kinds of change, from `effects_of_kinds` of clean networks."""
    by_kind = {kind: [row[kind] for row in effects] for kind in effects[0]}
    return {kind: round(value, 4) for kind, value in limits_of_kinds(by_kind).items()}


def _truth(network: Network, scores: Scores, whole: Pool, rows: np.ndarray, draws: np.random.Generator) -> Row:
    """Return what the mark of a network does to images without it; of a column, to the groups."""
    images, target = whole.images[rows], whole.target[rows]
    off = scores(images)
    spread = math.sqrt(sum(off[target == code].var() for code in (0, 1)) / 2)
    if network.mark in ("", "column"):
        apart = off[whole.column[rows]].mean() - off[~whole.column[rows]].mean() if network.mark else 0.0
        return {"moves": apart / spread, "g": math.nan, "flips": math.nan}
    on = scores(draw(network.mark, images, draws))
    flips = (on[:, 0] > 0) != (off[:, 0] > 0)
    g = effect_of_mark(off, on, target, whole.patient[rows]).largest.g.value
    return {"moves": float((on - off).mean()) / spread, "g": g, "flips": float(flips.mean())}


def _near(where: np.ndarray, pixels: np.ndarray) -> bool:
    """Return whether a region has half of a mark's pixels, or half of it lies in the mark's frame."""
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    frame = np.zeros_like(pixels)
    frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    whole = frame if frame.mean() < 0.5 else pixels
    return bool((where & pixels).sum() >= 0.5 * pixels.sum() or (where & whole).sum() >= 0.5 * where.sum())


def row_of_search(found: RegionFinding, sample: SearchSample, network: Network, clean: Pixels) -> Row:
    """Return what a search said, and whether place and polarity are right; `clean` are images without the mark."""
    row: Row = {
        "z": found.effect.value,
        "error": found.effect.error,
        "low": found.effect.low,
        "high": found.effect.high,
        "first": found.half_effects[0],
        "second": found.half_effects[1],
        "agree": found.halves_agree,
        "discrete": found.has_two_groups,
        "least": found.weak_effect,
        "effective": found.patch_effect.effective_patients,
        "kind": found.region.kind,
        "region": found.region.name,
        "moved": found.score_change,
        "swing": found.patch_effect.largest.g.value,
        "passes": found.passes,
        "apart": found.class_distance,
    }
    where = found.region.pixel_mask(SIDE, SIDE)
    if network.mark not in (*PLACED, *MOVED) or where is None:
        return {**row, "place": "", "polarity": ""}
    pixels, level = pixels_of(network.mark if network.mark in PLACED else "letter", clean)
    if network.mark == "places":
        pixels = pixels if _near(where, pixels) else pixels[::-1, ::-1]
    if network.mark == "tinted":
        return {**row, "place": _near(where, pixels), "polarity": True}  # neither brighter nor darker
    around = clean.mean(axis=(0, 1))[pixels].mean()
    return {
        **row,
        "place": _near(where, pixels),
        "polarity": bool(
            carrying_group(sample, where, found.high, found.shape, found.high_carries)[1] == (level > around)
        ),
    }


def row_of_drawn(scores: Scores, sample: SearchSample, network: Network, clean: Pixels) -> Row:
    """Return what the search for what is drawn alike said, and whether place and polarity are right."""
    found = find_drawn(scores, sample, batch_size=256)
    if isinstance(found, Reason):
        nothing = {**dict.fromkeys(NUMBERS, 0.0), "agree": False, "discrete": False}
        return {
            **{f"drawn {key}": value for key, value in nothing.items()},
            "drawn": RegionVerdict.NOTHING_FOUND,
            "drawn right": False,
        }
    said = row_of_search(found, sample, network, clean)
    called = decide_region(
        found.effect,
        found.half_effects,
        halves_agree=found.halves_agree,
        two_groups=said["discrete"],
        effective_patients=found.patch_effect.effective_patients,
        weak_effect=found.weak_effect,
    )
    return {
        **{f"drawn {key}": said[key] for key in (*NUMBERS, "agree", "discrete")},
        "drawn": called,
        "drawn right": said["place"] is True and said["polarity"] is True,
    }


def _occluded(network: Network, scores: Scores, sample: SearchSample, images: int = 16) -> Row:
    """Return the largest mean effect of 36 gray cells on the score of the own class, and whether it is at the mark."""
    rows, step = sample.balanced_order[:images], SIDE // 6
    gray = sample.images.mean(axis=(0, 2, 3))[:, None, None]
    effects = np.zeros((6, 6))
    for at in np.ndindex(6, 6):
        part = sample.images[rows].copy()
        part[:, :, at[0] * step : (at[0] + 1) * step, at[1] * step : (at[1] + 1) * step] = gray
        effects[at] = (
            sample.own_class_scores(sample.clean_scores[rows], rows) - sample.own_class_scores(scores(part), rows)
        ).mean() / sample.sd_within_classes
    top = np.unravel_index(int(abs(effects).argmax()), effects.shape)
    cell = np.zeros((SIDE, SIDE), dtype=bool)
    cell[top[0] * step : (top[0] + 1) * step, top[1] * step : (top[1] + 1) * step] = True
    placed = network.mark in PLACED
    hit = bool((cell & pixels_of(network.mark, sample.images)[0]).any()) if placed else ""
    return {"occlusion": float(abs(effects).max()), "occlusion place": hit}


def _tested(network: Network, scores: Scores, images: Pixels, draws: np.random.Generator, count: int = 40) -> Row:
    """Return whether any drawn mark has p < .05 in a paired t test, Bonferroni, and the one with the largest t."""
    part = images[:count]
    off = scores(part)[:, 0]
    found = {mark: stats.ttest_rel(scores(draw(mark, part, draws))[:, 0], off) for mark in (*PLACED, "sticker")}
    p = min(float(one.pvalue) for one in found.values()) * len(found)
    return {"t test": p < 0.05, "t test names": max(found, key=lambda mark: abs(float(found[mark].statistic)))}


# From networks to limits and rates.


def interval(count: int, of: int) -> list[float | None]:
    """Return a share and its 95 % interval of Clopper and Pearson; None of nothing."""
    if not of:
        return [None, None, None]
    low = float(stats.beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return [round(one, 4) for one in (count / of, low, high)]


def limits_of(rows: Sequence[Row]) -> dict[str, float]:
    """Return the largest effect of clean networks for each search."""
    return {of: round(limit_from_effects(of, [float(row[f"{of} z"]) for row in rows]), 4) for of in SEARCHES}


def verdict(row: Row, of: str, limit: float | None) -> RegionVerdict:
    """Return the verdict of a search by a limit; of what is drawn alike also without, or where nothing is."""
    if of == "drawn" and (limit is None or not float(row["drawn passes"])):
        return RegionVerdict(row[of])
    effect = BoundedEstimate(*(float(row[f"{of} {key}"]) for key in ("z", "error", "low", "high")))
    halves = float(row[f"{of} first"]), float(row[f"{of} second"])
    least = WEAK_EFFECT if of == "drawn" else float(row[f"{of} least"])
    return decide_region(
        effect,
        halves,
        halves_agree=row[f"{of} agree"] == "True",
        two_groups=row[f"{of} discrete"] == "True",
        effective_patients=float(row[f"{of} effective"]),
        limit=limit,
        weak_effect=least,
        clear_below=WEAK_EFFECT if of == "drawn" else None,
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """Networks of a domain, judged by limits from the clean ones of its reference.

    Attributes:
        reference: Clean networks that set the limits.
        clean: Other clean networks.
        planted: Networks with a mark.
        shipped: Limits where there is no reference; None: no finding is verified.
    """

    reference: Sequence[Row]
    clean: Sequence[Row]
    planted: Sequence[Row]
    shipped: RegionLimits | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], shipped: RegionLimits | None = None) -> Judged:
        """Divide the rows of a domain by their role."""
        parts = ([row for row in rows if row["role"] == role] for role in ("reference", "held-out", "planted"))
        return cls(*parts, shipped)

    @cached_property
    def limits(self) -> RegionLimits | None:
        """The limits."""
        if not self.reference:
            return self.shipped
        apart = max(float(row["place apart"]) for row in self.reference)
        return RegionLimits(len(self.reference), limits_of(self.reference), round(apart, 4))

    def verdict(self, row: Row, of: str) -> RegionVerdict:
        """Return the verdict of a search."""
        distance, effect = float(row["place apart"]), float(row[f"{of} z"])
        return verdict(row, of, self.limits.limit_of_search(of, distance, effect) if self.limits else None)

    def says(self, row: Row) -> set[RegionVerdict]:
        """Return the verdicts of all searches."""
        return {self.verdict(row, of) for of in SEARCHES}

    def called(self, row: Row) -> bool:
        """Return whether a network is said to live by a mark, or to rely on a region's look."""
        return bool(self.says(row) & {RegionVerdict.RELIES, RegionVerdict.LOOK})

    def open(self, row: Row) -> bool:
        """Return whether a network is called, or has an unverified finding."""
        return self.called(row) or RegionVerdict.UNVERIFIED in self.says(row)

    def named(self, row: Row) -> bool:
        """Return whether the first sentence says that a mark is lived by, with its place and polarity."""
        if self.verdict(row, "place") == RegionVerdict.RELIES:
            return bool(row["place place"] == row["place polarity"] == "True")
        return bool(self.verdict(row, "drawn") == RegionVerdict.RELIES and row["drawn right"] == "True")

    @property
    def strong(self) -> list[Row]:
        """Networks whose mark with a place moves scores by `MOVES` or more."""
        return [row for row in self.planted if row["mark"] in PLACED and abs(float(row["moves"])) >= MOVES]

    def left_out(self) -> dict[str, dict[str, list[float]]]:
        """Return for each architecture and search the limit of the others, its networks beyond it, and their number."""
        found: dict[str, dict[str, list[float]]] = {}
        for name in dict.fromkeys(str(row["architecture"]) for row in self.reference):
            own = [row for row in self.reference if row["architecture"] == name]
            limits = limits_of([row for row in self.reference if row["architecture"] != name])
            found[name] = {
                of: [limits[of], sum(float(row[f"{of} z"]) > limits[of] for row in own), len(own)] for of in SEARCHES
            }
        return found

    def document(self) -> Row:
        """Return what is shipped of a domain."""
        missed = sum(not self.called(row) for row in self.strong)
        assert self.limits is not None
        return {
            "networks": len(self.reference),
            "limits": self.limits.largest,
            "apart": self.limits.class_distance,
            "kinds": document_of_kinds([self._effects(row) for row in self.reference]),
            "leave_one_architecture_out": self.left_out(),
            "false_rate": interval(sum(map(self.called, self.clean)), len(self.clean)),
            "missed_rate": interval(missed, len(self.strong)),
        }

    @staticmethod
    def _effects(row: Row) -> dict[str, float]:
        start = "effect of "
        return {name.removeprefix(start): float(value) for name, value in row.items() if name.startswith(start)}

    def rates(self) -> dict[str, tuple[int, int] | str]:
        """Return what the table shows."""
        limits, clean, strong = self.limits.largest if self.limits else {}, self.clean, self.strong
        occlusion = max((float(row["occlusion"]) for row in self.reference), default=math.nan)
        without = self.left_out()
        out = [one for of in without.values() for one in of.values()]

        def share(test: Callable[[Row], bool], among: Sequence[Row]) -> tuple[int, int]:
            return sum(map(test, among)), len(among)

        def beyond(row: Row) -> bool:
            return float(row["occlusion"]) > occlusion

        def ends(values: Iterable[float]) -> str:
            there = list(values) or [math.nan]
            return f"{min(there):.2f} to {max(there):.2f}"

        def hinted(row: Row) -> bool:
            return row["drawn"] == RegionVerdict.UNVERIFIED

        def of(mark: str) -> list[Row]:
            return [row for row in self.planted if row["mark"] == mark and abs(float(row["moves"])) >= MOVES]

        networks = self.limits.networks if self.limits else 0
        found: dict[str, tuple[int, int] | str] = {
            "limit: place, whole image, drawn alike": ", ".join(f"{limits[of]:.2f}" for of in SEARCHES if of in limits)
            + f" ({networks})",
            "limit without one architecture": ", ".join(
                ends(one[of][0] for one in without.values()) for of in SEARCHES
            ),
            "median AUROC of architectures": ends(
                float(np.median([float(row["auroc"]) for row in self.reference if row["architecture"] == name]))
                for name in without
            ),
            "beyond the other architectures": (int(sum(row[1] for row in out)), int(sum(row[2] for row in out))),
            "clean: depends on, or look": share(self.called, clean),
            "planted: depends on, or look": share(self.called, strong),
            "planted: depends on, place and polarity right": share(self.named, strong),
            **{
                f"the same, tied {tie} / {other}": share(self.named, [row for row in strong if row["tie"] == str(tie)])
                for tie, other in TIES
            },
            "planted: place of the search right": share(lambda row: row["place place"] == "True", strong),
            "planted: nothing found": share(lambda row: self.says(row) == {RegionVerdict.NOTHING_FOUND}, strong),
            "clean: an unverified finding, or more": share(self.open, clean),
            **{
                f"{mark}: {words}": share(test, of(mark))
                for mark in (*MARKS[-2:], *MORE)
                for words, test in (("depends on, or look", self.called), ("an unverified finding, or more", self.open))
            },
            "drawn alike: clean with an unverified finding": share(hinted, clean),
            **{
                f"drawn alike: planted, tied {tie} / {other}, unverified, place and polarity right": share(
                    lambda row: hinted(row) and row["drawn right"] == "True",
                    [row for row in strong if row["tie"] == str(tie)],
                )
                for tie, other in TIES
            },
            "drawn alike: planted, an unverified finding with another place or polarity": share(
                lambda row: hinted(row) and row["drawn right"] == "False", strong
            ),
            "drawn alike: sticker or column with an unverified finding": share(hinted, [*of("sticker"), *of("column")]),
            "occlusion map: clean beyond the limit": share(beyond, clean),
            "occlusion map: planted, the largest cell at the mark": share(
                lambda row: row["occlusion place"] == "True", strong
            ),
            "occlusion map: planted beyond the limit, at the mark": share(
                lambda row: beyond(row) and row["occlusion place"] == "True", strong
            ),
            "t test: clean with an effect": share(lambda row: row["t test"] == "True", clean),
            "t test: planted, the mark has the largest t": share(
                lambda row: row["t test"] == "True" and row["t test names"] == row["mark"], strong
            ),
        }
        own = (
            "limit without",
            "median AUROC",
            "beyond the other",
            "occlusion map: clean",
            "occlusion map: planted beyond",
        )
        return {name: one for name, one in found.items() if self.reference or not name.startswith(own)}


# The command.


def collected(domain: str, networks: Sequence[Network], folder: Path, trained: bool = False) -> list[Row]:
    """Return rows of the networks of a domain, measured where networks.csv has none; in their training images if so."""
    path = folder / domain / "networks.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read(path)
    missing = [one for one in networks if one.name not in {row["network"] for row in known}]
    whole = pool((DOMAINS | NATURAL)[domain]) if missing else None
    if whole is not None and trained:
        whole = replace(whole, sizes=(whole.sizes[0], 0, whole.sizes[2]))
    for one in missing:
        assert whole is not None
        row = measured(one, whole)
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(one.name, f"{row['place z']:.2f} {row['whole z']:.2f}", file=sys.stderr, flush=True)
    names = {one.name for one in networks}
    return [row for row in read(path) if row["network"] in names]


def read(path: Path) -> list[Row]:
    """Return the rows of a table; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shown(cell: tuple[int, int] | str) -> str:
    """Return a cell of the table."""
    if isinstance(cell, str) or not cell[1]:
        return cell if isinstance(cell, str) else "none"
    _, low, high = interval(*cell)
    assert low is not None
    assert high is not None
    return f"{cell[0]}/{cell[1]} [{100 * low:.0f}, {100 * high:.0f}%]"


def main() -> None:
    """Print a column per domain; a line per network goes to standard error."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--domain", action="append", choices=(*DOMAINS, *NATURAL), help="repeatable; default: phantoms"
    )
    arguments.add_argument("--networks", type=int, nargs=3, default=(60, 60, 66), help="reference, held out, planted")
    arguments.add_argument("--seed", type=int, default=0, help="added to the seeds of networks")
    arguments.add_argument(
        "--tie",
        type=float,
        action="append",
        choices=[one for one, _ in TIES],
        help="repeatable: share of positive images with a mark; default: all",
    )
    arguments.add_argument("--mark", action="append", choices=(*MARKS, *MORE), help=f"repeatable; default: {MARKS}")
    arguments.add_argument("--usual", action="store_true", help="networks of usual size")
    arguments.add_argument(
        "--trained", action="store_true", help="networks of both sizes, searched in their training images"
    )
    arguments.add_argument("--folder", type=Path, default=Path("bank"), help="folder of the bank")
    arguments.add_argument("--small", action="store_true", help="of networks of both sizes, the small ones alone")
    arguments.add_argument("--table-only", action="store_true", help="judge the networks that are measured")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    kinds = tuple(USUAL) if given.usual else (*ARCHITECTURES, *(USUAL if given.trained else ()))
    domains = given.domain or ["phantom-chest", "phantom-nodule"]
    judged = dict[str, Judged]()
    for name in domains:
        column, only, limits = bool((DOMAINS | NATURAL)[name].column), given.mark or (), name
        if name in NATURAL:
            only, limits = ("column",), NATURAL[name].limits
        networks = list(bank(*given.networks, column, given.seed, given.tie or (), only, kinds))
        if given.table_only:
            measured_names = {row["network"] for row in read(given.folder / name / "networks.csv")}
            networks = [network for network in networks if network.name in measured_names]
        elif given.small:
            networks = [network for network in networks if network.architecture not in USUAL]
        shipped = shipped_limits(limits, in_training=given.trained)
        judged[name] = Judged.of(collected(name, networks, given.folder, given.trained), shipped)
    rates = {name: one.rates() for name, one in judged.items()}
    page = Page(("", *domains), given.out)
    for measure in rates[domains[0]]:
        page.row(measure, *(shown(rates[name][measure]) for name in domains))
    page.close()
    if not given.networks[0]:
        return
    path = given.folder / "leads.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    of = "trained" if given.trained else "new"
    document = known | {name: {**known.get(name, {}), of: one.document()} for name, one in judged.items()}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
