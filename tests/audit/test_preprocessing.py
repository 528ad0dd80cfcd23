"""A model from elsewhere: its framing and scaling, and what is said where they do not fit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.worlds.files import save, write_table
from torch import nn

import assay
from assay.audit.model import config_of, misreading_signs
from assay.plugin import FactorTable, ReadingError, SpecError

HIGH, WIDE, SIZE = 16, 48, 16


def wide_set(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Photographs three times as wide as high; the upper quarter of those of class 1 is brighter."""
    draws = np.random.default_rng(seed)
    rows: list[list[object]] = [["image", "label"]]
    for at in range(40):
        pixels = draws.integers(60, 120, (HIGH, WIDE), dtype=np.uint8)
        pixels[: HIGH // 4] += np.uint8(80 * (at % 2))
        save(folder / f"{at}.png", pixels)
        rows.append([f"{at}.png", at % 2])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "label", "size": SIZE}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of another version of the code are not read."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


class Top(nn.Module):
    """Trained on squashed images: it calls those whose upper quarter is bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * (images[:, :, : SIZE // 4].mean((1, 2, 3)) - 0.5)


def value(found: Any, measure: str) -> float:
    (row,) = found.table().query(f"measure == '{measure}' and factor == '' and group == ''").to_dict("records")
    return float(row["value"])


def test_a_model_of_squashed_images_is_told_apart_from_a_bad_one(tmp_path: Path) -> None:
    data = wide_set(tmp_path)
    with pytest.warns(UserWarning, match="the same output") as heard:
        padded = assay.probe(Top(), data, expect=1.0, progress=False)
    assert value(padded, "accuracy") == 0.5
    assert [str(one.message) for one in heard] == list(padded.doubts)
    said = " ".join(padded.doubts)
    assert "the same output" in said
    assert "the AUROC is 0.50 where 1.00 was expected" in said
    for cause in ("data.fit: pad, squash or crop", "mean and std", "RGB or BGR"):
        assert cause in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        squashed = assay.probe(Top(), {**data, "fit": "squash"}, expect=1.0, progress=False)
    assert value(squashed, "accuracy") == 1
    assert squashed.doubts == ()


def test_an_output_that_calls_nearly_all_images_alike_is_reported(tmp_path: Path) -> None:
    class Low(Top):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) - 30

    with pytest.warns(
        UserWarning,
        match=r"the model calls 40 of 40 images 'not label' at its threshold \(sensitivity 0\), and 20 are",
    ):
        assay.probe(Low(), {**wide_set(tmp_path), "fit": "squash"}, progress=False)


def test_an_output_that_calls_all_images_the_commonest_class_is_reported() -> None:
    """Of 100 images 92 are negative; a model that finds half of the others is not a sign of anything."""
    target = np.array([1] * 8 + [0] * 92)
    table = FactorTable(row=np.arange(100), target=target, patient=np.arange(100), classes=("no", "yes"))
    varied = np.linspace(-4.2, -3.8, 100)[:, None]
    (found,) = misreading_signs(varied, table, None, None)
    assert found.startswith(
        "all images are assigned one class: the model calls 100 of 100 images 'no' at its threshold (sensitivity 0)"
    )
    some = np.where(np.arange(100) < 2, 4.0, -4.0)[:, None] + varied / 100
    assert misreading_signs(some, table, None, None) == []
    alone = FactorTable(row=np.arange(100), target=0 * target, patient=np.arange(100), classes=("no", "yes"))
    assert misreading_signs(varied, alone, None, None) == []


def test_an_expectation_is_met_within_its_interval(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            low = images[:, :, SIZE // 2 :].mean((1, 2, 3))
            return 2000 * (low - 0.352)

    data = {**wide_set(tmp_path), "fit": "squash"}
    here = value(assay.probe(Noisy(), data, progress=False), "auroc")
    assert 0.3 < here < 0.9
    assert not any("expected" in one for one in said_of(Noisy(), data, expect=here))
    assert any("expected" in one for one in said_of(Noisy(), data, expect=0.99))
    with pytest.raises(SpecError, match=r"expect is an AUROC in 0\.\.1, not 93"):
        assay.probe(Noisy(), data, expect=93, progress=False)


def said_of(module: nn.Module, data: dict[str, Any], **more: Any) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return assay.probe(module, data, progress=False, **more).doubts


class Timm(nn.Module):
    """Has a config as timm's models do; its logit is the mean of the scaled image."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.seen = torch.zeros(0)
        self.pretrained_cfg = {
            "input_size": (3, 16, 16), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "crop_mode": "center",
            "crop_pct": 1.0, **config,
        }  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        return self.conv(images).mean((1, 2, 3))


def test_preprocessing_of_a_timm_model_is_taken_from_its_config_and_said(tmp_path: Path) -> None:
    data = wide_set(tmp_path)
    del data["size"]
    model = Timm()
    (said, *_) = said_of(model, data)
    assert said.startswith(
        "taken from the config of this model: data.size: 16, data.channels: color, data.fit: crop, scaling by "
        "mean 0.5, 0.4, 0.3, std 0.2, 0.2, 0.1"
    )
    assert model.seen.shape[1:] == (3, 16, 16)
    red, _, blue = (model.seen[0, at] for at in range(3))
    torch.testing.assert_close(0.2 * red + 0.5, 0.1 * blue + 0.3)
    assert not model._forward_pre_hooks


def test_what_data_say_is_kept_and_none_takes_nothing(tmp_path: Path) -> None:
    data = {**wide_set(tmp_path), "fit": "squash", "channels": "color"}
    assert "data." not in said_of(Timm(), data)[0].split("scaling")[0]
    assert not any("config" in one for one in said_of(Timm(), data, preprocessing="config"))
    plain = Timm()
    assert not any("config" in one for one in said_of(plain, data, preprocessing="none"))
    assert 0 <= float(plain.seen.min()) <= float(plain.seen.max()) <= 1
    with pytest.raises(SpecError, match="this model has no config"):
        assay.probe(Top(), data, preprocessing="config", progress=False)


