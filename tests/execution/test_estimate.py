"""The time that a study will take, from what a step and an image take on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import LARGE, SMALL, plan_tiny

from assay.execution import estimate
from assay.execution.estimate import Speed
from assay.spec.parse import parse_study
from assay.spec.schema import TrainingSpec
from assay.study.run import prepare

END_PER_TRIAL = 0.25
PROBES = 0.5
SHARING = 1.1
START = 5.0
TRIAL = 0.3


@pytest.fixture
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second, an image that is read a hundredth, one that is drawn a tenth."""
    monkeypatch.setattr(estimate, "_time_recipe", lambda *_: Speed(1.0, 0.01))
    monkeypatch.setattr(estimate, "_render_seconds", lambda *_: 0.1)


def costs(prepared: Any) -> dict[bool, list[float]]:
    """The costs of probing (True) and of training (False)."""
    return {kind: [task.cost for task in prepared.tasks if bool(task.needs) is kind] for kind in (False, True)}


@pytest.mark.usefixtures("known_speed")
def test_steps_validation_drawing_and_what_a_trial_needs_beside(tmp_path: Path) -> None:
    prepared = plan_tiny(tmp_path, seeds=2)
    found = costs(prepared)
    # 12 batches of 8 in each of 2 epochs, with 32 validation images; all 128 images once more at the end; drawn once
    training = (24 + (2 * 32 + 128) * 0.01) * SHARING + TRIAL + 128 * 0.1
    # 32 test images, read by each of two trials and drawn for both together
    probing = 32 * (0.01 + 0.1 / 2) * SHARING + PROBES
    assert found[False] == pytest.approx([training] * 2)
    assert found[True] == pytest.approx([probing] * 2)
    whole = 2 * (training + probing)
    for workers, at_once in ((0, 1), (1, 1), (2, 2), (9, 4)):  # four tasks keep no fifth worker busy
        assert prepared.seconds(workers) == pytest.approx(whole / at_once + START + 2 * END_PER_TRIAL)


@pytest.mark.usefixtures("known_speed")
def test_the_images_that_probes_share_count_once_and_designs_count(tmp_path: Path) -> None:
    probes = ["performance", {"reliance": {"samples": 64}}]
    prepared = plan_tiny(tmp_path, probes=probes)
    scene = prepared.population.scene(prepared.spec.points[0].tests, 0)
    # one test environment, the neutral rows, both ends of every factor, and A, B and AB of every input
    images = 32 * (2 + 2 * len(scene.changeable())) + 64 * (2 + len(scene.sobol(64).inputs))
    assert costs(prepared)[True] == pytest.approx([images * 0.11 * SHARING + PROBES])


def test_every_recipe_is_timed_once_and_none_when_time_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def time_it(training, *_) -> Speed:
        timed.append(training.recipe.loss.label)
        return Speed(1.0, 0.0)

    monkeypatch.setattr(estimate, "_time_recipe", time_it)
    recipe = {"loss": ["cross-entropy", "supcon", "triplet"], "epochs": [1, 2], "batch_size": 8}
    plan_tiny(tmp_path, recipe=recipe)
    assert timed == ["cross-entropy", "supcon", "triplet"]
    monkeypatch.setattr(estimate, "MOST_SECONDS", -1.0)
    timed.clear()
    plan_tiny(tmp_path, recipe=recipe)
    assert timed == ["cross-entropy"]


def test_a_step_is_timed_with_the_loss_and_a_broken_one_is_left_to_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (training,) = costs(plan_tiny(tmp_path))[False]
    assert training > TRIAL
    monkeypatch.setattr("assay.training.state.TrainingState.train_step", lambda _: 1 / 0)
    assert costs(plan_tiny(tmp_path))[False][0] < training


def test_sources_of_the_network_and_batch_of_a_timed_recipe_are_not_timed_when_time_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine, minutes would pass before a study says what it will do; progress is shown meanwhile."""
    timed: list[str] = []
    heard: list[tuple[str, int, int]] = []

    def time_it(training: TrainingSpec, *_: object) -> Speed:
        timed.append(training.recipe.loss.label)
        return Speed(1.0, 0.0)

    monkeypatch.setattr(estimate, "_time_recipe", time_it)
    monkeypatch.setattr(estimate, "MOST_SECONDS", -1.0)
    start = {"initialization": ["random", "large"], "epochs": 1, "batch_size": 8}
    study = parse_study({**SMALL, "sources": {"large": LARGE}, "recipe": start, "seeds": 1, "contrasts": []})
    prepare(study, tmp_path / "run", on_progress=lambda what, done, of: heard.append((what, done, of)))
    assert timed == ["cross-entropy"]
    assert {step for step in heard if step[0].startswith("timing")} == {
        ("timing recipes", 0, 2),
        ("timing recipes", 1, 2),
        ("timing sources", 0, 1),
    }
