"""Losses for segmentation against NumPy loops, other libraries, limits, and values derived by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import segmentation_models_pytorch.losses as smp
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef
from tests.training.losses import naive_dense as naive
from tests.training.losses.batches import quickly
from tests.training.losses.masks import Maps, gradient, lesion_map, maps, value
from tests.training.losses.test_declared import FOR_SEGMENTATION

reductions = st.sampled_from(["image", "batch"])
smoothings = st.sampled_from([1e-5, 1.0, 100.0])


def arrays(at: Maps) -> tuple[np.ndarray, np.ndarray]:
    return at[0].numpy(), at[1].numpy()


@quickly
@given(maps(), st.floats(0, 0.9), st.floats(0, 5))
def test_the_losses_per_label_are_means_over_pixels(at: Maps, smoothing: float, gamma: float) -> None:
    logits, labels = arrays(at)
    each = naive.pixel_entropies(logits, labels)
    spread = -np.log(naive.softmax(logits)).mean(axis=1)
    assert value("cross-entropy", at).item() == pytest.approx(each.mean(), rel=1e-9)
    assert value("weighted-cross-entropy", at).item() == pytest.approx(each.mean(), rel=1e-6)  # equal counts
    expected = (1 - smoothing) * each.mean() + smoothing * spread.mean()
    assert value("label-smoothing", at, smoothing=smoothing).item() == pytest.approx(expected, rel=1e-9)
    expected = ((1 - np.exp(-each)) ** gamma * each).mean()
    assert value("focal", at, gamma=gamma).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@quickly
@given(maps(), reductions, st.booleans(), smoothings)
def test_dice_equals_the_loops(at: Maps, reduce: str, background: bool, smoothing: float) -> None:
    options = {"reduce": reduce, "background": background, "smoothing": smoothing}
    of = naive.mean_over_classes(naive.dice(smoothing))
    expected = naive.over_groups(*arrays(at), reduce, background, of)
    assert value("dice", at, **options).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@quickly
@given(maps(), reductions, st.booleans(), smoothings, st.floats(0.1, 1), st.floats(0.1, 1), st.floats(0.5, 2))
def test_the_family_of_tversky_equals_the_loops(
    at: Maps, reduce: str, background: bool, smoothing: float, a: float, b: float, exponent: float
) -> None:
    options = {
        "reduce": reduce, "background": background, "smoothing": smoothing, "false_positives": a, "false_negatives": b,
    }  # fmt: skip
    of = naive.tversky(smoothing, a, b)
    expected = naive.over_groups(*arrays(at), reduce, background, naive.mean_over_classes(of))
    assert value("tversky", at, **options).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    raised = naive.mean_over_classes(lambda p, g: of(p, g) ** exponent)
    expected = naive.over_groups(*arrays(at), reduce, background, raised)
    found = value("tversky", at, exponent=exponent, **options)
    assert found.item() == pytest.approx(expected, rel=1e-7, abs=1e-7)


@quickly
@given(maps(), reductions, st.booleans())
def test_mcc_equals_the_loop(at: Maps, reduce: str, background: bool) -> None:
    expected = naive.over_groups(*arrays(at), reduce, background, naive.mean_over_classes(naive.mcc))
    assert value("mcc", at, reduce=reduce, background=background).item() == pytest.approx(expected, rel=1e-7, abs=1e-9)


@quickly
@given(maps(), st.booleans(), st.sampled_from([1.0, 2.0]))
def test_losses_of_boundaries_equal_distances_between_all_pairs_of_pixels(
    at: Maps, background: bool, exponent: float
) -> None:
    expected = naive.boundary(*arrays(at), background)
    assert value("boundary", at, background=background).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    expected = naive.hausdorff(*arrays(at), background, exponent)
    found = value("hausdorff", at, background=background, exponent=exponent)
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@quickly
@given(maps())
def test_other_libraries_agree_where_they_compute_the_same(at: Maps) -> None:
    logits, labels = at
    for label in range(3):  # every class in every image: on others the libraries differ
        labels[:, 0, label] = label
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "dice": smp.DiceLoss("multiclass", smooth=0.0)(logits, labels),
            "tversky": smp.TverskyLoss("multiclass", alpha=0.3, beta=0.7)(logits, labels),
        }
    for name, of_library in expected.items():
        found = value(name, at, reduce="batch", background=True, smoothing=0.0)
        assert found.item() == pytest.approx(of_library.item(), rel=1e-5), name


@quickly
@given(maps(classes=2))
def test_on_hard_maps_mcc_is_the_metric(at: Maps) -> None:
    """Logits of +-1000 are certainties: 1 - the coefficient."""
    sure, labels = 1000 * (at[0] > at[0].flip(1)).double(), at[1]
    truth, said = labels.flatten().numpy(), sure.argmax(dim=1).flatten().numpy()
    if 0 < truth.mean() < 1 and 0 < said.mean() < 1:
        expected = 1 - matthews_corrcoef(truth, said)
        assert value("mcc", (sure, labels), reduce="batch").item() == pytest.approx(expected, abs=1e-6)


@quickly
@given(maps(), reductions, st.booleans(), smoothings)
def test_limits(at: Maps, reduce: str, background: bool, smoothing: float) -> None:
    options = {"reduce": reduce, "background": background, "smoothing": smoothing}
    halves = {"false_positives": 0.5, "false_negatives": 0.5}
    entropy, overlap = value("cross-entropy", at), value("dice", at, **options)
    close = torch.testing.assert_close
    close(value("focal", at, gamma=0.0), entropy)
    close(value("label-smoothing", at, smoothing=0.0), entropy)
    close(value("tversky", at, **options, **halves), overlap)
    alone = at[0][:1], at[1][:1]
    for name in ("dice", "mcc"):
        close(value(name, alone, reduce="batch"), value(name, alone, reduce="image"))


def test_a_right_and_sure_map_costs_nothing() -> None:
    """Boundary: minus the sum of the distances inside, less 1 each; label smoothing has its entropy."""
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 2:6, 2:6] = 1
    sure = 1000.0 * torch.stack([1 - labels, labels], dim=1).double()
    others = {"label-smoothing", "boundary", "weighted-sum"}
    for name in {"cross-entropy", "weighted-cross-entropy", "focal", *FOR_SEGMENTATION} - others:
        assert value(name, (sure, labels)).item() == pytest.approx(0, abs=1e-8), name
    assert value("boundary", (sure, labels)).item() == pytest.approx(-4 / 64)  # the inner four pixels are 2 - 1 inside


def test_values_by_hand() -> None:
    """Four pixels with p = 1/2, 1/2, 1/4, 1/4, of which the first two are lesion: TP 1, FP 1/2, FN 1, TN 3/2."""
    at = lesion_map([0.5, 0.5, 0.25, 0.25], [1, 1, 0, 0])
    assert value("dice", at, smoothing=0).item() == pytest.approx(1 - 2 / 3.5)
    assert value("dice", at, smoothing=1).item() == pytest.approx(1 - 3 / 4.5)
    background = 1 - 3 / 4.5
    assert value("dice", at, smoothing=0, background=True).item() == pytest.approx((1 - 2 / 3.5 + background) / 2)
    assert value("tversky", at, smoothing=0).item() == pytest.approx(1 - 1 / (1 + 0.3 * 0.5 + 0.7 * 1))
    assert value("mcc", at).item() == pytest.approx(1 - (1 * 1.5 - 0.5) / math.sqrt(1.5 * 2 * 2 * 2.5), abs=1e-5)
    assert value("cross-entropy", at).item() == pytest.approx((2 * math.log(2) + 2 * math.log(4 / 3)) / 4)
    # signed distances 0 - (2 - 1), 0 - (1 - 1), 1, 2
    assert value("boundary", at).item() == pytest.approx((-0.5 + 0.25 + 0.5) / 4)
    # no pixel is above 1/2: only the true region has a boundary, at distances 2, 1, 1, 2
    assert value("hausdorff", at).item() == pytest.approx((0.25 * 4 + 0.25 + 1 / 16 + 4 / 16) / 4)


@pytest.mark.parametrize("reduce", ["image", "batch"])
def test_smoothing_of_a_hundred_pixels_is_felt_on_the_scale_of_a_hundred_pixels(reduce: str) -> None:
    """An image without lesion: the slope at sum p = s is a quarter of that at 0, s / (sum p + s)^2."""
    empty = torch.zeros(1, 20, 20, dtype=torch.int64)
    slopes = []
    for mean in (1e-6, 0.25):
        odds = math.log(mean / (1 - mean))
        logits = torch.zeros(1, 2, 20, 20, dtype=torch.float64)
        logits[:, 1] = odds
        slope = gradient("dice", (logits, empty), smoothing=100.0, reduce=reduce)[0, 1, 0, 0]
        slopes.append(slope.item() / (mean * (1 - mean)))
    assert slopes == pytest.approx([1 / 100, 1 / 400], rel=1e-4)
