"""Against pytorch-metric-learning, where it computes the same thing (docs/reference/losses.md: where not)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from pytorch_metric_learning import distances, losses, miners, reducers
from tests.recipes.losses.batches import Example, examples, quickly

from assay.recipes.losses import pairs
from assay.recipes.losses.proxies import AngularSoftmax
from assay.recipes.losses.triplets import triplet

ALL = {"reducer": reducers.MeanReducer()}


@quickly
@given(examples())
def test_supcon(e: Example) -> None:
    expected = losses.SupConLoss(temperature=0.2)(e.z, e.y)
    torch.testing.assert_close(pairs.supcon(e.z, e.y, temperature=0.2), expected.double())


@quickly
@given(examples())
def test_circle(e: Example) -> None:
    expected = losses.CircleLoss(m=0.3, gamma=8)(e.z, e.y)
    torch.testing.assert_close(pairs.circle(e.z, e.y, margin=0.3, scale=8.0), expected.double())


@quickly
@given(examples())
def test_lifted_structure(e: Example) -> None:
    plain = distances.LpDistance(normalize_embeddings=False)
    expected = losses.LiftedStructureLoss(neg_margin=1.0, distance=plain)(e.z, e.y)
    got = pairs.lifted_structure(e.z, e.y, margin=1.0, normalise=False)
    torch.testing.assert_close(got, expected.double(), rtol=1e-6, atol=1e-9)


@quickly
@given(examples())
def test_n_pair_is_nt_xent_over_inner_products(e: Example) -> None:
    inner = distances.DotProductSimilarity(normalize_embeddings=False)
    expected = losses.NTXentLoss(temperature=1.0, distance=inner)(e.z, e.y)
    torch.testing.assert_close(pairs.n_pair(e.z, e.y, regularisation=0.0), expected.double(), rtol=1e-5, atol=1e-6)


@quickly
@given(examples())
def test_nt_xent(e: Example) -> None:
    images = len(e.z) // 2
    if images < 2:
        return
    z = e.z[: 2 * images]
    expected = losses.NTXentLoss(temperature=0.3)(z, torch.arange(images).repeat(2))
    torch.testing.assert_close(pairs.nt_xent(z, temperature=0.3), expected)


@quickly
@given(examples())
def test_batch_hard_triplet(e: Example) -> None:
    mined = miners.BatchHardMiner()(e.z, e.y)
    expected = losses.TripletMarginLoss(margin=0.4, **ALL)(e.z, e.y, mined)
    got = triplet(e.z, e.y, margin=0.4, mining="hard", soft=False, normalise=True)
    torch.testing.assert_close(got, expected.double(), rtol=1e-6, atol=1e-7)


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
    got = triplet(z, y, margin=0.2, mining="semi-hard", soft=False, normalise=True)
    assert got.item() == pytest.approx(sum(nearest.values()) / len(nearest))


@quickly
@given(examples(dimensions=(3, 3)))
def test_arcface(e: Example) -> None:
    library = losses.ArcFaceLoss(4, 3, margin=math.degrees(0.2), scale=16).double()
    own = AngularSoftmax(3, 4, scale=16, margin=0.2).double()
    own.load_state_dict({"directions.weight": library.W.detach().T})
    # the library multiplies the logits by both lengths, so unit lengths make the two the same
    library.W.data = torch.nn.functional.normalize(library.W.data, dim=0)
    z = torch.nn.functional.normalize(e.z)
    cosine = (z @ library.W)[torch.arange(len(z)), e.y]
    if cosine.min() > -math.cos(0.2):
        torch.testing.assert_close(own(z, e.y), library(z, e.y), rtol=1e-6, atol=1e-9)
