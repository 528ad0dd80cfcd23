"""Deletion, insertion and sensitivity-n, on sums of pixels and image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.probes.test_explainers import Linear, small

from assay.probes.explainers import InputXGradient, Subject
from assay.probes.faithfulness import STEPS, areas, dropped, sensitivities
from assay.probes.lesion_maps import Sample
from assay.testing.data import ImagesInMemory

N, HEIGHT, WIDTH = 5, 16, 24
PIXELS = torch.rand((N, 1, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn((1, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1))
SAMPLE = Sample(
    ImagesInMemory(PIXELS), np.array([1, 0, 1, 0, 1]), np.arange(N), np.zeros((N, HEIGHT, WIDTH), dtype=bool), "cpu"
)
MAPS = np.random.default_rng(2).normal(size=(N, HEIGHT, WIDTH)).astype(np.float32)


def test_areas_are_those_of_one_image_at_a_time() -> None:
    network = small()
    subject = Subject.of(network, PIXELS[:1])
    deletion, insertion = areas(MAPS, subject, SAMPLE, "mean")
    for i in range(N):
        order = np.argsort(-np.abs(MAPS[i]).ravel())
        curves: list[list[float]] = [[], []]
        for step in range(STEPS + 1):
            first = order[: int(np.ceil(step / STEPS * len(order) - 1e-6))]
            whole, mean = PIXELS[i].flatten(), PIXELS[i].mean()
            gone, come = whole.clone(), torch.full_like(whole, float(mean))
            gone[first], come[first] = mean, whole[first]
            for curve, image in zip(curves, (gone, come), strict=True):
                logits = network(image.view(1, 1, HEIGHT, WIDTH))[0].detach().softmax(dim=0)
                curve.append(float(logits[SAMPLE.own[i]]))
        assert deletion[i] == pytest.approx(np.trapezoid(curves[0], dx=1 / STEPS), abs=1e-5)
        assert insertion[i] == pytest.approx(np.trapezoid(curves[1], dx=1 / STEPS), abs=1e-5)


def test_no_order_deletes_a_sum_of_pixels_sooner_than_what_each_adds() -> None:
    """For images of the class that positive sums speak for, taking the greatest first; the other way round, latest."""
    network = Linear(WEIGHT.abs() / 40)
    subject, ones = Subject(network, ()), SAMPLE.first(1)
    adds = (WEIGHT.abs() * PIXELS[:1])[:, 0].numpy()
    best, worst = areas(adds, subject, ones, "black"), areas(1 / (adds + 1e-3), subject, ones, "black")
    for draw in range(20):
        other = areas(np.random.default_rng(draw).random(adds.shape, dtype=np.float32), subject, ones, "black")
        assert best[0][0] < other[0][0] < worst[0][0]
        assert best[1][0] > other[1][0] > worst[1][0]


def test_ties_go_in_an_order_that_knows_nothing() -> None:
    subject = Subject(Linear(WEIGHT), ())
    zeros = areas(np.zeros_like(MAPS), subject, SAMPLE, "blur")
    ones = areas(np.ones_like(MAPS), subject, SAMPLE, "blur")
    np.testing.assert_array_equal(zeros, ones)
    step = np.zeros_like(MAPS)
    step[:, 4:8] = 1  # rows that are first whatever stands in them
    assert not np.array_equal(areas(step, subject, SAMPLE, "blur")[0], zeros[0])


def test_what_each_pixel_adds_to_a_sum_is_what_is_lost_without_it() -> None:
    network = Linear(WEIGHT)
    subject = Subject(network, ())
    maps = SAMPLE.maps(InputXGradient(), subject)
    lost = dropped(subject, SAMPLE, "black")
    np.testing.assert_allclose(sensitivities(maps, lost), 1, atol=1e-4)
    np.testing.assert_allclose(sensitivities(-maps, lost), -1, atol=1e-4)
    assert np.isnan(sensitivities(np.zeros_like(maps), lost)).all()


def test_sensitivity_is_that_of_one_subset_at_a_time() -> None:
    network = small()
    lost = dropped(Subject(network, ()), SAMPLE, "black")
    found = sensitivities(MAPS, lost)
    i, s = 2, 1
    given, falls = [], []
    for cells in lost.cells[s]:
        where = np.kron(cells.reshape(8, 8), np.ones((HEIGHT // 8, WIDTH // 8))).astype(bool)
        covered = PIXELS[i : i + 1].clone()
        covered[0, 0, torch.as_tensor(where)] = 0
        with torch.no_grad():
            before, after = (network(image)[0] for image in (PIXELS[i : i + 1], covered))
        falls.append(float((before[1] - before[0]) - (after[1] - after[0])))
        given.append(MAPS[i][where].sum())
    assert lost.cells[s].sum(axis=1).tolist() == [19] * 24
    assert found[i, s] == pytest.approx(np.corrcoef(given, falls)[0, 1], abs=1e-4)
