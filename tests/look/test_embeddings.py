"""Embeddings with a planted site, copy and odd image, in every format, and with none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assay import look
from assay.cli import main
from assay.core.seeds import folds_by_patient
from assay.plugin import AssayError
from assay.store.files import write_parquet

N = 240
NAMES = [f"{at:03d}.png" for at in range(N)]
COPY, OF, ODD = 21, 100, 60


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of noise whose columns site and sex say nothing of the class."""
    folder, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(5)
    for name in NAMES:
        Image.fromarray(draw.integers(60, 200, (24, 24)).astype(np.uint8)).save(folder / name)
    cells = {"image": NAMES, "ill": np.arange(N) // 2 % 2, "patient": np.arange(N) // 2,
             "site": draw.choice(["A", "B"], N), "sex": draw.choice(["F", "M"], N)}  # fmt: skip
    pd.DataFrame(cells).to_csv(folder / "data.csv", index=False)
    return folder


def planted(images: Path, signal: float = 1.0, planting: float = 1.0) -> np.ndarray:
    """Return features with the class, the site, a copy and an odd image; only noise where both are 0."""
    data, draw = pd.read_csv(images / "data.csv"), np.random.default_rng(6)
    features = draw.normal(size=(N, 12))
    features[:, 0] += signal * 1.5 * data["ill"]
    features[:, 1] += planting * 3 * (data["site"] == "A")
    if planting:
        features[COPY] = features[OF] + 1e-3
        features[ODD] *= 12
    return features


def looked(images: Path, out: Path, **more: Any) -> dict[str, pd.DataFrame]:
    found = look(images, target="ill", positive="1", size=32, out=out, **more)
    return {name: found.table(name) for name in ("decoded", "issues", "findings", "provenance")}


def test_planted_signals_are_found_and_an_empty_column_is_not(images: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(planted(images)).add_prefix("f").assign(image=NAMES)
    tables = looked(images, tmp_path / "look", embeddings=frame)
    rows = tables["decoded"].set_index(["name", "source"])
    target, site, sex = (rows.loc[name, "embeddings"] for name in ("ill", "site", "sex"))
    assert target["low"] > 0.7
    assert target["high"] < 0.95
    assert site["low"] > 0.9
    assert sex["low"] < 0.5 < sex["high"]
    assert list(rows.query("kind == 'cue'")["value"]) < [0.7], "no simple cue tells the class"
    issues = pd.read_csv(tmp_path / "look" / "issues.csv").groupby("kind")["file"].apply(set)
    assert issues["alike-embedding"] == {NAMES[COPY], NAMES[OF]}
    assert issues["odd-embedding"] == {NAMES[ODD]}
    encoded = [text for text in tables["findings"]["reason"] if "embeddings-encode" in text]
    assert len(encoded) == 1
    assert '"names": ["site"]' in encoded[0]
    page = (tmp_path / "look" / "report.html").read_text()
    assert "within classes, embeddings encode column" in page
    assert f"nearly the same embedding, possibly copies, lines {min(COPY, OF) + 2} and {max(COPY, OF) + 2} of" in page
    assert f"an embedding unlike the others, line {ODD + 2} of" in page
    assert "Linear probe" in page


def test_noise_encodes_nothing(images: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(planted(images, 0, 0)).add_prefix("f").assign(image=NAMES)
    tables = looked(images, tmp_path / "look", embeddings=frame)
    rows = tables["decoded"].query("source == 'embeddings'")
    assert len(rows) == 3
    assert ((rows["low"] < 0.5) & (rows["high"] > 0.5)).all()
    assert not tables["issues"]["kind"].isin(["alike-embedding", "odd-embedding"]).any()
    assert not tables["findings"]["reason"].str.contains("embeddings-").any()


@pytest.mark.parametrize("kind", ["csv", "parquet", "lists", "npz", "npy"])
def test_every_format_gives_the_same(images: Path, tmp_path: Path, kind: str) -> None:
    features, order = planted(images), np.random.default_rng(0).permutation(N)
    names, rows = [NAMES[at] for at in order], features[order]
    frame = pd.DataFrame(rows).add_prefix("f").assign(image=names)
    wanted = looked(images, tmp_path / "frame", embeddings=frame)["decoded"]
    path, more = tmp_path / f"features.{'parquet' if kind == 'lists' else kind}", {}
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        write_parquet(path, {name: frame[name].to_numpy() for name in frame})
    elif kind == "lists":
        cells = pd.DataFrame({"image": names, "embedding": rows.tolist()})
        duckdb.from_df(cells).write_parquet(str(path))
    elif kind == "npz":
        np.savez(path, ids=np.array(names), features=rows)
    else:
        np.save(path, rows)
        (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
        more = {"ids": tmp_path / "names.txt"}
    found = looked(images, tmp_path / "look", embeddings=path, **more)
    pd.testing.assert_frame_equal(found["decoded"], wanted)
    facts = found["provenance"].set_index("key")["value"]
    assert facts["embeddings"] == path.name


def test_the_linear_probe_agrees_with_scikit_learn(images: Path, tmp_path: Path) -> None:
    features, data = planted(images), pd.read_csv(images / "data.csv")
    frame = pd.DataFrame(features).add_prefix("f").assign(image=NAMES)
    rows = looked(images, tmp_path / "look", embeddings=frame)["decoded"].set_index("kind")["value"]
    fold = folds_by_patient(data["patient"].to_numpy(), 5, 0)

    def area(model: Any, target: np.ndarray, keep: np.ndarray) -> float:
        """Return the AUROC over pairs of a fold, of a model that is fitted on the other folds."""
        right, pairs = 0.0, 0
        for part in range(5):
            fitted, tested = keep & (fold != part), keep & (fold == part)
            score = model.fit(features[fitted], target[fitted]).decision_function(features[tested])
            count = int(target[tested].sum() * (~target[tested]).sum())
            right, pairs = right + count * float(roc_auc_score(target[tested], score)), pairs + count
        return right / pairs

    ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-3, 3, 13) * N))
    logistic = make_pipeline(StandardScaler(), LogisticRegression())
    ill, site = data["ill"].to_numpy() == 1, data["site"].to_numpy() == "A"
    everywhere = np.ones(N, dtype=bool)
    assert rows["target"] == pytest.approx(area(ridge, ill, everywhere), abs=0.005)
    assert rows["target"] == pytest.approx(area(logistic, ill, everywhere), abs=0.02)
    within = [np.mean([area(model, site, ill == code) for code in (False, True)]) for model in (ridge, logistic)]
    assert rows["column"].iloc[0] == pytest.approx(within[0], abs=0.01)
    assert rows["column"].iloc[0] == pytest.approx(within[1], abs=0.02)


