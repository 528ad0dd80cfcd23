"""What the probe of robustness says of models whose answer is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Code, Environment, Measurement, Model, Probe, SpecError, build, distort, run_probes
from assay.report.sentences.reasons import reason_words
from assay.stats import corruption_error
from assay.testing.data import ImagesInMemory
from assay.testing.probe import PixelReader, World

SIDE = 16
BOARD = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1


class Boards(World):
    """Images of one gray with a faint chequerboard, one way round for one class and the other for the other."""

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        sign = torch.as_tensor(made.table.target * 2.0 - 1).float()[:, None, None, None]
        return replace(made, images=ImagesInMemory(0.3 + 0.05 * sign * BOARD))


class FineDetail(nn.Module):
    """Reads the chequerboard and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        """Its logit, [n]; next to none is none."""
        self.passes += 1
        logit = (images[:, 0] * BOARD).mean(dim=(1, 2)) * 100
        return torch.where(logit.abs() < 0.5, -1.0, logit)


def found(network: nn.Module, world: World, probe: Probe) -> dict[tuple[str, str, str], Measurement]:
    made = run_probes(Model(network, threshold=0.5), world, {"it": probe}).measurements["it"]
    return {(m.measure, m.factor, m.level): m for m in made}


def test_a_model_that_reads_only_fine_detail_falls_under_blur_and_not_under_brightness() -> None:
    families = ("gaussian-blur", "defocus-blur", "brightness", "contrast")
    values = found(FineDetail(), Boards(n=120), make_probe("robustness", families=families, severities=(1, 2, 3)))
    for level in ("1", "2", "3", ""):
        for blur in ("gaussian-blur", "defocus-blur"):
            assert values["accuracy-kept", blur, level].value < 0.65
            assert values["stability", blur, level].value < 0.65
            assert values["distorted-auroc", blur, level].value <= 0.5  # a disc turns light and dark round
        for tone in ("brightness", "contrast"):
            assert values["accuracy-kept", tone, level].value == 1
            assert values["stability", tone, level].value == 1
            assert values["distorted-error", tone, level].value == 0
            assert values["distorted-auroc", tone, level].value == 1


class Grades(World):
    """Boards whose contrast rises with one of three grades."""

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        grade = np.arange(len(made.table.target)) % 3
        sign = torch.as_tensor(grade - 1.0).float()[:, None, None, None]
        table = replace(made.table, target=grade, classes=("0", "1", "2"))
        return replace(made, table=table, images=ImagesInMemory(0.3 + 0.05 * sign * BOARD))


class GradesOfDetail(nn.Module):
    """Logits of three grades by the contrast of the chequerboard."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, 3]; next to no contrast is none."""
        contrast = (images[:, 0] * BOARD).mean(dim=(1, 2)) * 100
        contrast = torch.where(contrast.abs() < 0.5, 0.0, contrast)
        return torch.stack([-contrast, torch.ones_like(contrast), contrast], dim=1)


def test_the_ranking_at_the_referable_grade_is_lost_with_what_it_rests_on() -> None:
    families = ("gaussian-blur", "brightness")
    world = Grades(n=90)
    values = found(GradesOfDetail(), world, make_probe("robustness", families=families, severities=(3,), referable=2))
    assert values["distorted-auroc-referable", "brightness", ""].value == 1
    blurred = distort(world.environment("same"), "gaussian-blur", 3)
    shares = GradesOfDetail()(blurred.images.read(np.arange(90))).softmax(dim=1).detach().numpy()
    expected = roc_auc_score(np.arange(90) % 3 == 2, shares[:, 2])
    assert values["distorted-auroc-referable", "gaussian-blur", "3"].value == pytest.approx(expected, abs=1e-6)
    assert expected < 0.8
    without = found(GradesOfDetail(), world, make_probe("robustness", families=families, severities=(3,)))
    assert {name for name, _, _ in values} - {name for name, _, _ in without} == {"distorted-auroc-referable"}


def test_strength_zero_leaves_every_answer() -> None:
    clean = World(n=50).environment("same")
    same = distort(clean, "gaussian-noise", 0)
    index = np.arange(50)
    assert torch.equal(same.images.read(index), clean.images.read(index))
    assert same.name == "same, gaussian-noise 0"


def test_the_model_is_read_once_clean_and_once_per_family_and_severity_however_many_probes_ask() -> None:
    network = FineDetail()
    probe = make_probe("robustness", families=("brightness", "contrast"), severities=(1, 5))
    run_probes(Model(network), Boards(n=50), {"a": probe, "b": probe, "c": make_probe("performance")})
    apart, clean = 2, 1  # whether answers are apart; the three test environments hold the same two images
    assert network.passes == apart + clean + 2 * 2


