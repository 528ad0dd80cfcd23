"""What a small network learns from a few chest phantoms: AUROC of the mass, and of sex, view and scanner.

    python benchmarks/chest_learning.py --markdown  # the table as it stands in docs/phantom-chest.md

`small-cnn` is trained with cross-entropy on 2,000 images and judged on 1,000 others, every factor drawn from its
marginal, so that no factor says anything of another; one line per target, with the mean and the range over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cross_entropy

from assay.core.seeds import generator
from assay.data.phantoms.chest import ChestPhantom
from assay.models.networks import ArchitectureContext, small_cnn

TARGETS = ("mass", "sex", "view", "scanner")
SHIFT = 4  # px, the augmentation


def drawn(count: int, size: int, seed: int, difficulty: Mapping[str, float]) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Images and their factors."""
    phantom, draws = ChestPhantom(), generator(seed, "learning")
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    return phantom.render(values, draws.integers(0, 2**31, count), size, difficulty).images, values


def moved(images: Tensor, draws: np.random.Generator) -> Tensor:
    """The batch shifted by up to 4 px, with zeros where nothing is."""
    dy, dx = draws.integers(0, 2 * SHIFT + 1, 2)
    padded = torch.nn.functional.pad(images, (SHIFT,) * 4)
    return padded[:, :, dy : dy + images.shape[2], dx : dx + images.shape[3]]


def trained(images: Tensor, target: np.ndarray, seed: int, options: argparse.Namespace) -> torch.nn.Module:
    """The network after the whole schedule."""
    network = small_cnn(ArchitectureContext(1, options.size, 2, seed), width=8)
    steps = len(images) // options.batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=options.epochs * steps)
    draws, labels = generator(seed, "order"), torch.as_tensor(target)
    for _ in range(options.epochs):
        order = torch.as_tensor(draws.permutation(len(images))[: steps * options.batch])
        for rows in order.view(steps, -1):
            loss = cross_entropy(network(moved(images[rows], draws)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def auroc(network: torch.nn.Module, images: Tensor, target: np.ndarray) -> float:
    """Of the positive logit, by ranks."""
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in images.split(250)])
    ranks = rankdata((logits[:, 1] - logits[:, 0]).numpy())
    positive = target == 1
    above = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(above / (positive.sum() * (~positive).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--difficulty", type=float, default=1.0, help="of the mass")
    options = parser.parse_args()
    torch.set_num_threads(1)
    difficulty = {"mass": options.difficulty}
    images, values = drawn(options.train, options.size, 0, difficulty)
    held_out, truth = drawn(options.test, options.size, 1, difficulty)
    if options.markdown:
        print("| target | AUROC, mean | lowest | highest |\n|---|---|---|---|")
    for target in options.targets:
        found = [
            auroc(trained(images, values[target], seed, options), held_out, truth[target])
            for seed in range(options.seeds)
        ]
        cells = (target, *(f"{value:.3f}" for value in (np.mean(found), min(found), max(found))))
        print(f"| {' | '.join(cells)} |" if options.markdown else "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
