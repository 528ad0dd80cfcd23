"""A training step of several small networks as one of grouped convolutions, against one after another.

    python benchmarks/fleet.py [--models 1 2 4] [--rounds 9] [--steps 6] [--out FILE]
    python benchmarks/fleet.py --device cuda --models 1 8 32 64 [--graph]

Prototype of docs/decisions/0014-stacked-training.md. Networks are `small-cnn`, each with its own seed, images, batch
order, flips and shifts. Convolutions have a group, and batch norms channels, for each network; heads are one batched
product. Images stay on the device as 8 bits, draws of all steps are copied there at once, shapes never change, and no
step waits for the device; `--graph` captures the stacked step as a CUDA graph. The single step has the same images and
draws, channels-last and a fused optimizer.

Time is the processor's, on a GPU the clock's. The ratio is the time of single steps of as many networks over that of
the stacked step: above 1, stacking is faster. Difference: the largest relative difference between the losses of the
same network trained in both ways from the same weights for `--steps` steps. Before, one network of two is given weights
that are no numbers: the losses of the other must be the same bits.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from _shared import Page, parser
from torch import Tensor, nn
from torch.nn import functional

from assay.models.networks import build_network
from assay.spec.recipe import RecipeSpec

MOST_SHIFT = 4
RATE = 2e-3
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Images:
    """8-bit images [models, n, h, w], targets [models, n], and for every step the rows, and the lines and columns that
    each image of the batch is read at: flips and shifts.
    """

    pixels: Tensor
    target: Tensor
    rows: Tensor
    lines: Tensor
    columns: Tensor

    @classmethod
    def drawn(cls, models: int, given: argparse.Namespace) -> Images:
        draw, many, size = torch.Generator().manual_seed(0), given.batch * 8, given.size
        steps = (given.most, models, given.batch)

        def places() -> Tensor:
            moves = torch.randint(-MOST_SHIFT, MOST_SHIFT + 1, (*steps, 1), generator=draw)
            found = (torch.arange(size) + moves).clamp(0, size - 1)
            return torch.where(torch.rand(*steps, 1, generator=draw) < 0.5, size - 1 - found, found)

        target = torch.randint(0, 2, (models, many), generator=draw)
        pixels = torch.randint(0, 200, (models, many, size, size), generator=draw)
        pixels[..., : size // 4, : size // 4] += 50 * target[..., None, None]
        found = (pixels.to(torch.uint8), target, torch.randint(0, many, steps, generator=draw), places(), places())
        return cls(*(one.to(given.device) for one in found))

    def batch(self, step: Tensor, models: slice) -> tuple[Tensor, Tensor]:
        """Images [b, models, h, w] in channels-last, and targets [models, b]."""
        rows, lines, columns = (of.index_select(0, step)[0, models] for of in (self.rows, self.lines, self.columns))
        which = torch.arange(len(rows), device=rows.device)[:, None]
        read = self.pixels[models][which[..., None, None], rows[..., None, None], lines[..., None], columns[:, :, None]]
        images = read.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return images.float() / 255, self.target[models][which, rows]


class Stacked(nn.Module):
    """Networks of one shape as one; its outputs are those of each."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.models = len(networks)
        blocks = ([getattr(network.trunk, f"block{n}") for network in networks] for n in range(1, 5))
        self.trunk = nn.Sequential(*(layer for block in blocks for layer in _grouped(block)))
        heads = [network.head for network in networks]
        self.weight = nn.Parameter(torch.stack([head.weight.detach().T for head in heads]))
        self.bias = nn.Parameter(torch.stack([head.bias.detach() for head in heads])[:, None])

    def forward(self, images: Tensor) -> Tensor:
        """Logits [models, b, k]."""
        features = self.trunk((images - 0.5) / 0.5).mean((2, 3))
        return torch.baddbmm(self.bias, features.view(len(features), self.models, -1).transpose(0, 1), self.weight)


def _grouped(blocks: list[nn.Sequential]) -> Iterator[nn.Module]:
    first, count = blocks[0][0], len(blocks)
    made = nn.Conv2d(
        count * first.in_channels, count * first.out_channels, 3, stride=2, padding=1, bias=False, groups=count
    )
    made.weight.data.copy_(torch.cat([block[0].weight.detach() for block in blocks]))
    yield made
    yield nn.BatchNorm2d(count * first.out_channels)
    yield nn.ReLU(inplace=True)


