"""Our own losses against pytorch-metric-learning's, where it computes the same at a greater cost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from pytorch_metric_learning import distances, losses, miners
from tests.training.losses.batches import Example, criterion, examples, quickly


@quickly
@given(examples())
def test_lifted_structure(e: Example) -> None:
    plain = distances.LpDistance(normalize_embeddings=False)
    expected = losses.LiftedStructureLoss(neg_margin=1.0, distance=plain)(e.z, e.y)
    got = criterion("lifted-structure")(e.z, e.y)
    torch.testing.assert_close(got, expected.double(), rtol=1e-6, atol=1e-9)


@quickly
@given(examples())
def test_n_pair_is_nt_xent_over_inner_products(e: Example) -> None:
    inner = distances.DotProductSimilarity(normalize_embeddings=False)
    expected = losses.NTXentLoss(temperature=1.0, distance=inner)(e.z, e.y)
    torch.testing.assert_close(
        criterion("n-pair", regularization=0.0)(e.z, e.y), expected.double(), rtol=1e-5, atol=1e-6
    )


@quickly
@given(examples())
def test_nt_xent_over_one_table_is_the_library_s_own(e: Example) -> None:
    images = len(e.z) // 2
    if images < 2:
        return
    z, image = e.z[: 2 * images], torch.arange(images).repeat(2)
    torch.testing.assert_close(
        criterion("nt-xent", temperature=0.3)(z, image), losses.NTXentLoss(temperature=0.3)(z, image)
    )


def test_semi_hard_negatives_are_among_the_library_s() -> None:
    """The library averages over all semi-hard negatives of a pair, we take the nearest, the worst of them."""
    z = torch.randn(24, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(24) % 3
    a, p, n = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard")(z, y)
    d = torch.cdist(torch.nn.functional.normalize(z), torch.nn.functional.normalize(z))
    nearest: dict[tuple[int, int], float] = {}
    for anchor, positive, negative in zip(a.tolist(), p.tolist(), n.tolist(), strict=True):
        loss = (d[anchor, positive] - d[anchor, negative] + 0.2).item()
        nearest[anchor, positive] = max(nearest.get((anchor, positive), 0.0), loss)
    got = criterion("triplet")(z, y)
    assert got.item() == pytest.approx(sum(nearest.values()) / len(nearest))
