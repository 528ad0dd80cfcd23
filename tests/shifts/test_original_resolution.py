"""Interventions at the files' resolution: published changes of gray levels, marks, the cache, refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.cases import first_of

from assay.plugin import ArrayCache, ChangedImages, DataSpec, Environment, SpecError, load_dataset
from assay.shifts.intervention import changes_of
from assay.shifts.population import Population
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study

SIZE, SIDE = 1024, 224
Pixels = NDArray[np.float64]


def one_over_f(seed: int, deviation: float) -> Pixels:
    """An image of amplitude 1 / frequency, with this standard deviation about middle gray."""
    f = radius(SIZE)
    f[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    image = np.fft.ifft2(np.fft.fft2(noise) / f).real
    return 128 + deviation * image / image.std()


def radius(size: int) -> Pixels:
    cycles = np.fft.fftfreq(size, 1 / size)
    return np.hypot(cycles[:, None], cycles)


def nearest(image: Any) -> Pixels:
    """The call of Keras."""
    return np.asarray(
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    )


def written(folder: Path, images: Sequence[NDArray[np.unsignedinteger[Any]]]) -> Path:
    folder.mkdir(parents=True)
    for at, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{at}.png")
    rows = range(len(images))
    pd.DataFrame({"image": [f"{at}.png" for at in rows], "target": [at % 2 for at in rows]}).to_csv(
        folder / "data.csv", index=False
    )
    return folder


def study(folder: Path, interventions: dict[str, Any], /, **data: Any) -> dict[str, Any]:
    own = {"folder": str(folder), "target": "target", "size": SIDE, "resize": "nearest", "split": {"folds": 3}, **data}
    return {
        "name": "a",
        "data": {key: value for key, value in own.items() if value is not None},
        "environments": {"train": {}, "test": {"interventions": interventions}},
    }


def population(spec: dict[str, Any], folder: Path) -> tuple[Population, Any]:
    parsed = parse_study(spec)
    return open_population(parsed.data, ArrayCache(folder / "cache")), parsed.points[0].tests


def environment_of(folder: Path, interventions: dict[str, Any], **data: Any) -> Environment:
    """All rows, whichever fold tests them."""
    made, tests = population(study(folder, interventions, **data), folder)
    return made.test_environment("test", tests["test"], 0, 0)


def levels(images: Any) -> Pixels:
    return images.read(np.arange(len(images))).numpy()[:, 0].astype(float) * 255


def rms(difference: Pixels) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def test_the_published_low_pass_changes_the_input_by_aliasing(tmp_path: Path) -> None:
    """A disc of 500 bins at 1,024 px and then nearest: 6.2 gray levels on a 1/f image of deviation 17."""
    images = [np.rint(one_over_f(seed, 17)).clip(0, 255).astype(np.uint8) for seed in range(3)]
    folder = written(tmp_path / "set", images)
    low = {"low-pass": {"cutoff": 500 / 1024, "share": 1, "apply_at": "original"}}
    kept = radius(SIZE) <= 250
    published = [nearest(np.rint(np.fft.ifft2(np.fft.fft2(image) * kept).real)) for image in images]
    made = levels(environment_of(folder, low).images)
    assert np.abs(made - np.stack(published)).max() < 1.001  # one level, where a rounding is near a half
    plain = levels(environment_of(folder, {}).images)
    assert plain[0] == pytest.approx(nearest(images[0]), abs=1e-3)
    assert rms(made - plain) == pytest.approx(6.2, abs=0.2)
    # of the antialiased image hardly anything is left to change
    smooth = rms(
        levels(environment_of(folder, low, resize="bilinear").images)
        - levels(environment_of(folder, {}, resize="bilinear").images)
    )
    assert smooth < 0.5


def test_the_published_noise_at_both_numbers_of_photons(tmp_path: Path) -> None:
    """2e7 photons on every image: 1.83 levels; 1.5e7 on marked ones, as 6e7 more: 2.10."""
    folder = written(tmp_path / "set", [np.full((512, 512), 125 + at, np.uint8) for at in range(6)])
    photons = {"component": {"poisson-noise": {"photons": 2e7}}, "share": 1, "apply_at": "original"}
    more = {"photons": 6e7, "levels": 0, "share": {"positive": 1, "negative": 0}, "apply_at": "original"}
    noisy = environment_of(folder, {"poisson-noise": more, "scan-noise": photons})
    noise = levels(noisy.images) - (125 + np.arange(6))[:, None, None]
    marked = noisy.table.columns["poisson-noise"] == 1
    assert marked.tolist() == [False, True] * 3
    assert noise[~marked].std() == pytest.approx(1.83, abs=0.01)
    assert noise[marked].std() == pytest.approx(2.10, abs=0.01)


def pictures(folder: Path, deep: bool = False) -> Path:
    """Pictures of three shapes, in color or of 16 bits."""
    draws = np.random.default_rng(0)
    shapes = [(300, 500), (400, 400), (500, 250)] * 2
    if deep:
        return written(folder, [draws.integers(0, 65536, shape).astype(np.uint16) for shape in shapes])
    return written(folder, [draws.integers(60, 200, (*shape, 3)).astype(np.uint8) for shape in shapes])


TAG: dict[str, Any] = {"size": 0.3, "apply_at": "original", "share": {"positive": 1, "negative": 0}}
HEX = 24 * "?"
LOW = {"low-pass": {"cutoff": 0.5, "apply_at": "original", "share": 0.5}}


@pytest.mark.parametrize("how", first_of(["nearest", "area", "bilinear"]))
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("fit", [{}, {"fit": "squash"}, {"fit": "crop", "crop_share": 0.8}])
def test_a_mark_lies_in_its_mask_and_nowhere_else(tmp_path: Path, how: str, deep: bool, fit: dict[str, Any]) -> None:
    folder = pictures(tmp_path / "set", deep)
    own: dict[str, Any] = {"resize": how, "size": 64, **fit}
    made = environment_of(folder, {"tag": TAG}, **own)
    plain = environment_of(folder, {}, **own)
    every = np.arange(6)
    (change,) = changes_of(made.images)
    before, after, mask = plain.images.read(every), made.images.read(every), change.mask(every)
    differs = (before != after).any(dim=1, keepdim=True)
    assert not differs[~torch.as_tensor(change.marked)].any(), "an unmarked row is the very same"
    assert torch.equal(differs.flatten(1).any(dim=1), torch.as_tensor(change.marked))
    assert not (differs & ~mask).any()
    assert mask.flatten(1).float().mean() < 0.3
    # the very mark that is drawn at the original size, as counterfactuals are
    on = ChangedImages(plain.images, [change.on(True)]).read(every)
    assert torch.equal(on[change.marked], after[change.marked])
    assert (on != before).flatten(1).any(dim=1).all()


def test_changes_at_the_input_follow_and_both_are_drawn_again_alike(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set")
    both = {**LOW, "blur": {"sigma": 0.02, "share": 1}}
    first = environment_of(folder, both, size=64)
    low, blur = changes_of(first.images)[::-1]
    assert (low.name, low.original is None, blur.original is None) == ("low-pass", False, True)
    every = np.arange(6)
    alone = environment_of(folder, LOW, size=64)
    assert torch.equal(first.images.read(every), blur.apply(alone.images.read(every), every))
    built = {path.name: path.stat().st_mtime_ns for path in (folder / "cache").glob(f"images-{HEX}.npy")}
    assert len(built) == 2  # as they are, and the low-passed rows alone
    again = environment_of(folder, both, size=64)
    assert torch.equal(again.images.read(every[::-1].copy()), first.images.read(every).flip(0))
    some = environment_of(folder, {"low-pass": {**LOW["low-pass"], "cutoff": 0.4}}, size=64)
    assert not torch.equal(some.images.read(every), alone.images.read(every))
    names = {path.name: path.stat().st_mtime_ns for path in (folder / "cache").glob(f"images-{HEX}.npy")}
    assert len(names) == 3, "arguments are in the key"
    assert built.items() <= names.items(), "nothing is built twice"


def test_a_changed_file_is_another_study_where_its_resized_pixels_are_the_same(tmp_path: Path) -> None:
    image = np.full((512, 512), 100, np.uint8)
    first = written(tmp_path / "first", [image + np.uint8(at) for at in range(6)])
    image[1, 1] = 0  # between the pixels that are kept
    second = written(tmp_path / "second", [image + np.uint8(at) for at in range(6)])
    identities: list[tuple[str, str]] = []
    for folder in (first, second):
        made, tests = population(study(folder, LOW, size=64), folder)
        assert made.dataset is not None
        identities.append((made.dataset.content, made.identity(tests["test"])["files"]))
    assert identities[0][0] == identities[1][0]
    assert identities[0][1] != identities[1][1]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"resize": None}, "nothing says how images, changed or not, are resized\n  add data.resize: nearest"),
        (
            {"preprocessing": ["circle-crop"]},
            "data.preprocessing (circle-crop) decides the picture after it was decoded",
        ),
        (
            {"folder": None, "target": None, "split": None, "resize": None, "phantom": "nodule", "core": "margin"},
            "these images are drawn or cut at the study's size and have no other resolution\n  leave apply_at out",
        ),
        ({"resize": "cubic"}, "'cubic'"),
    ],
)
def test_what_has_no_original_resolution_is_refused_with_its_line(
    tmp_path: Path, data: dict[str, Any], text: str
) -> None:
    folder = written(tmp_path / "set", [np.full((64, 64), at, np.uint8) for at in range(6)])
    with pytest.raises(SpecError, match=re.escape(text)):
        parse_study(study(folder, LOW, **data))


def test_changed_images_of_16_bits_are_kept_by_the_range_that_they_are_shown_over(tmp_path: Path) -> None:
    draws, cache = np.random.default_rng(0), ArrayCache(tmp_path / "cache")
    dim, bright = (
        DataSpec(folder=str(written(tmp_path / name, images)), target="target", size=8, resize="bilinear")
        for name, images in (
            (name, [draws.integers(0, most, (16, 16)).astype(np.uint16) for _ in range(6)])
            for name, most in (("dim", 4096), ("bright", 16384))
        )
    )
    alone = load_dataset(dim, cache)
    beside = load_dataset(dim, cache, like=load_dataset(bright, cache))
    for dataset in (alone, beside):
        assert dataset.original is not None
        same = dataset.original.changed(lambda picture, position: picture, ["none"] * 6)
        np.testing.assert_allclose(levels(same), levels(dataset.images), atol=0.1)


def test_a_dose_is_applied_where_it_says_and_the_grid_sets_the_share_of_another_change(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", [np.full((64, 64), at, np.uint8) for at in range(6)])
    spec = study(folder, {})
    train = {
        "dose": {"confounder": ["tag", "low-pass"], "p": [0, 1], "apply_at": "original"},
        "interventions": {"haze": {"component": "blur", "share": 0}},
    }
    spec["environments"] = {"train": train, "test": {"like": "train"}}
    spec["grid"] = {"set": [{"where": {"confounder": "low-pass"}, "environments.train.interventions.haze.share": 1}]}
    for point in parse_study(spec).points:
        for environment in (point.train, point.tests["test"]):
            confounder = point.coordinates["confounder"]
            assert environment.interventions[confounder].apply_at == "original"
            assert environment.interventions["haze"].apply_at == "input"
            assert environment.interventions["haze"].share == (confounder == "low-pass")
    spec["grid"] = {"set": [{"where": {"confounder": "low-pass"}, "environments.test.rows": 1}]}
    with pytest.raises(SpecError, match=r"no such value of the recipe or of environments\.train to change"):
        parse_study(spec)
