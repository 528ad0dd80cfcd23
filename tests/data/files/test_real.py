"""The real sets load, count what their card states, and hold no copies across patients."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.cases import first_of

from assay.data.public.sets import PREPARED
from assay.data.splits import assign_folds
from assay.plugin import ArrayCache, Dataset, DataSpec, FactorSpec, SplitSpec, load_dataset
from assay.shifts.file_rows import FilePopulation
from assay.spec.schema import EnvironmentSpec

CROPS = EnvironmentSpec(crop="lesion-free")
ASSETS = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))

pytestmark = [
    pytest.mark.assets,
    pytest.mark.skipif(not ASSETS.is_dir(), reason="no real images: set ASSAY_ASSETS"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ArrayCache:
    return ArrayCache(tmp_path_factory.mktemp("cache"))


SETS: dict[str, tuple[dict[str, object], str]] = {
    "lung-nodule": (
        {"target": "malignant", "mask": "mask", "patient": "patient", "pixel_size": "pixel_mm"},
        "1,990 images of 788 patients: not malignant 1,336, malignant 654",
    ),
    "chest-xray": ({"target": "finding", "patient": "patient"}, "1,605 images of 1,281 patients"),
    "dermoscopy": ({"target": "melanoma"}, "1,491 images, patients not named: not melanoma 1,000, melanoma 491"),
    "fundus": ({"target": "grade", "patient": "patient"}, "1,740 images of 846 patients: 0 1,017, 1 268, 2 345, 3 75"),
    "foot-ulcer": ({"target": "lesion", "mask": "mask"}, "985 images, patients not named: absent 23, present 962"),
    "polyp": ({"target": "kind", "mask": "mask"}, "220 images, patients not named: lesion-free 20, polyp 200"),
}


def load(name: str, cache: ArrayCache, **fields: object) -> Dataset:
    spec = {"folder": str(ASSETS / name), "size": 32, **SETS[name][0], **fields}
    return load_dataset(DataSpec.model_validate(spec), cache)


@pytest.mark.parametrize("name", first_of(SETS))
def test_a_real_set_is_what_its_card_says(name: str, cache: ArrayCache) -> None:
    dataset = load(name, cache)
    assert SETS[name][1] in dataset.card.summary
    assert dataset.card.license == PREPARED[name].license
    assert set(PREPARED[name].faults) <= set(dataset.card.known_faults)
    assert dataset.card.left_out == ()


def test_every_lung_nodule_keeps_its_lesion_and_is_tested_once(cache: ArrayCache) -> None:
    dataset = load("lung-nodule", cache, factors={"diameter_mm": FactorSpec(unit="mm")})
    assert dataset.masks is not None
    assert dataset.masks.read(np.arange(1990)).flatten(1).any(dim=1).all()
    assert (dataset.scale.unit, dataset.scale.low, dataset.scale.high) == ("HU", -1000, 400)
    folds = assign_folds(dataset.table, 5, 0)
    malignant = [int(dataset.table.target[folds == fold].sum()) for fold in range(5)]
    assert max(malignant) - min(malignant) <= 2  # 654 over 5


def test_all_lesion_free_photographs_of_feet_can_be_held_for_tests(cache: ArrayCache) -> None:
    """The makers' validation photographs test, and all 23 without an ulcer do, whichever part they were in."""
    split = SplitSpec(column="split", means={"validation": "test"}, test_only={"lesion": ["absent"]})
    files = FilePopulation(DataSpec(folder="", split=split), lambda: load("foot-ulcer", cache, split=split))
    free = np.flatnonzero(files.dataset.table.target == 0)
    assert len(free) == 23
    for seed in (0, 1):
        found = files.parts(seed, 0)
        assert len(found.test) == 187 + 23
        assert set(free.tolist()) <= set(found.test.tolist())
    scene = files.scene({"free": EnvironmentSpec(where={"lesion": ["absent"]}), "crops": CROPS}, 0)
    assert len(scene.environment("free")) == 23
    crops = scene.environment("crops")
    assert crops.notes[0].startswith(f"{187 - len(crops)} of 187 lesion photographs have no window of half their side")
    assert len(crops) > 187 / 2


def test_polyps_and_lesion_free_frames_are_told_by_their_masks(cache: ArrayCache) -> None:
    dataset = load("polyp", cache, target="lesion")
    assert int((dataset.table.target == 0).sum()) == 20
    assert dataset.native is not None
    assert (dataset.native == (320, 256)).all()
