"""Made-up image sets and weights in the layout of those that the example studies name under `ASSAY_ASSETS`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from tests.worlds.files import blob, noise, save, write_table
from tests.worlds.public import chexpert, nih, nodule, write_series

LITE0 = ("tf_efficientnet_lite0.imagenet",)
XCEPTION = ("legacy_xception.imagenet", "legacy_xception.dermoscopy-ft")


def write_assets(root: Path) -> Path:
    """Write every set and every file of weights. Factors are crossed with the target, so that any tie can be chosen."""
    for write in (
        *(_chest_xray, _dermoscopy, _foot_ulcer, _fundus, _lung_nodule, _polyp, _weights),
        *(_chest_xray14, _dfuc2022, _lidc_idri, _radimagenet, _retinopathy),
    ):
        write(root)
    return root


def _chest_xray(root: Path) -> None:
    header = ["image", "finding", "labels", "patient", "sex", "age", "view", "origin"]
    cells = [*product((0, 1), "FM", ("PA", "AP"), "a")] * 96 + [*product((0, 1), "FM", ("PA", "AP"), "b")] * 8
    rows = [
        [finding, "Mass" if finding else "No Finding", at, sex, 30 + at % 50, view, origin]
        for at, (finding, sex, view, origin) in enumerate(cells)
    ]
    _write(root / "chest-xray", header, rows)


def _dermoscopy(root: Path) -> None:
    rows = [[at % 2, f"HAM_{at}", ("male", "female")[at // 2 % 2], 20 + at // 2 % 60, "back"] for at in range(400)]
    _write(root / "dermoscopy", ["image", "melanoma", "lesion", "sex", "age", "site"], rows, channels=3)


def _foot_ulcer(root: Path) -> None:
    rows = [["validation" if at % 4 == 0 else "train", 0.1] for at in range(120)]
    _write(root / "foot-ulcer", ["image", "mask", "split", "lesion_fraction"], rows, channels=3, empty=6)


def _fundus(root: Path) -> None:
    header = ["image", "grade", "patient", "eye", "macular_edema", "origin", "repeat_of"]
    origins = ("messidor2-png", "messidor2-brest")
    rows = [
        [at // 2 % 5, f"P{at // 2:03}", ("right", "left")[at % 2], 0, origins[at // 10 % 2], ""] for at in range(600)
    ]
    _write(root / "fundus", header, rows, channels=3)
    other = root / "fundus" / "idrid.csv"
    names = [f"idrid/{at}.png" for at in range(40)]
    for at, name in enumerate(names):
        save(other.parent / name, noise(1000 + at, channels=3))
    header = ["image", "grade", "macular_edema", "split", "boxed", "hard_exudates", "haemorrhages", "origin"]
    write_table(other, [header, *([name, at % 5, 0, "train", 1, 1, 1, "idrid"] for at, name in enumerate(names))])
    header = ["image", "grade", "patient", "eye", "origin"]
    eyes = [[at // 2 % 5, at // 2, ("right", "left")[at % 2], "kaggle-2015"] for at in range(40)]
    _write(root / "fundus-eyepacs", header, eyes, channels=3, first=2000)
    aptos = [f"aptos/{at}.png" for at in range(200)]
    for at, name in enumerate(aptos):
        save(root / "fundus-eyepacs" / name, noise(3000 + at, channels=3))
    header = ["image", "grade", "origin", "aspect", "repeat_of"]
    rows = ([name, at % 5, "aptos-2019", 1.3, ""] for at, name in enumerate(aptos))
    write_table(root / "fundus-eyepacs" / "aptos.csv", [header, *rows])
    kinds = ("optic_disc", "hard_exudates", "haemorrhage")
    boxes = [[name, kind, 2, 2, 6 + k, 7] for name in names for k, kind in enumerate(kinds)]
    write_table(root / "fundus" / "idrid_boxes.csv", [["image", "kind", "x0", "y0", "x1", "y1"], *boxes])


def _lung_nodule(root: Path) -> None:
    ratings = ("subtlety", "margin", "lobulation", "spiculation", "texture")
    header = ["image", "mask", "malignant", "patient", "diameter_mm", "pixel_mm", *ratings, "manufacturer"]
    makers, draw = ("GE", "Philips", "Siemens", "Toshiba"), np.random.default_rng(0)
    rows = [
        [
            at % 2,
            f"{at // 2:04}",
            round(5 + 20 * draw.random(), 1),
            0.7,
            *(round(1 + 4 * draw.random(), 2) for _ in ratings),
            makers[int(draw.integers(4))],
        ]
        for at in range(1200)
    ]
    _write(root / "lung-nodule", header, rows)


def _polyp(root: Path) -> None:
    rows = [["lesion-free" if at < 6 else "polyp", 0.1] for at in range(36)]
    _write(root / "polyp", ["image", "mask", "kind", "lesion_fraction"], rows, channels=3, empty=6)
    lines: list[Sequence[object]] = [["image", "mask", "fold", "lesion_fraction"]]
    for at in range(40):
        files = [f"{kind}s/{at}.png" for kind in ("image", "mask")]
        save(root / "polyp-train" / files[0], noise(1000 + at, side=64, channels=3)[:48])
        save(root / "polyp-train" / files[1], _wide(blob(width=4 + at % 5)))
        lines.append([*files, at // 8 + 1, 0.1])
    write_table(root / "polyp-train" / "data.csv", lines)


def _write(
    folder: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    channels: int = 1,
    empty: int = 0,
    first: int = 0,
) -> None:
    """Write `data.csv` with a noise image for each row, and with masks where the header has them.

    empty: masks of the first rows that show no lesion. first: number of the first picture.
    """
    lines: list[Sequence[object]] = [header]
    for at, row in enumerate(rows):
        files = [f"{kind}s/{at}.png" for kind in ("image", "mask") if kind in header]
        save(folder / files[0], noise(first + at, channels=channels))
        if len(files) > 1:
            save(folder / files[1], np.zeros_like(blob()) if at < empty else blob(width=4 + at % 5))
        lines.append([*files, *row])
    write_table(folder / "data.csv", lines)


def _weights(root: Path) -> None:
    """Networks as timm initializes them, in half precision; each file holds tensors of its own."""
    (root / "weights").mkdir(parents=True)
    for names, classes in ((LITE0, 1000), (XCEPTION, 0)):
        network = timm.create_model(names[0].partition(".")[0], num_classes=classes)
        for number, name in enumerate(names):
            tensors = {key: (tensor + number).half() for key, tensor in network.state_dict().items()}
            save_file(tensors, root / "weights" / f"{name}.safetensors")


# Sets of the studies for whoever has them, which ASSETS does not hold.


def _chest_xray14(root: Path) -> None:
    """NIH ChestX-ray14 and CheXpert as published, an image per patient."""
    labels = ("Mass", "Atelectasis", "No Finding", "No Finding")
    cells = [*product(labels, "FM", ("PA", "AP"))] * 96
    rows = [
        (f"{at:08}_000.png", label, 0, at, f"{20 + at % 60:03}Y", sex, view)
        for at, (label, sex, view) in enumerate(cells, start=1)
    ]
    folder = nih(root / "ChestX-ray14", rows=rows)
    found = [
        {"path": f"{part}/patient{at:05}/study1/view1_frontal.jpg", "view": "PA", label: 1}
        for part, count in (("train", 12), ("valid", 4))
        for at in range(count)
        for label in [("No Finding", "Lung Lesion", "Atelectasis")[at % 3]]
    ]
    for table, part in (("train.csv", found[:12]), ("valid.csv", found[12:])):
        chexpert(root / "chexpert", part, table)
    for name, part in (("train_val_list", rows[: 3 * len(rows) // 4]), ("test_list", rows[3 * len(rows) // 4 :])):
        (folder / f"{name}.txt").write_text("\n".join(row[0] for row in part), encoding="utf-8")


def _lidc_idri(root: Path) -> None:
    """Twenty patients with two benign and two malignant nodules each, on one slice."""
    corners = [(8, 8, 1), (44, 8, 5), (8, 44, 5), (44, 44, 1)]
    for patient in range(1, 21):
        drawn = [nodule(x, y, 4 + patient % 3, (0,), malignancy=rating) for x, y, rating in corners]
        write_series(root / "LIDC-IDRI", patient, [drawn], slices=1)


def write_endoscopy(root: Path) -> None:
    """HyperKvasir's polyps and EndoTect's frames, of which every third is lesion-free."""
    for place, count in ((root / "hyperkvasir" / "segmented-images", 40), (root / "endotect", 12)):
        for at in range(count):
            outside = place.name == "endotect"
            mask = _wide(np.zeros_like(blob()) if outside and at % 3 == 0 else blob(width=4 + at % 5))
            save(place / "images" / f"{at}.jpg", noise(at + 1000 * outside, side=64, channels=3)[:48])
            save(place / "masks" / f"{at}.{'png' if outside else 'jpg'}", mask)
    (root / "hyperkvasir" / "segmented-images" / "kavsir_bboxes.json").write_text("{}")


def _dfuc2022(root: Path) -> None:
    for at in range(30):
        place = root / "DFUC2022" / "DFUC2022_train_release"
        save(place / "DFUC2022_train_images" / f"{100000 + at}.jpg", noise(at, side=64, channels=3)[:48])
        save(place / "DFUC2022_train_masks" / f"{100000 + at}.png", _wide(blob(width=4 + at % 5)))
    for part, at in product(("train", "validation"), range(4)):
        place, seed = root / "fuseg" / part, 500 + at + 10 * (part == "train")
        save(place / "images" / f"{at:04}.png", noise(seed, channels=3))
        save(place / "labels" / f"{at:04}.png", blob() * np.uint8(at > 0))


def _wide(mask: np.ndarray) -> np.ndarray:
    """A mask of 16 px as one of 64 x 48."""
    return np.kron(mask, np.ones((4, 4), dtype=np.uint8))[:48]


def _retinopathy(root: Path) -> None:
    """EyePACS with both eyes of 170 patients, a base of Messidor, and Messidor-2 without its list of pairs. A patch is
    bright from grade 2, so that no network predicts the same for all.
    """
    eyes = [(f"{at // 2}_{('left', 'right')[at % 2]}", at // 2 % 5) for at in range(340)]
    tested = [(f"{1000 + at // 2}_{('left', 'right')[at % 2]}", at // 2 % 5) for at in range(120)]
    write_table(root / "eyepacs" / "trainLabels.csv", [["image", "level"], *eyes])
    write_table(root / "eyepacs-test" / "trainLabels.csv", [["image", "level"], *tested])
    first = [(f"{at}.tif", "LaTIM", at % 4, 0) for at in range(20)]
    head = ["Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema "]
    write_table(root / "messidor" / "Annotation_Base11.csv", [head, *first])
    second = [(f"{at}.png", at % 5, 0, 1) for at in range(20)]
    head = ["image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable"]
    write_table(root / "messidor2" / "messidor_data.csv", [head, *second])
    files = [root / "eyepacs" / "train" / f"{name}.jpeg" for name, _ in eyes]
    files += [root / "eyepacs-test" / "test" / f"{name}.jpeg" for name, _ in tested]
    files += [root / "messidor" / name for name, *_ in first] + [root / "messidor2" / name for name, *_ in second]
    grades = [grade for _, grade in (*eyes, *tested)]
    grades += [*(grade for *_, grade, _ in first), *(grade for _, grade, *_ in second)]
    for at, (file, grade) in enumerate(zip(files, grades, strict=True)):
        pixels = noise(at, side=24, channels=3)
        pixels[8:16, 8:16] = np.clip(pixels[8:16, 8:16].astype(float) + 120 * (grade > 1), 0, 255)
        save(file, pixels)


def _radimagenet(root: Path) -> None:
    """ResNet-50s as Keras's are ported to PyTorch: torchvision's names, and a bias in every convolution."""
    network = timm.create_model("resnet50", num_classes=0)
    tensors = {key: tensor.half() for key, tensor in network.state_dict().items()}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            tensors[f"{name}.bias"] = torch.zeros(module.out_channels).half()
    for path in ("Keras/ResNet50_notop.pth", "RadImageNet/RadImageNet-ResNet50_notop.pth"):
        (root / "weights" / path).parent.mkdir(parents=True)
        torch.save(tensors, root / "weights" / path)
