"""What tells the target in plain sight: factors, columns, image properties and baselines, with intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import mannwhitneyu
from tests.worlds.files import load, small_set, spec_of
from torch.nn import functional

from assay.execution.jobs import population_of
from assay.execution.local import InProcess
from assay.execution.run import observe_nothing
from assay.execution.workspace import Workspace
from assay.look.checks import data_checks
from assay.look.cues import number_cue, shortcut_cautions, shortcut_rows
from assay.look.image_cues import cues_of, measure_images
from assay.plugin import FactorTable, RunFolder
from assay.report.sentences.reasons import chip_words, reason_words
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.stats.findings import parse_finding
from assay.store.schema import TABLES
from assay.study.confounders import ConfounderSample
from assay.study.preview import preview_tables
from assay.study.run import prepare, run_study

LARGE = "large lesion"

N = 240


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images a patient. Of the ill, `view` is AP in 0.9, of the others in 0.2; `dose` is higher, `ward` is one of
    three; their images are wider, brighter at the border and mostly JPEG. `shoe` and the middle tell nothing.
    """
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(3)
    rows = ["image,ill,who,view,dose,ward,shoe"]
    for i in range(N):
        ill = i // 2 % 2
        width = 60 + int(draw.integers(0, 30)) + 25 * ill
        pixels = draw.integers(60, 120, (64, width)).astype(np.uint8)
        pixels[:6] += np.uint8(draw.integers(0, 60) + 40 * ill)
        ending = "jpg" if draw.random() < 0.15 + 0.7 * ill else "png"
        Image.fromarray(pixels).save(folder / f"{i}.{ending}")
        view = "AP" if draw.random() < (0.9 if ill else 0.2) else "PA"
        ward = "abc"[draw.choice(3, p=[0.7, 0.2, 0.1] if ill else [0.1, 0.2, 0.7])]
        rows.append(f"{i}.{ending},{ill},p{i // 2},{view},{draw.normal() + 1.5 * ill:.4f},{ward},{draw.normal():.4f}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return folder


def study(images: Path, **data: Any) -> dict[str, Any]:
    given = {"folder": str(images), "target": "ill", "patient": "who", "size": 48,
             "factors": {"view": "categorical", "shoe": {"kind": "continuous"}}, **data}  # fmt: skip
    return {
        "name": "told",
        "data": given,
        "environments": {"train": {}, "same": {}},
        "seeds": 1,
        "probes": ["performance"],
        "recipe": {"epochs": 1},
    }


@pytest.fixture(scope="module")
def rows(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    spec = parse_study(study(images))
    root = tmp_path_factory.mktemp("run")
    return shortcut_rows(_cues(spec, Workspace(root, root / "cache")))


def _cues(spec: StudySpec, place: Workspace) -> list[Any]:
    return list(data_checks(spec.data, population_of(spec.data, place).dataset).cues)


def row(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in rows if one["name"] == name)


def test_columns_of_images_of_which_one_is_unreadable_have_the_scores_of_their_rows(tmp_path: Path) -> None:
    """Networks are compared with these scores."""
    dose = np.random.default_rng(0).normal(size=60).round(3)
    folder = small_set(tmp_path / "set", 60, extra={"dose": dose.tolist()})
    (folder / "10.png").write_bytes(b"broken")
    dataset = load(folder, skip_bad_rows=True)
    (cue,) = [cue for cue in data_checks(spec_of(folder), dataset).cues if cue.row["name"] == "dose"]
    assert cue.row["images"] == len(dataset.table) == 59
    assert np.allclose(cue.scores[1], np.delete(dose, 10))


def test_every_factor_column_property_and_baseline_is_listed(rows: list[dict[str, Any]]) -> None:
    kinds = {kind: {one["name"] for one in rows if one["kind"] == kind} for kind in ("factor", "column", "baseline")}
    assert kinds["factor"] == {"view", "shoe"}
    assert kinds["column"] == {"dose", "ward"}
    assert kinds["baseline"] == {"thumbnail of 16 x 16 pixels", "outer tenth of the image", "padding mask"}
    assert {one["name"] for one in rows if one["kind"] == "image"} >= {
        "width",
        "aspect (width / height)",
        "mean brightness",
        "contrast",
        "share of black pixels",
        "brightness of the border",
        "sharpness",
        "file format",
    } - {"share of black pixels"}
    values = [one["value"] for one in rows]
    assert values == sorted(values, reverse=True)
    assert all(set(one) == set(TABLES["shortcuts"].names) for one in rows)


def test_the_figures_are_areas_with_intervals(rows: list[dict[str, Any]], images: Path) -> None:
    table = np.genfromtxt(images / "data.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    ill = table["ill"] == 1
    area = mannwhitneyu(table["dose"][ill], table["dose"][~ill]).statistic / (ill.sum() * (~ill).sum())
    assert row(rows, "dose")["value"] == pytest.approx(area)
    view = table["view"] == "AP"
    assert row(rows, "view")["value"] == pytest.approx(
        max(0.5 + d / 2 for d in (1, -1) for d in [d * (view[ill].mean() - view[~ill].mean())])
    )
    for one in rows:
        assert one["low"] < one["value"] < one["high"] or one["value"] == 1
    for name in ("view", "dose", "file format", "width", "brightness of the border", "padding mask"):
        assert row(rows, name)["low"] > 0.65, name
    assert row(rows, "shoe")["low"] < 0.5
    assert row(rows, "ward")["low"] > 0.6
    assert row(rows, "outer tenth of the image")["low"] > 0.8
    assert row(rows, "view")["patients"] == N // 2


def test_strong_ones_are_doubts_of_the_preview(images: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    spec = parse_study(study(images))
    population = population_of(spec.data, Workspace(tmp_path, tmp_path / "cache"))
    preview = preview_tables(spec, population, tmp_path / "preview")
    assert preview["shortcuts"] == rows
    assert set(shortcut_cautions(rows)) <= {parse_finding(row).reason for row in preview["findings"]}
    (said,) = shortcut_cautions(rows)
    words = reason_words(said)
    assert words.startswith("without a network, the target is predicted by the image's width (AUROC 0.9")
    more = sum(row["strong"] for row in rows) - 5
    assert words.endswith(f"and {more} more; a network may learn a simple cue instead")
    assert chip_words(said).endswith(f"by the image's width: AUROC {rows[0]['value']:.2f}")
    assert ConfounderSample.at(spec, population).sample.size  # the pictures are as they were


def test_labels_that_nothing_tells_give_no_caution(images: Path, tmp_path: Path) -> None:
    """The same images with labels drawn anew by patient."""
    draw = np.random.default_rng(5).permutation(N // 2)
    lines = (images / "data.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    for i, line in enumerate(cells):
        line[1] = str(draw[i // 2] % 2)
    (images / "drawn.csv").write_text("\n".join([lines[0], *map(",".join, cells)]) + "\n")
    spec = parse_study(study(images, table="drawn.csv"))
    found = shortcut_rows(_cues(spec, Workspace(tmp_path, tmp_path / "cache")))
    assert len(found) > 10
    assert not any(one["strong"] for one in found)
    assert not list(shortcut_cautions(found))


def test_of_two_levels_the_direction_is_the_level_that_the_class_has(rows: list[dict[str, Any]]) -> None:
    assert row(rows, "view")["direction"] == "AP"


def test_a_level_of_its_own_for_every_patient_tells_nothing(images: Path, tmp_path: Path) -> None:
    spec = parse_study(study(images, factors={"who": "categorical"}, where={"shoe": {"max": 9}}))
    found = shortcut_rows(_cues(spec, Workspace(tmp_path, tmp_path / "cache")))
    assert row(found, "who")["value"] == pytest.approx(0.5)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_number_that_tells_the_target_by_middle_values_is_a_caution(classes: int, tmp_path: Path) -> None:
    """Class 1 has middle values; of two classes class 0 has either end, of three 0 and 2 are both high."""
    draw = np.random.default_rng(2)
    lines = ["image,grade,who,dose,shoe"]
    for i in range(N):
        grade = i % classes
        dose = draw.normal(0 if grade == 1 else draw.choice([-3, 3] if classes == 2 else [2]))
        Image.fromarray(draw.integers(60, 120, (32, 32)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,g{grade},p{i},{dose:.4f},{draw.normal():.4f}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    factors = {"dose": {"kind": "continuous"}}
    positive = {"positive": ["g1"]} if classes == 2 else {}
    spec = parse_study(study(tmp_path, target="grade", factors=factors, size=32, **positive))
    found = shortcut_rows(_cues(spec, Workspace(tmp_path / "run", tmp_path / "cache")))
    dose = row(found, "dose")
    assert dose["strong"]
    assert dose["value"] > 0.9
    assert dose["direction"] == ("mixed" if classes == 2 else "lower")
    assert any("'dose'" in reason_words(one) for one in shortcut_cautions(found))
    assert not row(found, "shoe")["strong"]


def test_numbers_that_tell_nothing_are_hardly_ever_cautions() -> None:
    """Bins are fitted to other patients and gain nothing by chance: strong in less than 1 of 200 sets of 40 images."""
    draw = np.random.default_rng(1)
    strong = 0
    for _ in range(200):
        target, nothing = draw.integers(0, 2, 40), draw.normal(size=40)
        table = FactorTable(
            row=np.arange(40), target=target, patient=np.arange(40), classes=("a", "b"), factors=(), columns={}
        )
        strong += bool(number_cue("image", "x", nothing, table).row["strong"])
    assert strong == 0


def test_of_several_classes_the_one_that_is_told_best_is_named(images: Path, tmp_path: Path) -> None:
    spec = parse_study(study(images, target="ward", factors={"ill": "categorical"}))
    found = row(shortcut_rows(_cues(spec, Workspace(tmp_path, tmp_path / "cache"))), "ill")
    assert found["of"] in ("a", "c")
    assert found["value"] > 0.7


def test_of_a_segmentation_lesion_area_is_what_cues_predict(tmp_path: Path) -> None:
    """Every image has a lesion, and `scanner` says whether it is large: nothing predicts the target, one cue area."""
    draw = np.random.default_rng(4)
    lines = ["image,mask,who,scanner,shoe"]
    for i in range(80):
        side = 8 if i % 2 else 20
        mask = np.zeros((48, 48), np.uint8)
        top, left = draw.integers(0, 48 - side, 2)
        mask[top : top + side, left : left + side] = 255
        Image.fromarray(draw.integers(60, 120, (48, 48)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / f"m{i}.png")
        lines.append(f"{i}.png,m{i}.png,p{i},{'AB'[i % 2]},{draw.normal():.4f}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    spec = parse_study(study(tmp_path, target="lesion", mask="mask", factors={"scanner": "categorical"}))
    found = _cues(spec, Workspace(tmp_path / "run", tmp_path / "cache"))
    assert {one.row["of"] for one in found} == {LARGE}
    assert not any(one.scores for one in found), "networks are held against cues of the target"
    rows = shortcut_rows(found)
    assert [one["name"] for one in rows if one["strong"]] == ["scanner"]
    (said,) = shortcut_cautions(rows)
    assert reason_words(said).startswith("without a network, lesion area is predicted by factor 'scanner' (AUROC 1.00")


def test_properties_are_those_of_the_files(tmp_path: Path) -> None:
    """Thin white lines of one class are gray at study size, where they would tell nothing."""
    draw = np.random.default_rng(6)
    lines = ["image,ill,who"]
    for i in range(60):
        pixels = np.kron(draw.integers(60, 120, (8, 8)), np.ones((16, 16))).astype(np.uint8)
        pixels[::16] = 250 if i % 2 else 160
        pixels[8::16] = 60 if i % 2 else 150  # as bright on average
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},p{i}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    spec = parse_study(study(tmp_path, factors={}, size=8))
    dataset = population_of(spec.data, Workspace(tmp_path / "run", tmp_path / "cache")).dataset
    assert dataset is not None
    seen, small = measure_images(dataset), measure_images(replace(dataset, in_files=None))
    np.testing.assert_allclose(seen.properties["share of nearly white pixels"][:2], [0, 8 / 128])
    pixels = np.asarray(Image.open(tmp_path / "0.png")) / 255
    for name, value in (("contrast", pixels.std()), ("mean brightness", pixels.mean())):
        assert seen.properties[name][0] == pytest.approx(value, abs=1e-5)
    rows = shortcut_rows(cues_of(dataset, None, seen))
    for name in ("share of nearly white pixels", "contrast"):
        assert row(rows, name)["value"] == 1
    found = shortcut_rows(cues_of(dataset, None, small))
    assert not row(found, "contrast")["strong"]
    assert "share of nearly white pixels" not in {one["name"] for one in found}


def test_files_of_other_depths_are_measured_on_their_own_scales(tmp_path: Path) -> None:
    lines = ["image,ill,who"]
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40), dtype=np.uint8)
        save = pixels.astype(np.uint16) * 257 if i % 2 else pixels
        Image.fromarray(save).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},p{i}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    spec = parse_study(study(tmp_path, factors={}, size=40))
    dataset = population_of(spec.data, Workspace(tmp_path / "run", tmp_path / "cache")).dataset
    assert dataset is not None
    brightness = [np.random.default_rng(i).integers(0, 256, (40, 40), dtype=np.uint8).mean() / 255 for i in range(24)]
    np.testing.assert_allclose(measure_images(dataset).properties["mean brightness"], brightness, atol=1e-3)


def test_a_phantom_has_none(tmp_path: Path) -> None:
    data = {"phantom": "nodule", "core": "margin", "target": "margin", "size": 32, "train": 20, "validation": 10,
            "test": 10}  # fmt: skip
    spec = parse_study({**study(tmp_path), "data": data})
    assert shortcut_rows(_cues(spec, Workspace(tmp_path, tmp_path / "cache"))) == []


def test_page_table_and_light_of_a_run_have_them(images: Path, tmp_path: Path) -> None:
    run_study(prepare(parse_study(study(images)), tmp_path), observe_nothing, InProcess())
    run = RunFolder(tmp_path)
    found = run.table("shortcuts")
    assert {"view", "dose", "outer tenth of the image"} <= {one["name"] for one in found}
    assert any("view" in one["reason"] for one in run.table("findings") if one["kind"] == "shortcut")
    page = (tmp_path / "report.html").read_text()
    part = page[page.index('id="shortcuts"') :]
    assert ">column</td>" in part
    assert "padding mask" in part


def edges(gray: torch.Tensor) -> torch.Tensor:
    """Histograms of oriented gradients over 8 x 8 cells of 8 directions, by `scatter_` and adaptive pooling."""
    padded = functional.pad(gray[:, None], (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    direction = torch.atan2(down, across) * (8 / torch.pi)
    below = direction.floor()
    strength, share, first = torch.hypot(down, across), direction - below, below.long() % 8
    sums = torch.zeros(len(gray), 8, *gray.shape[1:]).scatter_(1, first, strength * (1 - share))
    cells = functional.adaptive_avg_pool2d(sums.scatter_(1, (first + 1) % 8, strength * share), 8)
    around = functional.avg_pool2d(cells.square().sum(dim=1, keepdim=True), 3, 1, 1)
    return (cells / (around.sqrt() + 0.01)).flatten(1)


@pytest.mark.parametrize("side", [(96, 96), (50, 96)])
def test_features_are_those_of_pytorch(side: tuple[int, int], tmp_path: Path) -> None:
    """At a side that squares do not divide, features are sums over parts of them."""
    coarse = torch.rand(40, 3, 7, 9, generator=torch.Generator().manual_seed(side[0]))
    pictures = (255 * functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)).byte()
    rows = ["image,ill,who", *(f"{at}.png,{at % 2},p{at}" for at in range(40))]
    for at, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"{at}.png")
    (tmp_path / "data.csv").write_text("\n".join(rows))
    data = parse_study(study(tmp_path, size=96, factors={})).data
    dataset = population_of(data, Workspace(tmp_path / "run", tmp_path / "cache")).dataset
    assert dataset is not None
    seen = measure_images(dataset)
    images = pictures.float() / 255
    ring = np.ones((20, 20), dtype=bool)
    ring[2:-2, 2:-2] = False
    wanted = {
        "thumbnail of 16 x 16 pixels": functional.adaptive_avg_pool2d(images, 16).flatten(1),
        "outer tenth of the image": functional.adaptive_avg_pool2d(images, 20)[:, :, torch.as_tensor(ring)].flatten(1),
        "edges by direction": edges(images.mean(dim=1)),
    }
    assert seen.features.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(seen.features[name], values.numpy(), atol=1e-5, err_msg=name)


def test_of_cues_that_round_alike_a_column_is_first() -> None:
    rows = [
        ("image", "saturation", 0.999),
        ("factor", "site", 0.996),
        ("image", "contrast", 1.0),
        ("factor", "sex", 0.6),
    ]
    table = FactorTable(np.arange(80), np.arange(80) % 2, np.arange(80), ("no", "yes"), (), {})
    any_cue = number_cue("image", "contrast", np.arange(80.0), table)
    cues = [replace(any_cue, row={"kind": kind, "name": name, "value": value}) for kind, name, value in rows]
    assert [row["name"] for row in shortcut_rows(cues)] == ["site", "contrast", "saturation", "sex"]
