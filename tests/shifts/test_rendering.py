"""Rendered images: a few rows for a picture cost a few rows, and are what the whole set holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from assay.plugin import ArrayCache, Component
from assay.shifts.phantom_rows import Content, RenderedImages, Renderer

ROWS = 200


def images(root: Path) -> RenderedImages:
    renderer = Renderer(Component(kind="phantom", name="nodule"), 32, ArrayCache(root))
    u = np.random.default_rng(0).random((20, ROWS))
    factors = renderer.phantom.factors
    values = {factor.name: renderer.phantom.quantile(factor.name, u[i]) for i, factor in enumerate(factors)}
    return RenderedImages(renderer, Content(values, np.arange(ROWS)))


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.npy"))


def test_a_glance_draws_its_rows_alone_and_to_the_bit(tmp_path: Path) -> None:
    index = np.array([150, 3, 3, 77])
    glanced = images(tmp_path / "glance").read(index)
    assert files(tmp_path / "glance") == [], "nothing was kept for four images"
    whole = images(tmp_path / "whole")
    whole.read(np.arange(ROWS))
    assert len(files(tmp_path / "whole")) == 1
    assert torch.equal(glanced, whole.read(index))


def test_who_goes_on_reading_few_rows_gets_the_kept_set(tmp_path: Path) -> None:
    few = images(tmp_path)
    for start in range(5):
        few.read(np.arange(start, start + 5))
    assert len(files(tmp_path)) == 1


def test_a_set_that_is_kept_is_read_from_there(tmp_path: Path) -> None:
    images(tmp_path).read(np.arange(ROWS))
    (kept,) = tmp_path.glob("*.npy")
    before = kept.stat().st_mtime_ns
    again = images(tmp_path)
    again.read(np.arange(3))
    assert "_images" in again.__dict__, "read from the cache, not drawn again"
    assert kept.stat().st_mtime_ns == before