def network(seed: int, given: argparse.Namespace) -> nn.Module:
    return build_network(RecipeSpec(), channels=1, size=given.size, classes=2, seed=seed)


class Trained:
    """A module with its optimizer; `step` gives the loss of each of its networks, on the device."""

    def __init__(self, module: nn.Module, images: Images, models: slice, given: argparse.Namespace) -> None:
        self.module = module.to(device=given.device, memory_format=torch.channels_last).train()
        self.images, self.models, self.number = images, models, torch.zeros(1, dtype=torch.long, device=given.device)
        gpu = given.device != "cpu"
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=RATE, fused=True, capturable=gpu)

    def step(self) -> Tensor:
        images, target = self.images.batch(self.number, self.models)
        logits = self.module(images)
        each = functional.cross_entropy(logits.reshape(-1, 2), target.reshape(-1), reduction="none")
        losses = each.view(len(target), -1).mean(1)
        losses.sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.number += 1
        return losses.detach()


def single(at: int, images: Images, given: argparse.Namespace) -> Trained:
    return Trained(network(at, given), images, slice(at, at + 1), given)


def stacked(models: int, images: Images, given: argparse.Namespace) -> Trained:
    return Trained(Stacked([network(at, given) for at in range(models)]), images, slice(0, models), given)


def check_apart(given: argparse.Namespace) -> None:
    """One of two networks that diverged leaves the other's losses as they are, to the bit."""
    images = Images.drawn(2, given)
    whole, broken = (stacked(2, images, given) for _ in range(2))
    with torch.no_grad():
        half = len(broken.module.trunk[0].weight) // 2
        broken.module.trunk[0].weight[half:] = torch.nan
    for _ in range(given.steps):
        one, other = whole.step(), broken.step()
        assert torch.equal(one[0], other[0]), "a network depends on another one's weights"
        assert other[1].isnan()


def difference(models: int, images: Images, given: argparse.Namespace) -> float:
    """Between the losses of each network alone and within the stack."""
    fleet, alone = stacked(models, images, given), [single(at, images, given) for at in range(models)]
    worst = 0.0
    for _ in range(given.steps):
        together, apart = fleet.step(), torch.cat([one.step() for one in alone])
        worst = max(worst, float(((together - apart).abs() / apart).max()))
    return worst


def seconds(step: Callable[[], object], steps: int, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    begun = clock()
    for _ in range(steps):
        step()
    if device != "cpu":
        torch.cuda.synchronize()
    return (clock() - begun) / steps


def captured(trained: Trained) -> Callable[[], object]:
    """The step as a CUDA graph, after three that warm up."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            trained.step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        trained.step()
    return graph.replay


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--device", default="cpu")
    made.add_argument("--models", type=int, nargs="+", default=[1, 2, 4])
    made.add_argument("--rounds", type=int, default=9)
    made.add_argument("--steps", type=int, default=6)
    made.add_argument("--size", type=int, default=64)
    made.add_argument("--batch", type=int, default=128)
    made.add_argument("--graph", action="store_true")
    given = made.parse_args()
    given.most = (given.rounds + 2) * given.steps + 4
    return given


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    check_apart(given)
    page = Page(
        ("networks", "single, ms a network", "stacked, ms a network", "ratio, median", "least", "most", "difference"),
        given.out, f"{given.size} px, batch {given.batch} on {given.device}, {given.rounds} rounds, float32.",
    )  # fmt: skip
    for models in given.models:
        images = Images.drawn(models, given)
        apart = difference(models, images, given)
        fleet, alone = stacked(models, images, given), single(0, images, given)
        together = captured(fleet) if given.graph else fleet.step
        times = []
        for number in range(given.rounds + 1):
            one = seconds(alone.step, given.steps, given.device)
            times.append((one, seconds(together, given.steps, given.device) / models))
            if not number:
                times.clear()  # the first round warms up
        ratios = [one / many for one, many in times]
        page.row(
            models,
            *(f"{1e3 * statistics.median(of):.2f}" for of in zip(*times, strict=True)),
            *(f"{of(ratios):.2f}" for of in (statistics.median, min, max)),
            f"{apart:.0e}",
        )
        if not apart < LARGEST_DIFFERENCE:
            raise SystemExit(f"the stacked networks differ by {apart:.0e}, expected less than {LARGEST_DIFFERENCE:g}")
    page.close()


if __name__ == "__main__":
    main()