def test_both_remainders_are_counted(images: Path, tmp_path: Path) -> None:
    features = planted(images)
    frame = pd.DataFrame(features[3:]).add_prefix("f").assign(image=NAMES[3:])
    more = pd.concat([frame, frame.head(2).assign(image=["x.png", "y.png"])])
    facts = looked(images, tmp_path / "look", embeddings=more)["provenance"].set_index("key")["value"]
    assert "3 of 240 images have no row in embeddings" in facts["matched"]
    assert "2 of 239 rows in embeddings fit no image" in facts["matched"]


def test_what_is_undefined_says_why(images: Path, tmp_path: Path) -> None:
    """One class has three patients, site is constant, and few images are of other patients."""
    data = pd.read_csv(images / "data.csv").head(40)
    patient = np.where(data["ill"] == 1, np.arange(40) % 3, 10)
    for name in NAMES[:40]:
        shutil.copy(images / name, tmp_path)
    data.assign(patient=patient, site="A").to_csv(tmp_path / "data.csv", index=False)
    frame = pd.DataFrame(planted(images)[:40]).add_prefix("f").assign(image=NAMES[:40])
    found = look(tmp_path / "data.csv", target="ill", positive="1", embeddings=frame, out=tmp_path / "look")
    rows = found.table("decoded").set_index("name")
    assert rows.query("source == 'embeddings'")["value"].isna().all()
    assert "few-of-class" in rows.loc["ill", "reason"].iloc[0]
    page = (tmp_path / "look" / "report.html").read_text()
    assert "a class has 1 patient, and 5 are needed to predict it in others" in page


def test_wrong_files_are_refused(images: Path, tmp_path: Path) -> None:
    features = planted(images)
    np.save(tmp_path / "a.npy", features)
    np.savez(tmp_path / "b.npz", ids=np.array(NAMES))
    np.savez(tmp_path / "c.npz", ids=np.array(NAMES[1:]), features=features)
    (tmp_path / "d.parquet").write_text("no parquet")
    np.savez(tmp_path / "g.npz", ids=np.empty(1_000_000, dtype="V0"), features=features)  # 600 bytes for any number
    pd.DataFrame(np.zeros((N, 3))).add_prefix("f").assign(image=NAMES).to_csv(tmp_path / "e.csv", index=False)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    frame = pd.DataFrame(features).add_prefix("f").assign(image=NAMES)
    for source, more, text in (
        ("a.npy", {}, "a.npy has no names of images: give ids=FILE with one a line"),
        ("b.npz", {}, "b.npz cannot be read: expected arrays `ids` and `features`"),
        ("c.npz", {}, "c.npz has 240 x 12 numbers, and there are 239 names"),
        ("g.npz", {}, "`ids` has 1,000,000 names of no letter"),
        ("d.parquet", {}, "d.parquet cannot be read as Parquet"),
        ("e.csv", {}, "e.csv: no column differs between images"),
        ("e.csv", {"ids": tmp_path / "names.txt"}, "ids has the names of the rows of an NPY file"),
        ("f.csv", {}, "there is no file "),
        (frame.assign(kind="x"), {}, "embeddings: a cell is not a number"),
        (frame.drop(columns="image"), {}, "embeddings: embeddings has no column 'image'"),
        ("timm:resnet1888", {}, "timm network"),
    ):
        given = source if not isinstance(source, str) or ":" in source else tmp_path / source
        with pytest.raises(AssayError, match=text):
            look(images, target="ill", positive="1", embeddings=given, out=tmp_path / "look", **more)


def test_a_named_network_embeds_the_images(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    net = tmp_path / "Jane Doe" / "my net"
    transformers.ViTModel(config).save_pretrained(net)
    with pytest.raises(AssayError, match="states no scaling of its images"):
        looked(images, tmp_path / "look", embeddings=f"hf:{net}")
    (net / "preprocessor_config.json").write_text(
        '{"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    tables = looked(images, tmp_path / "look", embeddings=f"hf:{net}")
    assert tables["decoded"].query("source == 'embeddings'")["value"].notna().all()
    assert tables["provenance"].set_index("key")["value"]["embeddings"] == "hf:…/my net"
    assert "Jane" not in (tmp_path / "look" / "report.html").read_text() + (tmp_path / "look" / "run.json").read_text()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name, text in (
        (
            "timm:resnet18",
            "are not in the local cache and the model hub cannot be reached; connect "
            "once to fetch them, or give the embeddings in a file",
        ),
        ("hf:owner/name", "hf:owner/name cannot be loaded: "),
    ):
        with pytest.raises(SystemExit):
            main(["look", str(images), "--target", "ill", "--positive", "1", "--embeddings", name,
                  "--out", str(tmp_path / "look")])  # fmt: skip
        assert re.search(re.escape(text), " ".join(capsys.readouterr().err.split()))
