"""Images and tables in memory: the same rows, identity and errors as of a folder."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.files import save, write_table
from torch import nn

import assay
from assay.data.files.in_memory import on_disk
from assay.plugin import ArrayCache, DataError, Dataset, SpecError, load_dataset
from assay.spec.parse import parse_study
from assay.spec.request import parse_request

SIDE = 16
KEYS: dict[str, Any] = {"target": "malignant", "patient": "who", "size": SIDE, "factors": {"age": "continuous"}}


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def pictures(count: int = 12) -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 255, (SIDE, SIDE), dtype=np.uint8) for _ in range(count)]


def as_files(folder: Path) -> pd.DataFrame:
    """Write a folder with a CSV; return the same table."""
    rows: list[list[object]] = [["image", "malignant", "who", "age"]]
    for at, pixels in enumerate(pictures()):
        save(folder / "pngs" / f"{at}.png", pixels)
        rows.append([f"pngs/{at}.png", at % 2, f"p{at // 2}", 40 + at])
    write_table(folder / "data.csv", rows)
    return pd.DataFrame(rows[1:], columns=[str(name) for name in rows[0]])


def loaded(data: Any, tmp_path: Path, **more: Any) -> Dataset:
    request = parse_request({**on_disk(data), **more}, {"all": {}}, ["performance"])
    return load_dataset(request.data, ArrayCache(tmp_path / "arrays"))


class Items:
    """A dataset of PyTorch, by its two methods."""

    def __init__(self, items: list[Any], classes: list[str] | None = None) -> None:
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_data_frame_is_read_as_its_table(tmp_path: Path) -> None:
    frame = as_files(tmp_path / "set")
    wanted = loaded({"folder": str(tmp_path / "set"), **KEYS}, tmp_path)
    by_folder = loaded({"table": frame, "folder": str(tmp_path / "set"), **KEYS}, tmp_path)
    absolute = frame.assign(image=[tmp_path / "set" / name for name in frame["image"]])
    alone = loaded({"table": absolute, **KEYS}, tmp_path)
    for found in (by_folder, alone):
        assert found.content == wanted.content
        assert found.table.columns["age"].tolist() == wanted.table.columns["age"].tolist()
        assert found.table.patient.tolist() == wanted.table.patient.tolist()


def test_rows_of_a_frame_are_named_by_their_own_numbers(tmp_path: Path) -> None:
    frame = as_files(tmp_path / "set")
    frame["image"] = [tmp_path / "set" / name for name in frame["image"]]
    for data, said in (
        ({"table": frame, **KEYS}, "rows 3, 9"),
        ({"folder": str(tmp_path / "set"), "table": "data.csv", **KEYS}, "lines 4, 10 of data.csv"),
    ):
        assert loaded(data, tmp_path).table.named(np.array([8, 2])) == said


def test_issues_of_a_study_of_a_frame_have_the_files_of_their_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = as_files(tmp_path / "set")
    save(tmp_path / "set" / "pngs" / "5.png", np.full((SIDE, SIDE), 90, np.uint8))
    frame["image"] = [tmp_path / "set" / name for name in frame["image"]]
    data = on_disk({"table": frame, **KEYS, "split": {"folds": 3}})
    study = {"name": "framed", "environments": {"train": {}, "same": {}}, "data": data, "seeds": 1}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    ask = Asking(capsys)
    previewed = ask("preview", tmp_path / "study.yaml", "--out", tmp_path)
    (where,) = re.findall(r"assay results (\S+) --table issues", previewed.out)
    issues = json.loads(ask("results", where, "--table", "issues", "--json").out)
    (blank,) = (issue for issue in issues if issue["kind"] == "blank")
    assert (blank["row"], Path(blank["file"]).name) == (6, "5.png")


def test_the_same_content_has_the_same_name_and_other_content_another(tmp_path: Path) -> None:
    rows = [{"image": pixels, "label": at % 2} for at, pixels in enumerate(pictures())]
    first, again = on_disk(rows), on_disk(Items(rows))
    assert first == again
    assert first["target"] == "label"
    rows[3]["image"] = rows[3]["image"] + 1
    assert on_disk(rows)["folder"] != first["folder"]
    assert not list(Path(first["folder"]).parent.glob("partial-*"))


@pytest.mark.parametrize("kind", ["array", "tensor", "floats", "Pillow"])
def test_every_kind_of_pixels_gives_those_of_a_file(kind: str, tmp_path: Path) -> None:
    as_files(tmp_path / "set")

    def made(pixels: np.ndarray) -> object:
        tensor = torch.as_tensor(pixels)[None]
        floats = (tensor.float() / 255).requires_grad_()
        return {"array": pixels, "tensor": tensor, "floats": floats, "Pillow": Image.fromarray(pixels)}[kind]

    items = Items([(made(pixels), at % 2) for at, pixels in enumerate(pictures())])
    wanted = loaded({"folder": str(tmp_path / "set"), **KEYS}, tmp_path).images.read(np.arange(12))
    found = loaded(items, tmp_path, size=SIDE).images.read(np.arange(12))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_channels_may_come_first_or_last(tmp_path: Path) -> None:
    color = np.random.default_rng(1).integers(0, 255, (2, SIDE, SIDE, 3), dtype=np.uint8)
    last = loaded([{"image": one, "label": at} for at, one in enumerate(color)], tmp_path, size=SIDE)
    moved = [{"image": np.moveaxis(one, -1, 0), "label": at} for at, one in enumerate(color)]
    assert torch.equal(loaded(moved, tmp_path, size=SIDE).images.read(np.arange(2)), last.images.read(np.arange(2)))


def test_a_label_of_pixels_is_a_mask_and_classes_name_labels(tmp_path: Path) -> None:
    masks = [np.zeros((1, SIDE, SIDE), dtype=np.float32) for _ in range(4)]
    masks[1][0, :5, :5] = masks[2][0, 3:9, 3:9] = 1
    rows = [{"image": pixels, "label": torch.as_tensor(mask)} for pixels, mask in zip(pictures(4), masks, strict=True)]
    found = loaded(rows, tmp_path, size=SIDE)
    assert found.table.classes == ("absent", "present")
    assert found.table.target.tolist() == [0, 1, 1, 0]
    named = Items([(pixels, at % 2) for at, pixels in enumerate(pictures(4))], ["benign", "malignant"])
    assert loaded(named, tmp_path, size=SIDE).table.classes == ("benign", "malignant")


def test_bad_rows_are_refused_as_those_of_a_folder(tmp_path: Path) -> None:
    frame = as_files(tmp_path / "set")
    frame.loc[4, "image"] = "pngs/none.png"
    with pytest.raises(DataError, match=r"row 5 'pngs/none\.png': the file is missing"):
        loaded({"table": frame, "folder": str(tmp_path / "set"), **KEYS}, tmp_path)
    rows: list[dict[str, Any]] = [{"image": p / 255.0, "label": at % 2} for at, p in enumerate(pictures())]
    rows[2]["image"] = rows[2]["image"] * 3 - 1
    rows[3]["image"] = np.zeros((4, 5, SIDE, SIDE))
    rows[5]["label"] = float("nan")
    with pytest.raises(DataError, match=r"(?s)3 bad rows.*row 3 .*its values run from -1 to .*row 4 .*array") as wrong:
        loaded(rows, tmp_path, size=SIDE)
    assert "row 6" in str(wrong.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([], "data has no rows"),
        (3, "data is int; give a path"),
        ([3, 4], r"data\[0\] is int; expected a dict, or an image and its label"),
    ],
)
def test_other_values_are_refused(data: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        assay.Study({"data": data, "recipe": {"epochs": 1}})


def test_a_study_and_a_probe_take_them(tmp_path: Path) -> None:
    frame = as_files(tmp_path / "set")
    given = {"table": frame, "folder": str(tmp_path / "set"), **KEYS}
    written = {
        "name": "s",
        "environments": {"train": {}, "same": {"like": "train"}},
        "recipe": {"epochs": 1},
        "seeds": 1,
        "probes": ["performance"],
    }
    study = assay.Study({**written, "data": given})
    assert study.spec.training_hash == assay.Study({**written, "data": given}).spec.training_hash
    assert study.spec == assay.Study({**written, "data": {"phantom": "nodule"}}).set("data", given).spec
    assert parse_study(study.source).data.folder == study.spec.data.folder
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1))
    probed = assay.probe(model, given, progress=False)
    assert max(probed.table()["images"]) == 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK", "HSV", "P", "1", "I;16", "RGB"])
def test_images_of_pillow_are_read_as_their_files(mode: str, tmp_path: Path) -> None:
    color = Image.fromarray(np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8), "RGBA")
    image = Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 256)
    if mode != "I;16":
        image = color.convert("RGB").convert(mode) if mode not in ("RGBA", "LA") else color.convert(mode)
    saved = image.convert("RGB") if mode == "HSV" else image
    path = tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}"
    saved.save(path)
    rows = [{"image": value, "label": at} for at, value in enumerate((image, str(path)))]
    with pytest.raises(DataError, match=r"row 1 'image-000000\.npy': its pixels are those of row 2"):
        loaded(rows, tmp_path, size=SIDE)


def test_cells_of_a_frame_keep_their_text(tmp_path: Path) -> None:
    rows = {"part": pd.cut([1, 7], [0, 5, 10]), "when": pd.Series([pd.Timestamp("2020-01-01"), pd.NaT])}
    day, number = date(2020, 1, 2), UUID(int=7)
    frame = pd.DataFrame({**rows, "day": [day, None], "who": [number, number], "dose": [Decimal("0.10"), None]})
    table = pd.read_csv(Path(on_disk(frame)["folder"], "data.csv"), dtype=str, keep_default_na=False)
    assert table.to_dict("list") == {
        "part": ["(0, 5]", "(5, 10]"],
        "when": ["2020-01-01 00:00:00", ""],
        "day": ["2020-01-02", ""],
        "who": [str(number)] * 2,
        "dose": ["0.10", ""],
    }
