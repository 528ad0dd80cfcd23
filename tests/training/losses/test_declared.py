"""What a spec may say of a loss: defaults, refusals with their texts, and no torch to find out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from assay.plugin import Component, SpecError, entries, lookup

NAMES = (
    "arcface", "circle", "cross-entropy", "cross-entropy-supcon", "focal",
    "label-smoothing", "lifted-structure", "n-pair", "normalized-softmax", "nt-xent", "pairwise-contrastive", "supcon",
    "triplet", "weighted-cross-entropy",
)  # fmt: skip
FOR_SEGMENTATION = (
    "boundary", "cross-entropy-dice", "dice", "hausdorff", "mcc", "tversky", "weighted-sum",
)  # fmt: skip
"""Those that serve segmentation alone."""
WITHOUT_LABELS = ("moco", "vicreg")
"""Beside nt-xent."""


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("supcon", {"temperature": 0}, "Input should be greater than 0"),
        ("supcon", {"temperature": float("nan")}, "Input should be a finite number"),
        ("supcon", {"temprature": 0.1}, "Extra inputs are not permitted"),
        ("supcon", {"head": "before"}, "Input should be 'after' or 'joint'"),
        ("supcon", {"projection": "mpl"}, "Input should be 'none', 'linear' or 'mlp'"),
        ("cross-entropy", {"weight": 2}, "Extra inputs are not permitted"),
        ("label-smoothing", {"smoothing": 1}, "Input should be less than 1"),
        ("focal", {"gamma": -1}, "Input should be greater than or equal to 0"),
        ("triplet", {"mining": "easy"}, "Input should be 'semi-hard' or 'hard'"),
        ("pairwise-contrastive", {"margin": -1}, "Input should be greater than 0"),
        ("arcface", {"margin": 28.6}, "Input should be less than 1.5707963"),
        ("circle", {"margin": 1.5}, "Input should be less than 1"),
        ("dice", {"smoothing": -1}, "Input should be greater than or equal to 0"),
        ("dice", {"reduce": "pixel"}, "Input should be 'image' or 'batch'"),
        ("boundary", {"reduce": "batch"}, "Extra inputs are not permitted"),
        (
            "supcon",
            {"embedding": 8},
            "embedding: 8 has no effect without a projection: set projection to linear or mlp, or leave embedding out",
        ),
        (
            "cross-entropy-supcon",
            {"embedding": 8},
            "embedding: 8 has no effect without a projection: set projection to linear or mlp, or leave embedding out",
        ),
        (
            "triplet",
            {"weight": 0.5},
            "weight: 0.5 weighs the cross-entropy of `head: joint` and has no effect under `head: after`: "
            "set head to joint, or leave weight out",
        ),
        (
            "triplet",
            {"soft": True, "margin": 0.5},
            "margin: 0.5 has no effect with soft: true: leave margin out, or set soft to false",
        ),
    ],
)
def test_wrong_arguments_are_refused(name: str, params: dict[str, Any], text: str) -> None:
    entry = lookup("loss", name)
    with pytest.raises(ValidationError) as error:
        entry.validate(params)
    assert text in str(error.value)


def test_a_near_miss_names_the_loss_that_was_meant() -> None:
    with pytest.raises(SpecError, match=r"^unknown loss 'supcn': did you mean 'supcon'\?$"):
        lookup("loss", "supcn")


def test_a_value_equal_to_its_default_leaves_the_spec() -> None:
    spelt_out = Component(kind="loss", name="triplet", params={"margin": 0.2, "mining": "semi-hard", "head": "after"})
    assert spelt_out.model_dump() == "triplet"
    assert Component(kind="loss", name="supcon", params={"temperature": 0.05}).label == "supcon(temperature=0.05)"


def test_every_argument_says_what_it_is() -> None:
    registered = {entry.name: entry for entry in entries("loss")}
    for name in (*NAMES, *FOR_SEGMENTATION, *WITHOUT_LABELS):
        assert registered[name].summary
        for field, info in registered[name].params.model_fields.items():
            assert info.description, f"{name}: {field}"


def test_a_wrong_argument_of_a_loss_is_refused_without_its_code() -> None:
    code = (
        "import sys\nfrom assay.core.registry import lookup\n"
        "for name, given in (('triplet', {'margin': 0}), ('dice', {'smoothing': 'x'}), ('supcon', {'heat': 1})):\n"
        "    try:\n        lookup('loss', name).params.model_validate(given)\n"
        "    except ValueError:\n        print(name)\n"
        "sys.exit(bool({'torch', 'scipy', 'monai', 'segmentation_models_pytorch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["triplet", "dice", "supcon"])
