"""What every phantom draws and every intervention changes is what its version drew and changed.

`python -m tests.golden.test_pixels` writes the values anew; do so only with a component's version raised: records of
one version are taken as they are by later runs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.plugin import Intervention, Phantom, build, draw, entries, lookup

KEPT = Path(__file__).with_name("pixels.json")
TOLERANCE = 1e-4
"""Of means over an eighth of the image's side: processors differ in the last place, another picture in far more."""
SIZE, ROWS = 64, np.arange(2, dtype=np.int64)
NAMES = [(kind, entry.name) for kind in ("phantom", "intervention") for entry in entries(kind)]


def drawn_by(phantom: Phantom) -> Tensor:
    """Pictures of two rows whose factors lie at 0.15 and at 0.7 of their marginals."""
    u = np.array([0.15, 0.7])
    values = {factor.name: phantom.quantile(factor.name, u) for factor in phantom.factors}
    return phantom.render(values, ROWS, SIZE, {}).images


def changed_by(intervention: Intervention, name: str) -> Tensor:
    """What it makes of noise in a picture that grows brighter from left to right, in three channels."""
    noise = torch.rand((len(ROWS), 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    images = 0.1 + 0.5 * noise + torch.linspace(0.0, 0.3, SIZE)
    made = draw(name, intervention, np.ones(len(ROWS), dtype=bool), ROWS, 0, (3, SIZE, SIZE))
    return made.apply(images, ROWS)


def values(kind: str, name: str) -> list[float]:
    """Means over squares of 8 px of the first channel."""
    made = build(kind, name, {})
    images = drawn_by(made) if kind == "phantom" else changed_by(made, name)
    squares = images[:, :1].double().unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean(dim=(3, 5))
    return [round(value, 5) for value in squares.flatten().tolist()]


def named(kind: str, name: str) -> str:
    return f"{kind} {name}, version {lookup(kind, name).version}"


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=[" ".join(pair) for pair in NAMES])
def test_pixels_are_those_of_their_version(kind: str, name: str) -> None:
    kept = json.loads(KEPT.read_text())
    assert named(kind, name) in kept, "write the values of the new version: python -m tests.golden.test_pixels"
    assert values(kind, name) == pytest.approx(kept[named(kind, name)], abs=TOLERANCE)


if __name__ == "__main__":
    made = {named(kind, name): values(kind, name) for kind, name in NAMES}
    KEPT.write_text("{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(made[key])}" for key in made) + "\n}\n")
