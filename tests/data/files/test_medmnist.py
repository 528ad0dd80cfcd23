"""MedMNIST files: the given split, color, resizing, and what is refused by name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from assay import look
from assay.data.splits import split
from assay.plugin import ArrayCache, DataError, Dataset, DataSpec, SpecError, SplitSpec, load_dataset

COUNTS = {"train": 10, "val": 4, "test": 6}


def write(path: Path, shape: tuple[int, ...] = (28, 28), labels: int = 1, classes: int = 3, **replaced: object) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, object] = {}
    for part, n in COUNTS.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        arrays[f"{part}_labels"] = rng.permutation(np.arange(n * labels) % classes).reshape(n, labels)
    kept = {name: value for name, value in {**arrays, **replaced}.items() if value is not None}
    np.savez_compressed(path, **kept)  # pyright: ignore[reportArgumentType]
    return path


def load(path: Path, **fields: object) -> Dataset:
    spec = DataSpec.model_validate({"medmnist": str(path), "size": 28, **fields})
    return load_dataset(spec, ArrayCache(path.parent / "cache"))


def test_pixels_labels_and_split_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "toymnist.npz")
    dataset = load(path)
    with np.load(path) as file:
        images = np.concatenate([file[f"{part}_images"] for part in COUNTS])
        labels = np.concatenate([file[f"{part}_labels"] for part in COUNTS]).reshape(-1)
    np.testing.assert_array_equal((dataset.images.read(np.arange(20)) * 255).round().numpy()[:, 0], images)
    np.testing.assert_array_equal(dataset.table.target, labels)
    assert dataset.table.classes == ("0", "1", "2")
    found = split(dataset.table, SplitSpec(column="split"), 0)
    assert found.train.tolist() == list(range(10))
    assert found.validation.tolist() == list(range(10, 14))
    assert found.test.tolist() == list(range(14, 20))


def test_color_is_kept_and_size_is_followed(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.npz", (28, 28, 3)), size=16).images.shape == (3, 16, 16)


def test_positive_classes_make_it_binary(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "a.npz"), positive=("1", "2"))
    assert dataset.table.classes == ("0", "1 or 2")
    assert set(dataset.table.target.tolist()) == {0, 1}


def test_volumes_are_refused_by_name(tmp_path: Path) -> None:
    expected = "holds volumes of 28 x 28 x 28; 3-D images are not supported yet: choose a 2-D MedMNIST set"
    with pytest.raises(DataError, match=expected):
        load(write(tmp_path / "nodulemnist3d.npz", (28, 28, 28)))


def test_several_labels_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="has 14 labels an image; multi-label targets are not supported yet: choose a set"
    ):
        load(write(tmp_path / "chestmnist.npz", labels=14, classes=2))


def test_files_that_are_no_medmnist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.npz is no MedMNIST file: it has no array 'val_labels'"):
        load(write(tmp_path / "a.npz", val_labels=None))
    with pytest.raises(DataError, match=r"images are float32 .* expected uint8"):
        load(write(tmp_path / "b.npz", test_images=np.zeros((6, 28, 28), dtype=np.float32)))
    with pytest.raises(DataError, match="test_images are 32 x 32 and train_images 28 x 28; all parts must be alike"):
        load(write(tmp_path / "f.npz", test_images=np.zeros((6, 32, 32), dtype=np.uint8)))
    with pytest.raises(DataError, match="val has 4 images and 5 labels; it needs one label an image"):
        load(write(tmp_path / "g.npz", val_labels=np.zeros((5, 1), dtype=np.uint8)))
    with pytest.raises(DataError, match="it holds Python objects"):
        load(write(tmp_path / "c.npz", test_images=np.array([{}], dtype=object)))
    (tmp_path / "d.npz").write_text("not a zip")
    with pytest.raises(DataError, match=r"d\.npz is damaged or no \.npz file \(.*\); download it again"):
        load(tmp_path / "d.npz")
    whole = write(tmp_path / "e.npz").read_bytes()
    (tmp_path / "e.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"e\.npz is damaged or no \.npz file"):
        load(tmp_path / "e.npz")
    with pytest.raises(SpecError, match=r"data\.medmnist: '.*' is a folder; give the \.npz file"):
        load(tmp_path)


def test_a_flipped_byte_inside_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    data[2000] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="is damaged or no"):
        load(path)


def test_copies_are_refused_by_row(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    images[5] = images[0]
    path = write(tmp_path / "a.npz", test_images=images, test_labels=np.zeros((6, 1), dtype=np.int64))
    with pytest.raises(
        DataError, match=r"row 20 'test 5': its pixels are those of row 15, which counts as another patient's"
    ):
        load(path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0.2, 1.7, 1.0, 0.0], "2 of val_labels are no class numbers (row from 0, value: 0: 0.2, 1: 1.7); store"),
        ([0.0, np.nan, 1.0, 0.0], "1 of val_labels are no class numbers (row from 0, value: 1: nan); store whole"),
        ([0, 1, -1, 2], "1 of val_labels are no class numbers (row from 0, value: 2: -1); store whole numbers from 0"),
        (["a", "b", "a", "b"], "val_labels are of type <U1; store them as whole numbers"),
        (np.array(["2020-01-01"] * 4, dtype="datetime64[D]"), "val_labels are of type datetime64[D]; store them as"),
        ([1j, 0, 1, 0], "val_labels are of type complex128; store them as whole numbers"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(tmp_path: Path, labels: object, said: str) -> None:
    path = write(tmp_path / "toymnist.npz", val_labels=np.asarray(labels).reshape(-1, 1))
    with pytest.raises(DataError) as caught:
        load(path)
    assert said in str(caught.value)


def test_whole_labels_of_any_number_type_are_read(tmp_path: Path) -> None:
    labels = np.array([[0.0], [1.0], [2.0], [0.0]])
    table = load(write(tmp_path / "toymnist.npz", val_labels=labels)).table
    assert table.target[10:14].tolist() == [0, 1, 2, 0]


def test_an_array_is_unpacked_only_where_its_header_gives_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "toymnist.npz")
    with np.load(path) as file:
        arrays = dict(file)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            shape = (10**9, 28, 28) if name == "train_images" else array.shape
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(buffer, header)
            archive.writestr(f"{name}.npy", buffer.getvalue() + array.tobytes())
    with pytest.raises(DataError, match="train_images is not of the size that its header says"):
        load(path)
    assert not list((tmp_path / "cache").rglob("*train_images*"))


def test_a_look_finds_test_images_that_are_copies_of_training_images(tmp_path: Path) -> None:
    path = write(tmp_path / "toymnist.npz", classes=2)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["test_images"][:3], arrays["test_labels"][:3] = arrays["train_images"][:3], arrays["train_labels"][:3]
    np.savez_compressed(path, **arrays)  # pyright: ignore[reportArgumentType]
    found = look({"medmnist": str(path)}, out=tmp_path / "look")
    issues = found.table("issues")
    assert sorted(issues["row"][issues["kind"] == "copy"]) == [1, 2, 3, 15, 16, 17]
    assert issues["of"][issues["kind"] == "across-parts"].tolist() == ["split"]
    assert "left-out" not in set(issues["kind"])
    facts = found.table("provenance").set_index("key")["value"]
    assert facts["target"] == "class", "the file has no column of the target"
    assert "malignant" not in (tmp_path / "look" / "report.html").read_text()