def test_framing_is_taken_for_data_with_masks_boxes_or_mm_unless_these_rule_it_out(tmp_path: Path) -> None:
    crop, squash = (config_of(Timm(crop_mode=mode)) for mode in ("center", "squash"))
    assert crop is not None
    assert squash is not None
    masked = {"folder": "x", "mask": "mask", "boxes": "boxes.csv", "pixel_size": "mm"}
    assert crop.complete_data(masked) == {"size": 16, "channels": "color", "fit": "crop", **masked}
    assert crop.complete_data({"folder": "x", "table": "annotations.json"})["fit"] == "crop"
    assert crop.complete_data({"dataset": {"fuseg": {"folder": "x"}}})["fit"] == "crop"
    assert squash.complete_data({"folder": "x", "mask": "mask"})["fit"] == "squash"
    assert crop.complete_data({**masked, "fit": "pad"})["fit"] == "pad"
    ruled_out: tuple[tuple[Any, dict[str, Any], str], ...] = (
        (squash, masked, "pixel_size"),
        (crop, {"dataset": {"lidc": {"folder": "x"}}}, "dataset"),
        (crop, {"dataset": "lidc"}, "dataset"),
        (crop, {"dataset": {"my_sets:load": {}}}, "dataset"),
    )
    for config, data, key in ruled_out:
        filled = config.complete_data(data)
        assert "fit" not in filled
        assert f"but not data.fit: {config.data['fit']}, which data.{key} rules out;" in config.describe(
            data, filled, True
        )


def test_images_with_masks_are_cropped_as_the_config_says(tmp_path: Path) -> None:
    data = wide_set(tmp_path)
    (tmp_path / "masks").mkdir()
    rows: list[list[object]] = [["image", "label", "mask"]]
    for at in range(40):
        mask = np.zeros((HIGH, WIDE), dtype=np.uint8)
        mask[2:10, 0 if at == 1 else 20 : 8 if at == 1 else 28] = 255 * (at % 2)
        save(tmp_path / "masks" / f"{at}.png", mask)
        rows.append([f"{at}.png", at % 2, f"masks/{at}.png"])
    write_table(tmp_path / "data.csv", rows)
    model = Timm()
    said = said_of(model, {**data, "mask": "mask"})
    assert "data.fit: crop" in said[0]
    assert float(model.seen[:, 0].min()) > (0.2 - 0.5) / 0.2  # no black padding


def test_a_real_timm_model_is_given_its_config(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("resnet10t", num_classes=2)
    said = said_of(network, wide_set(tmp_path))[0]
    assert "data.fit: crop, data.crop_share: 0.875" in said
    assert "mean 0.485, 0.456, 0.406" in said


def test_a_network_of_one_channel_takes_the_averages_of_its_config(tmp_path: Path) -> None:
    data = wide_set(tmp_path)
    del data["size"]
    model = Timm()
    model.conv = nn.Conv2d(1, 1, 1)
    (said, *_) = said_of(model, data)
    assert said.startswith(
        "taken from the config of this model: data.size: 16, data.channels: gray, data.fit: crop, scaling by "
        "mean 0.4, std 0.166667"
    )
    assert float(model.seen.min()) < 0
    model.conv = nn.Conv2d(4, 1, 1)
    model.forward = Top().forward
    (said, *_) = said_of(model, {**data, "size": SIZE})
    assert said == (
        "settings that come with the model were not used: the config of this model does not fit: its mean and std have "
        "3 values each, and the network takes 4 channels"
    )
    with pytest.raises(SpecError, match="the network takes 4 channels"):
        assay.probe(model, {**data, "size": SIZE}, preprocessing="config", progress=False)


def test_gray_images_into_a_network_of_three_channels_name_the_key(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, SIZE), nn.Flatten())
    with pytest.raises(ReadingError, match="they are gray, and its first layer takes 3 channels; give channels=color"):
        assay.probe(network, wide_set(tmp_path), progress=False)


@pytest.mark.parametrize("named", [{"data": "mine.yaml"}, {"data": {"folder": "."}, "validation": "mine.yaml"}])
def test_a_path_in_the_place_of_a_mapping_is_refused_with_its_remedy(named: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"there is no file mine\.yaml"):
        assay.probe(nn.Identity(), **named, progress=False)


def test_images_of_the_training_are_processed_as_those_of_the_audit_are(tmp_path: Path) -> None:
    sets: list[dict[str, Any]] = []
    for name in ("tested", "trained"):
        (tmp_path / name).mkdir()
        sets.append(wide_set(tmp_path / name, len(sets)))
        for file in sorted((tmp_path / name).glob("*.png")):
            pixels = np.array(Image.open(file))
            pixels[:, : WIDE // 4] = pixels[:, -WIDE // 4 :] = 0  # out of the field of view
            save(file, pixels)
    edges = list[float]()

    def model(images: np.ndarray) -> np.ndarray:
        edges.extend(images.max((1, 2))[:, [0, -1]].min(1).tolist())  # of the outer columns, the darker one
        return 20 * (images[..., : SIZE // 4, :].mean((1, 2, 3)) - 0.3)

    tested, trained = sets
    tested |= {"preprocessing": ["circle-crop"], "fit": "squash"}
    assay.audit(model, tested, train=trained, marks={}, distortions=[], scores="logits", as_given=True, progress=False)
    assert len(edges) > 80, "images of the training were scored, too"
    assert 0.0 not in edges, "black columns beside the field of view were cut off"
