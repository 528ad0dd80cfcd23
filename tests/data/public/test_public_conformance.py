"""Every public set passes the conformance suite of datasets, on a small tree of its layout."""

from __future__ import annotations

from pathlib import Path

from tests.worlds import public
from tests.worlds.public import chexpert, mimic, nih, spec_of

from assay.plugin import ArrayCache, Dataset, load_dataset
from assay.testing.data import DatasetConformance


class TestNih(DatasetConformance):
    """Ages over 120, images in two archives, both official lists."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            nih(folder)
        return load_dataset(spec_of("nih", folder, finding="Mass"), cache)


class TestChexpert(DatasetConformance):
    """Uncertain and blank labels, a lateral image, an unknown sex, both tables."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            rows = [{"path": f"train/patient{at:05d}/study1/view1_frontal.jpg", "Edema": at % 2} for at in range(6)]
            rows[0] |= {"Edema": "-1.0", "sex": "Unknown"}
            rows[1] |= {"side": "Lateral", "view": ""}
            chexpert(folder, rows)
            chexpert(folder, [{"path": "valid/patient00009/study1/view1_frontal.jpg", "Edema": 1}], "valid.csv")
        spec = spec_of("chexpert", folder, finding="Edema", uncertain="negative", blank="negative")
        return load_dataset(spec, cache)


class TestMimic(DatasetConformance):
    """Two images of one study, views that are not told."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            patients = [10000000 + at // 2 for at in range(6)]
            images = [{"dicom": f"d{at}", "patient": p, "study": p + 1, "view": ""} for at, p in enumerate(patients)]
            mimic(folder, images, {str(p + 1): {"patient": p, "Edema": p % 2} for p in patients})
        return load_dataset(spec_of("mimic", folder, finding="Edema"), cache)


class TestLidc(DatasetConformance):
    """Nodules of one to three readers, with masks, on scans of two spacings."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            box = public.nodule
            drawn = [[box(20, 20, 6, malignancy=5), box(40, 30, 5, malignancy=1)], [box(21, 20, 6, malignancy=4)]]
            public.write_series(folder, 1, drawn)
            public.write_series(folder, 2, [[box(20, 20, 4, malignancy=2)]], PixelSpacing=[0.7, 0.9])
        return load_dataset(spec_of("lidc", folder, field_mm=20), cache)