def test_values_follow_from_the_answers() -> None:
    """Every term by hand, from the model's logits on the distorted images themselves."""
    world, network = World(n=90, per_patient=2), PixelReader({"tag": 3.0, "noise": 2.0})
    values = found(
        network,
        world,
        make_probe("robustness", environment="reversed", families=("gaussian-noise",), severities=(1, 4)),
    )
    clean = world.environment("reversed")
    target = clean.table.target

    def called(environment: Environment) -> np.ndarray:
        logits = network.eval()(environment.images.read(np.arange(90))).detach().numpy()
        return (logits[:, 1] >= logits[:, 0]).astype(int)

    before = called(clean)
    errors = []
    for severity in (1, 4):
        after = called(distort(clean, "gaussian-noise", severity))
        error = np.mean(after != target)
        errors.append(error)
        at = "gaussian-noise", str(severity)
        assert values["distorted-error", *at].value == pytest.approx(error)
        assert values["distorted-error-increase", *at].value == pytest.approx(error - np.mean(before != target))
        assert values["accuracy-kept", *at].value == pytest.approx((1 - error) / np.mean(before == target))
        assert values["stability", *at].value == pytest.approx(np.mean(after == before))
    mean = values["distorted-error", "gaussian-noise", ""]
    assert mean.value == pytest.approx(np.mean(errors))
    assert (mean.n, mean.patients, mean.environment) == (90, 45, "reversed")


def test_the_standard_error_of_accuracy_kept_is_its_spread_over_repeated_data() -> None:
    """Clean and distorted answers of one patient belong together: taken apart, the error would be wide of the mark."""
    probe = make_probe("robustness", families=("gaussian-noise",), severities=(3,))
    said, values = [], []
    for first in range(60):
        one = found(PixelReader({"tag": 3.0, "noise": 4.0}), redrawn(first), probe)[
            "accuracy-kept", "gaussian-noise", "3"
        ]
        said.append(one.standard_error)
        values.append(one.value)
    assert np.mean(said) == pytest.approx(np.std(values, ddof=1), rel=0.35)  # sd of 60 draws: 9%, three of them


def redrawn(seed: int) -> World:
    """A world of other patients: targets and factors drawn again, noise of their own."""
    world = World(n=120)
    rows = world.tables["same"]
    again = rows.take(np.random.default_rng(seed).integers(len(rows), size=len(rows)))
    number = np.arange(len(rows))
    world.tables["same"] = replace(again, row=number + 1000 * seed, patient=number)
    return world


def test_families_that_gray_images_cannot_carry_are_undefined_in_words() -> None:
    values = found(
        FineDetail(), Boards(n=50), make_probe("robustness", families=("saturate", "brightness"), severities=(1, 2))
    )
    undefined = Counter(reason_words(m.reason) for m in values.values() if m.factor == "saturate")
    assert undefined == {
        "distortion 'saturate' changes colors, and the images have 1 channel: leave it out of the families": 6
    }
    assert not any(m.reason for m in values.values() if m.factor == "brightness")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"families": ["gaussian-blurr"]}, "unknown distortion 'gaussian-blurr': did you mean 'gaussian-blur'?"),
        ({"severities": [6]}, "less than or equal to 5"),
        ({"severities": [0]}, "greater than or equal to 1"),
        ({"severities": [2, 2]}, "a severity is named twice: name each once"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("?", r"\?")):
        build("probe", "robustness", given)


def test_an_environment_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError) as refused:
        found(FineDetail(), Boards(n=50), make_probe("robustness", environment="nosuch", families=("brightness",)))
    assert str(refused.value) == ("probe 'robustness': no test environment 'nosuch'; there are same, neutral, reversed")


def test_corruption_errors_are_ratios_of_sums() -> None:
    error, baseline = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.4, 0.6])
    assert corruption_error(error, baseline, Code.BASELINE_WITHOUT_ERROR).value == pytest.approx(0.5)
    assert corruption_error(baseline, baseline, Code.BASELINE_WITHOUT_ERROR).value == 1
    for code, said in (
        (Code.BASELINE_WITHOUT_ERROR, "the baseline makes no error"),
        (Code.BASELINE_NOT_WORSE, "the baseline's error does not increase"),
    ):
        assert reason_words(corruption_error(error, np.zeros(3), code).reason) == said
