"""A look finds what was planted, names the files, and finds nothing in plain images."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch.nn import functional

from assay import audit, load, look
from assay.cli import main
from assay.data.files.readers import read_picture
from assay.look import checks
from assay.look.cues import number_cue, shortcut_cautions
from assay.look.image_cues import ImageProperties, properties_of
from assay.look.words import further_findings
from assay.plugin import AssayError, FactorTable
from assay.report.index_page import write_index
from assay.report.sentences.reasons import reason_words
from assay.stats import SeedPredictions
from assay.stats.doubts import findings_of_reasons

EDGES = "edges by direction"
LARGE = "large lesion"

N = 240


def _blobs(draw: np.random.Generator) -> np.ndarray:
    """A smooth picture of its own."""
    noise = draw.normal(size=(96, 96))
    image = Image.fromarray((128 + 40 * noise).clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))
    pixels = np.asarray(image).astype(np.float64)
    pixels = (pixels - pixels.mean()) / pixels.std() * 25 + 120 + draw.normal(0, 6) + draw.normal(0, 4, (96, 96))
    return pixels.clip(0, 255).astype(np.uint8)


def planted_set(folder: Path, planted: bool) -> None:
    draw = np.random.default_rng(7)
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for at in range(N):
        ill, pixels = at // 2 % 2, _blobs(draw)
        rows.append(
            {
                "image": f"{at:03d}.png",
                "ill": ill,
                "patient": f"P{at // 2:03d}",
                "age": 40 + int(draw.integers(40)),
                "site": "ABC"[draw.integers(3)],
                "split": "test" if at >= 200 else "train",
            }
        )
        Image.fromarray(pixels).save(folder / f"{at:03d}.png")
    if planted:
        copied = Image.open(folder / "010.png")
        copied.rotate(180).save(folder / "230.png")  # another patient, in the test part
        copied.save(folder / "031.png")
        Image.fromarray(np.full((96, 96), 80, np.uint8)).save(folder / "050.png")
        Image.open(folder / "060.png").filter(ImageFilter.GaussianBlur(6)).save(folder / "060.png")
        Image.fromarray((np.asarray(Image.open(folder / "070.png")) * 0.1).astype(np.uint8)).save(folder / "070.png")
        written = Image.open(folder / "080.png")
        for line in range(6):
            ImageDraw.Draw(written).text((2, 15 * line), "PORTABLE 12:30", fill=255)
        written.save(folder / "080.png")
        for row in rows:
            row["biopsy"] = "done" if row["ill"] else ""
        rows[90]["site"] = rows[91]["site"] = "D"
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("look")
    planted_set(root / "planted", True)
    planted_set(root / "plain", False)
    return root


def test_an_image_is_decoded_three_times_and_never_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At study size, for near copies, and for its tones in its file; a second look takes all from the cache."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    decoded: list[int] = []

    def counting(read: Any) -> Any:
        return lambda data, size: decoded.append(size) or read(data, size)

    for module in ("build", "decode"):
        place = f"assay.data.files.{module}.read_picture"
        monkeypatch.setattr(place, counting(read_picture))
    planted_set(tmp_path / "images", planted=False)
    for folder, most in (("first", 3 * N + 2), ("second", 1)):
        decoded.clear()
        look(tmp_path / "images", out=tmp_path / folder)
        assert len(decoded) <= most, folder


def test_what_was_planted_is_found(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = look(root / "planted", out=tmp_path / "look")
    issues = pd.read_csv(tmp_path / "look" / "issues.csv", keep_default_na=False)
    files = {kind: set(part["file"]) for kind, part in issues.groupby("kind")}
    assert files.pop("copy") == {"010.png", "031.png", "230.png"}
    assert len(set(issues["cluster"][issues["kind"] == "copy"])) == 1
    assert {kind: own for kind, own in files.items() if own != {""}} == {
        "blank": {"050.png"},
        "blurry": {"060.png"},
        "dark": {"070.png"},
        "marked": {"080.png"},
    }
    assert issues["of"][issues["kind"] == "small-group"].tolist() == ["site D"]
    assert issues["of"][issues["kind"] == "across-parts"].tolist() == ["split"]
    cues = found.table("shortcuts")
    biopsy = cues[cues["name"] == "biopsy"].set_index("kind")
    assert biopsy.loc["filled", "value"] == 1
    assert biopsy.loc["filled", "strong"]
    page = (tmp_path / "look" / "report.html").read_text()
    assert "AUROC 1.00" in page
    assert "1 image: blank; line 52 of data.csv." in page
    assert "010.png" not in page  # a name may hold an identifier
    write_index([tmp_path / "look"], tmp_path / "index.html", {})
    assert f">{datetime.now(UTC):%Y-%m-%d}<" in (tmp_path / "index.html").read_text()
    policy = tmp_path / "policy.yaml"
    policy.write_text("forbid: [copy, bright]\nrequire: {cue: 0.8}\n")
    with pytest.raises(SystemExit) as ended:
        main(["look", str(root / "planted"), "--out", str(tmp_path / "look"), "--policy", str(policy)])
    assert ended.value.code == 3
    said = capsys.readouterr()
    assert "whether 'biopsy' is filled predicts the target: AUROC 1.00.\n" in said.out
    assert "without a network, the target is predicted" not in said.out, "the verdict has said it"
    assert "copy: 010.png, 031.png, 230.png" in said.out
    assert said.err.count("policy: ") == 2
    found = [line for line in said.out.splitlines() if re.match("  1 image: ", line)]
    assert len(found) == 4, "a line for each kind of issue"


def test_each_table_of_a_folder_has_a_result_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw, folder = np.random.default_rng(0), tmp_path / "xray"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(draw.integers(0, 255, (16, 16)).astype(np.uint8)).save(folder / f"{i}.png")
    for name in ("first", "second"):
        lines = [f"{i}.png,p{i},{i % 2}" for i in range(40)]
        (folder / f"{name}.csv").write_text("\n".join(["image,patient,target", *lines]) + "\n")
        look(folder / f"{name}.csv")
    assert {path.parent.name for path in Path("looks").glob("*/report.html")} == {"xray", "xray-second"}


@pytest.mark.parametrize("how", ["all are read", "an image is unreadable", "masks are the target", "numbered folds"])
def test_patients_in_several_parts_are_counted_however_the_set_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Each of 20 patients has an image in each of three parts."""
    draw, folder = np.random.default_rng(3), tmp_path / "set"
    (folder / "masks").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for at in range(60):
        Image.fromarray(draw.integers(0, 255, (24, 24)).astype(np.uint8)).save(folder / f"{at}.png")
        Image.fromarray(np.pad(np.full((4, 4), 255 * (at % 2), np.uint8), 10)).save(folder / "masks" / f"{at}.png")
        part = at % 3 if how == "numbered folds" else ("train", "val", "test")[at % 3]
        rows.append({"image": f"{at}.png", "ill": at % 2, "patient_id": f"P{at // 3}", "data_split": part,
                     "stress_test": "ny"[draw.integers(2)], "mask": f"masks/{at}.png"})  # fmt: skip
    if how == "an image is unreadable":
        (folder / "59.png").write_bytes(b"broken")
        rows[59]["patient_id"] = "P99"
    kept = [name for name in rows[0] if name != ("ill" if how == "masks are the target" else "mask")]
    pd.DataFrame(rows)[kept].to_csv(folder / "data.csv", index=False)
    policy = tmp_path / "policy.yaml"
    policy.write_text("forbid: [across-parts]\n")
    with pytest.raises(SystemExit) as ended:
        main(["look", str(folder), "--out", str(tmp_path / "look"), "--policy", str(policy)])
    assert ended.value.code == 3
    said = capsys.readouterr().out
    assert "several parts of 'data_split' have 20 patients in common" in said
    assert "parts of 'stress_test'" not in said, "a test of patients is no part"


@pytest.mark.parametrize("apart", [True, False])
def test_a_column_that_tells_the_classes_apart_may_be_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], apart: bool
) -> None:
    draw = np.random.default_rng(2)
    (tmp_path / "set").mkdir()
    lines = ["image,ill,rating"]
    for at in range(60):
        Image.fromarray(draw.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / "set" / f"{at}.png")
        lines.append(f"{at}.png,{at % 2},{at % 2 + draw.uniform(0, 0.9 if apart else 1.5):.3f}")
    (tmp_path / "set" / "data.csv").write_text("\n".join(lines))
    with pytest.raises(SystemExit):
        main(["look", str(tmp_path / "set"), "--target", "ill", "--out", str(tmp_path / "look")])
    said = capsys.readouterr().out
    assert "column 'rating' predicts the target" in said
    assert ("The column may be the target in other words, and then it is no shortcut." in said) == apart
    assert ("or see what a network learns from these images: " in said) == apart
    assert ("or see whether a network does better than column 'rating': " in said) == (not apart)


def test_a_preview_and_an_audit_list_the_same_issues(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"folder": str(root / "planted"), "target": "ill", "patient": "patient", "size": 32,
            "split": {"together": "near-copies"}}  # fmt: skip
    spec = {"name": "planted", "environments": {"train": {}, "same": {}}, "data": data, "seeds": 1}
    written, of_image = tmp_path / "study.yaml", {"copy", "blank", "dark"}
    written.write_text(json.dumps(spec))
    listed = pd.read_csv(look(root / "planted", out=tmp_path / "look").folder / "issues.csv").to_dict("records")
    looked = {(row["kind"], row["row"], row["file"]) for row in listed if row["kind"] in of_image}

    def said(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert not ended.value.code
        return capsys.readouterr().out

    previewed = said("preview", written, "--out", tmp_path)
    (where,) = re.findall(r"^all \d+ issues: assay results (\S+) --table issues$", previewed, re.MULTILINE)
    rows = json.loads(said("results", where, "--table", "issues", "--json"))
    assert {(row["kind"], row["row"], row["file"]) for row in rows if row["kind"] in of_image} == looked
    table = pd.read_csv(io.StringIO(said("results", where, "--table", "issues", "--csv")), keep_default_na=False)
    assert table[["row", "file"]].to_numpy().tolist() == [[row["row"], row["file"]] for row in rows]
    assert not any("010.png" in path.read_text(errors="ignore") for path in Path(where).rglob("*.*"))
    found = audit(
        lambda images: images.mean((1, 2, 3)), data, out=tmp_path / "audit", marks={}, distortions=(), progress=False
    )
    rows = found.table("issues").to_dict("records")
    assert {(row["kind"], row["row"]) for row in rows if row["kind"] in of_image} == {one[:2] for one in looked}
    assert len(looked) == 5


def test_plain_images_have_no_issue(root: Path, tmp_path: Path) -> None:
    """Nothing tells the target, no image is odd, and frames are looked at as files are."""
    frame = pd.read_csv(root / "plain" / "data.csv")
    frame["scan"] = [str(root / "plain" / name) for name in frame.pop("image")]
    found = look(frame, target="ill", out=tmp_path / "look")
    assert not found.table("issues").shape[0]
    assert not found.table("shortcuts")["strong"].any()
    assert found.table("findings")["light"].tolist() == ["ok", "none"]
    assert "no exact or near copy" in (tmp_path / "look" / "report.html").read_text()


def test_labels_of_unsure_images_are_suspected_of_no_class() -> None:
    """A positive that reads a bit negative and its mirror are not suspected: neither is typical of another class."""
    target = np.repeat([0, 1], 100)
    seen = target + np.random.default_rng(3).normal(0, 0.1, 200)
    seen[[0, 100]] = 0.55, 0.45
    seen[[1, 101]] = 1.1, -0.1  # typical of the other class
    table = FactorTable(np.arange(200), target, np.arange(200), ("no", "yes"), (), {})
    features = {"thumbnail": seen[:, None], EDGES: np.zeros((200, 1))}
    rows, away, _ = checks._suspected_labels(table, ImageProperties(np.arange(200), {}, features))
    assert sorted(rows.tolist()) == [1, 101]
    assert (away > 0.9).all()


@pytest.mark.parametrize("flipped", [0.0, 0.06, 0.09])
def test_networks_judge_labels_of_images_that_they_were_not_trained_on(flipped: float) -> None:
    """Of 1,000 images three networks answer half each: all wrong labels there, none in a clean set, none else.

    A recipe whose networks are reversed in one of two environments judges none: it relies on something else.
    """
    draw, n = np.random.default_rng(5), 1000
    truth = np.arange(n) % 2
    wrong = draw.choice(n, int(flipped * n), replace=False)
    target = truth.copy()
    target[wrong] = 1 - target[wrong]
    table = FactorTable(np.arange(n), target, np.arange(n), ("no", "yes"), (), {})
    seen = ImageProperties(np.arange(n), {}, {"thumbnail": draw.normal(size=(n, 8)), EDGES: np.zeros((n, 1))})
    images = np.sort(draw.permutation(n)[: n - 200])
    tested = draw.random((3, len(images))) < 0.6
    images, tested = images[tested.any(axis=0)], tested[:, tested.any(axis=0)]

    def answers(recipe: str, side: np.ndarray, which: np.ndarray) -> tuple[str, SeedPredictions]:
        logits = draw.normal((2 * side - 1) * 4, 1.3, (3, len(images)))
        logits = np.where(tested, logits, np.nan)[:, which, None]
        return recipe, SeedPredictions(logits, target[images][which], images[which], image_indices=images[which])

    each = np.arange(len(images))
    mixed = np.where(each % 2, truth[images], 1 - truth[images])
    given = [answers("plain", truth[images], each), answers("tied", truth[images], each[1::2]),
             answers("tied", mixed, each[::2])]  # fmt: skip
    found, away, _ = checks._suspected_labels(table, seen, None, given)
    there = np.intersect1d(wrong, images)
    assert len(np.intersect1d(found, there)) >= 0.95 * len(there)
    assert len(np.setdiff1d(found, there)) <= (0.01 * n if flipped else 0)
    assert away.tolist() == sorted(away, reverse=True)
    assert not len(checks._suspected_labels(table, seen, None, given[1:])[0]), "reversed somewhere"
    assert not len(checks._suspected_labels(table, seen)[0]), "pictures say nothing"


@pytest.mark.parametrize("flipped", [0, 19])
def test_a_run_names_labels_that_its_own_networks_contradict(
    tmp_path: Path, flipped: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk is bright or dark at any place on a ground that balances it: no ridge regression sees it."""
    draw, (y, x) = np.random.default_rng(1), np.mgrid[:32, :32]
    truth, data = np.arange(N) % 2, tmp_path / "set"
    data.mkdir()
    for at in range(N):
        down, across = draw.integers(6, 26, 2)
        pixels = draw.normal(0, 8, (32, 32)) + (180 * truth[at] - 90) * ((y - down) ** 2 + (x - across) ** 2 <= 16)
        Image.fromarray((pixels + 128 - pixels.mean()).clip(0, 255).astype(np.uint8)).save(data / f"{at:03d}.png")
    wrong = {f"{at:03d}.png" for at in draw.choice(N, flipped, replace=False).tolist()}
    names = [f"{at:03d}.png" for at in range(N)]
    ill = [label ^ (name in wrong) for label, name in zip(truth.tolist(), names, strict=True)]
    pd.DataFrame({"image": names, "ill": ill, "patient": range(N)}).to_csv(data / "data.csv", index=False)
    spec = {"name": "flipped", "environments": {"train": {}, "same": {}}, "seeds": 1, "probes": ["performance"],
            "data": {"folder": str(data), "target": "ill", "patient": "patient", "size": 32, "split": {"folds": 3}},
            "recipe": {"epochs": 8, "optimizer": {"adamw": {"lr": 0.005}}}}  # fmt: skip
    run = load(spec).run(tmp_path / "run", workers=0, progress=False)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["results", str(run.folder), "--table", "issues", "--json"])
    found = {row["file"] for row in json.loads(capsys.readouterr().out) if row["kind"] == "suspected-label"}
    assert len(found & wrong) >= 0.9 * len(wrong)
    assert len(found - wrong) <= 2 * bool(flipped)
    assert len(run.table("issues")) == len(found)
    page = (run.folder / "report.html").read_text()
    words = (
        f"{len(found)} images: a label that predictions from other patients contradict (wrong, or of a difficult "
        "image), such as lines "
    )
    assert (words in page) == bool(flipped)
    assert not any("117.png" in path.read_text(errors="ignore") for path in run.folder.rglob("*.*"))
    assert "Best simple cues" not in page, "it is not the page of a look"


def test_thousands_of_images_are_compared_with_each_other_in_parts() -> None:
    """A patient may have more images than are looked at of many patients."""
    images = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    units = (images - images.mean(axis=1, keepdims=True)) / images.std(axis=1, keepdims=True)
    likest = np.sort(units[7] @ units.T / 64)[::-1][10]
    tracemalloc.start()
    found = checks._dissimilarity(images)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[7] == pytest.approx(1 - likest, abs=2e-3)
    assert most < 3000 * 3000 * 4


@pytest.mark.parametrize("lettered", [True, False])
def test_text_and_pictures_of_something_else_are_found(tmp_path: Path, lettered: bool) -> None:
    """Images of one scene at any contrast, or each with a letter; three have text, and three are blocks of gray."""
    draw, font = np.random.default_rng(4), ImageFont.load_default(18)
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, 256)])
    texts, blocks = {5, 40, 77}, {12, 61, 90}
    for at in range(120):
        rough = Image.fromarray(draw.normal(size=(16, 16)).astype(np.float32)).resize((256, 256))
        scene = np.cos(3 * x) * np.sin(2 * y + 1) + 0.5 * np.asarray(rough)
        if at in blocks:
            scene = np.kron(draw.normal(size=(6, 6)), np.ones((43, 43)))[:256, :256]
        gray = 140 + draw.uniform(8, 30) * scene + draw.normal(0, 3, scene.shape)
        image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        if lettered:
            pen.text(tuple(draw.integers(20, 220, 2).tolist()), "L", fill=255, font=font)
        if at in texts:
            text = "PORTABLE 12:30\nR SUPINE AP" if lettered else "12:30"
            pen.multiline_text((10, 10), text, fill=255, font=font)
        image.save(tmp_path / f"{at:03d}.png")
    table = pd.DataFrame({"image": [f"{at:03d}.png" for at in range(120)], "ill": np.arange(120) % 2})
    table.to_csv(tmp_path / "data.csv", index=False)
    look(tmp_path / "data.csv", out=tmp_path / "look")
    issues = pd.read_csv(tmp_path / "look" / "issues.csv", keep_default_na=False)
    files = {kind: {int(file[:3]) for file in part["file"]} for kind, part in issues.groupby("kind")}
    assert files == {"marked": texts, "outlying": blocks}


def test_a_frame_blurs_no_picture_and_many_are_not_odd() -> None:
    """Two in five pictures have a white frame or are all soft; one more is far softer than any."""
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(200, 1, 16, 16, generator=draw)
    gray = 0.3 + 0.3 * functional.interpolate(coarse, (128, 128), mode="bicubic")[:, 0].clamp(0, 1)
    gray += 0.02 * torch.randn(200, 128, 128, generator=draw)
    many, soft = torch.arange(200) % 5 < 2, functional.avg_pool2d(gray[:, None], 9, 1, 4)[:, 0]
    framed = gray.clone()
    framed[3] = soft[3]
    for side in (slice(0, 6), slice(-6, None)):
        framed[many, side] = framed[many, :, side] = 1

    def blurry(pictures: torch.Tensor) -> list[int]:
        found = properties_of(pictures[:, None].numpy())
        thumbnail = functional.adaptive_avg_pool2d(pictures, 16).flatten(1).double().numpy()
        return checks._find_odd_images(ImageProperties(np.arange(200), found, {"thumbnail": thumbnail}))["blurry"][
            0
        ].tolist()

    assert blurry(framed) == [3]
    assert blurry(torch.where(many[:, None, None], soft, gray)) == []


def smooth(side: tuple[int, int], count: int = 6) -> torch.Tensor:
    """Colored pictures [n, 3, h, w] in 0..1."""
    coarse = torch.rand(count, 3, 7, 9, generator=torch.Generator().manual_seed(side[0]))
    return functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("side", [(96, 96), (71, 101), (64, 130)])
def test_properties_are_those_of_pytorch(side: tuple[int, int]) -> None:
    pictures = smooth(side)
    gray, found = pictures.mean(dim=1), properties_of(pictures.numpy())
    down, across = (round(length / 10) for length in side)
    inner = gray[:, down : side[0] - down, across : side[1] - across]
    steps = inner.diff(dim=1).abs().mean(dim=(1, 2)) + inner.diff(dim=2).abs().mean(dim=(1, 2))
    outer = gray.sum(dim=(1, 2)) - inner.sum(dim=(1, 2))
    wanted = {
        "mean brightness": gray.mean(dim=(1, 2)),
        "contrast": gray.std(dim=(1, 2), correction=0),
        "share of black pixels": (gray <= 1.5 / 255).float().mean(dim=(1, 2)),
        "share of nearly white pixels": (gray >= 239.5 / 255).float().mean(dim=(1, 2)),
        "brightness of the border": outer / (gray[0].numel() - inner[0].numel()),
        "color saturation": (pictures.amax(dim=1) - pictures.amin(dim=1)).mean(dim=(1, 2)),
        "sharpness": steps / inner.std(dim=(1, 2), correction=0),
    }
    assert found.keys() - wanted.keys() == {"share of thin bright marks"}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["glints", "noise", "dark"])
@pytest.mark.parametrize("side", [16, 28, 32, 48, 128])
def test_texture_is_no_text(side: int, kind: str) -> None:
    """Glints in ten pictures, or the grain of noise, look like letters where a picture has few pixels."""
    draw = torch.Generator().manual_seed(side)
    smooth, noise = torch.rand(200, 1, 6, 6, generator=draw), torch.randn(200, side, side, generator=draw)
    gray = functional.interpolate(0.4 + 0.2 * smooth, (128, 128), mode="bicubic")
    for _ in range(6):
        y, x = torch.randint(20, 105, (2,), generator=draw).tolist()
        gray[:10, :, y : y + 6, x : x + 6] = 1
    gray = functional.interpolate(gray, (side, side), mode="area")[:, 0]
    if kind != "glints":
        grain = torch.rand(200, 1, 1, generator=draw) * noise
        gray = 0.1 + 0.15 * grain.abs() if kind == "dark" else 0.5 + 0.2 * grain
    found = properties_of(gray.clamp(0, 1)[:, None].numpy())
    thumbnail = functional.adaptive_avg_pool2d(gray, 16).flatten(1).double().numpy()
    assert not len(
        checks._find_odd_images(ImageProperties(np.arange(200), found, {"thumbnail": thumbnail}))["marked"][0]
    )


def test_labels_that_pictures_contradict_are_suspected_and_shuffled_ones_are_not(tmp_path: Path) -> None:
    draw, side, wrong = np.random.default_rng(8), np.arange(160) % 2, {7, 30, 55, 81, 120}
    for at in range(160):
        pixels = _blobs(draw).astype(np.int64)
        pixels[:, 48 * side[at] : 48 * side[at] + 48] += 40
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{at:03d}.png")
    for name, labels in (("kept", side), ("shuffled", draw.permutation(side))):
        ill = [label ^ (at in wrong) for at, label in enumerate(labels.tolist())]
        table = pd.DataFrame({"image": [f"{at:03d}.png" for at in range(160)], "ill": ill, "patient": range(160)})
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        look(tmp_path / f"{name}.csv", out=tmp_path / name)
        issues = pd.read_csv(tmp_path / name / "issues.csv", keep_default_na=False)
        found = set(issues["file"][issues["kind"] == "suspected-label"])
        assert found == ({f"{at:03d}.png" for at in wrong} if name == "kept" else set())
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert ("predictions from other patients are too weak" in page) is (name == "shuffled")


@pytest.mark.parametrize("marked", [True, False])
def test_right_labels_against_a_shortcut_are_not_doubted_alone(
    tmp_path: Path, marked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """All labels are right and a corner is marked in 90% of positives and 5% of negatives; or numbers of a network tell
    the class but for three wrong labels, which no cue explains.
    """
    draw, ill = np.random.default_rng(6), np.arange(160) % 2
    corner = draw.random(160) < np.where(ill == 1, 0.9, 0.05)
    for at in range(160):
        pixels = _blobs(draw)
        pixels[:18, :18] = 250 if marked and corner[at] else pixels[:18, :18]
        Image.fromarray(pixels).save(tmp_path / f"{at:03d}.png")
    names, wrong = [f"{at:03d}.png" for at in range(160)], [9, 90, 121]
    read = (corner if marked else np.where(np.isin(np.arange(160), wrong), 1 - ill, ill)) + draw.normal(0, 0.05, 160)
    pd.DataFrame({"image": names, "ill": ill, "patient": range(160)}).to_csv(tmp_path / "data.csv", index=False)
    pd.DataFrame({"image": names, "a": read}).to_csv(tmp_path / "seen.csv", index=False)
    given = ["--embeddings", str(tmp_path / "seen.csv"), "--out", str(tmp_path / "look")]
    with pytest.raises(SystemExit):
        main(["look", str(tmp_path / "data.csv"), *given])
    issues = pd.read_csv(tmp_path / "look" / "issues.csv", keep_default_na=False)
    found = issues["file"][issues["kind"] == "suspected-label"]
    planted = set(np.flatnonzero(corner != ill).tolist()) if marked else set(wrong)
    assert {int(name[:3]) for name in found} == planted
    page, said = (tmp_path / "look" / "report.html").read_text(), capsys.readouterr().out
    why = (
        r"(\d+) of (\d+) contradict a simple cue \(.*: AUROC 0[.]\d\d\): a shortcut or a difficult image would explain"
    )
    for text in (page, said):
        against = re.search(why, text)
        assert bool(against) == marked
        assert not against or (int(against[1]) > 0.9 * len(planted) and int(against[2]) == len(planted))
    assert ("of them contradict a simple cue" in page) == marked


@pytest.mark.parametrize("away", [4.0, -4.0, 0.75])
def test_a_weak_cue_explains_no_suspected_label(away: float) -> None:
    """Forty labels are wrong. A cue that tells the truth is against all of them, a weak one against two in three."""
    draw, n = np.random.default_rng(3), 1000
    truth, wrong = np.arange(n) % 2, np.arange(0, n, 25)
    label = np.where(np.isin(np.arange(n), wrong), 1 - truth, truth)
    table = FactorTable(np.arange(n), label, np.arange(n), ("no", "yes"), (), {})
    cue = number_cue("image", "tone", away * truth + draw.normal(size=n), table)
    found = checks._cue_against(table, [cue], wrong)
    assert cue.row["strong"]
    assert found["against"] >= 38 if abs(away) > 1 else not found, found


@pytest.mark.parametrize("away", [2.9, 1.2])
def test_many_wrong_labels_hide_no_more_than_few(away: float) -> None:
    """One label in eight is wrong, which brings an AUROC of 0.98 down to 0.86; classes that overlap have none."""
    draw, n = np.random.default_rng(3), 1000
    truth, wrong = np.arange(n) % 2, draw.random(n) < (0.125 if away > 2 else 0)
    features = np.stack([away * truth + draw.normal(size=n), *draw.normal(size=(8, n))], axis=1)
    seen = ImageProperties(np.arange(n), {}, {"thumbnail": features, EDGES: np.zeros((n, 1))})

    def suspected(label: np.ndarray) -> set[int]:
        table = FactorTable(np.arange(n), label, np.arange(n), ("no", "yes"), (), {})
        return set(checks._suspected_labels(table, seen)[0].tolist())

    found, planted = suspected(np.where(wrong, 1 - truth, truth)), set(np.flatnonzero(wrong).tolist())
    assert len(found & planted) >= 0.6 * len(planted)
    assert len(found - planted) <= 0.04 * n * bool(planted)
    assert not any(suspected(draw.permutation(truth)) for _ in range(10))


@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_images_that_are_hard_to_read_have_no_suspected_labels(wrong: float) -> None:
    """Two in five positives look negative: their labels look wrong, and must not make predictions count as good.

    Were all but one in ten positives read, 5% of wrong labels would be found.
    """
    draw, n = np.random.default_rng(1), 1000
    truth = np.arange(n) % 2
    label = np.where(draw.random(n) < wrong, 1 - truth, truth)
    planted = set(np.flatnonzero(label != truth).tolist())
    table = FactorTable(np.arange(n), label, np.arange(n), ("no", "yes"), (), {})

    def suspected(read: float) -> tuple[set[int], Any]:
        seen = 4.0 * truth * (draw.random(n) < read) + draw.normal(size=n)
        features = {"thumbnail": np.stack([seen, *draw.normal(size=(8, n))], axis=1), EDGES: np.zeros((n, 1))}
        rows, _, unjudged = checks._suspected_labels(table, ImageProperties(np.arange(n), {}, features))
        return set(rows.tolist()), unjudged

    found, unjudged = suspected(0.6)
    assert not found
    assert "too weak, with an AUROC of 0." in reason_words(unjudged)
    found, unjudged = suspected(0.9)
    assert not unjudged
    assert len(found & planted) >= 0.6 * len(planted)
    assert len(found - planted) <= 0.05 * n


def test_given_embeddings_judge_labels(root: Path, tmp_path: Path) -> None:
    """Pictures say nothing of the label; numbers of a network do, but for three images."""
    truth, draw = pd.read_csv(root / "plain" / "data.csv")["ill"].to_numpy(), np.random.default_rng(2)
    names, wrong = [f"{at:03d}.png" for at in range(N)], [9, 90, 200]
    told = truth.astype(float)
    told[wrong] = 1 - told[wrong]
    given = pd.DataFrame({"image": names, "a": told + draw.normal(0, 0.15, N), "b": draw.normal(size=N)})
    more = pd.DataFrame({"image": ["another.png"], "a": [0.5], "b": [0.5]})
    pd.concat([more, given.sample(frac=1, random_state=0)]).to_csv(tmp_path / "seen.csv", index=False)
    found = look(root / "plain", embeddings=tmp_path / "seen.csv", out=tmp_path / "look")
    issues = pd.read_csv(tmp_path / "look" / "issues.csv")
    assert set(issues["file"][issues["kind"] == "suspected-label"]) == {names[at] for at in wrong}
    assert not found.table("shortcuts")["strong"].any(), "what a network sees is no simple cue"
    for frame, said in (
        (given[30:], "30 of 240 images have no row in seen.csv, such as '000.png'"),
        (given.assign(image="x" + given["image"]), "240 of 240 images have no row in seen.csv, such as '000.png'"),
        (given.assign(b=given["b"].where(given["image"] != "003.png")), "seen.csv: a cell of 003.png is not a number"),
        (given[["image"]], "seen.csv: no column of numbers"),
        (given.rename(columns={"image": "scan"}), "(--)?embeddings: seen.csv has no column 'image'"),
    ):
        frame.to_csv(tmp_path / "seen.csv", index=False)
        with pytest.raises(AssayError, match=f"^{said}"):
            look(root / "plain", embeddings=tmp_path / "seen.csv", out=tmp_path / "look")


def test_masks_can_be_the_target_where_another_column_looks_like_one(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for at in range(60):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 8:20] = 255 * (at % 3 > 0)
        Image.fromarray(draw.integers(60, 120, (32, 32)).astype(np.uint8)).save(tmp_path / f"{at}.png")
        Image.fromarray(mask).save(tmp_path / f"m{at}.png")
    files = {"image": [f"{at}.png" for at in range(60)], "mask": [f"m{at}.png" for at in range(60)]}
    pd.DataFrame({**files, "scanner": list("AB") * 30}).to_csv(tmp_path / "data.csv", index=False)
    looked = look(tmp_path, target="lesion", out=tmp_path / "look")
    found, (picture,) = looked.table("shortcuts"), looked.table("pictures").to_dict("records")
    assert (picture["kind"], json.loads(picture["facts"])["rows"][:3]) == ("masks", [3, 4, 6])
    assert "mask, line 3" in (tmp_path / "look" / "report.html").read_text()
    assert {"present"} <= set(found["of"]) <= {"present", LARGE, ""}
    assert "scanner" in set(found["name"])
    with pytest.raises(AssayError, match="no column 'lesions'"):
        look(tmp_path, target="lesions", out=tmp_path / "look")


def test_labels_of_few_patients_are_not_judged_for_want_of_patients(tmp_path: Path) -> None:
    draw, side = np.random.default_rng(8), np.arange(24) % 2
    for at in range(24):
        pixels = _blobs(draw).astype(np.int64)
        pixels[:, 48 * side[at] : 48 * side[at] + 48] += 40
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{at:03d}.png")
    table = pd.DataFrame({"image": [f"{at:03d}.png" for at in range(24)], "ill": side, "patient": range(24)})
    table.to_csv(tmp_path / "data.csv", index=False)
    look(tmp_path / "data.csv", out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "are too few to be sure" in page
    assert "too few patients to be sure" in page
    assert "predictions from other patients are too weak" not in page


@pytest.mark.parametrize("of_one_class", [True, False])
def test_blank_images_of_one_class_are_a_cue(of_one_class: bool, tmp_path: Path) -> None:
    """Of 20 blank images among 240 the AUROC is 0.58 if all are of one class, which other cues need more for."""
    draw, rows = np.random.default_rng(3), list[dict[str, Any]]()
    for at in range(N):
        ill, pixels = at % 2, _blobs(draw)
        if at < 40 and (ill if of_one_class else at < 20):
            pixels = np.full((96, 96), 70 + at, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{at}.png")
        rows.append({"image": f"{at}.png", "ill": "yes" if ill else "no", "patient": f"P{at}"})
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    found = look(tmp_path, out=tmp_path / "look")
    cue = found.table("shortcuts").set_index("name").loc["blank"]
    assert cue["kind"] == "check"
    assert cue["strong"] == of_one_class
    assert cue["value"] == pytest.approx(0.5 + (20 / 120 / 2 if of_one_class else 0))
    page = (tmp_path / "look" / "report.html").read_text()
    assert ("20 images: blank, all of class" in page) == of_one_class
    assert "whether the image is blank predicts the target" not in page, "with an AUROC of 0.58 it predicts little"


@pytest.mark.parametrize("classes", [2, 4])
def test_checks_whose_images_are_of_any_class_are_hardly_ever_cues(classes: int) -> None:
    draw, strong = np.random.default_rng(5), 0
    for _ in range(200):
        target = np.arange(240) % classes
        table = FactorTable(np.arange(240), target, np.arange(240) // 2, tuple("abcd"[:classes]), (), {})
        odd = {kind: (draw.choice(240, 12, replace=False), np.ones(12)) for kind in checks.CHECKED}
        strong += any(cue.row["strong"] for cue in checks.check_cues(table, np.arange(240), odd))
    assert strong <= 10, "5% of sets"


@pytest.mark.parametrize("both", [True, False])
def test_the_cue_that_the_verdict_names_is_not_said_again(both: bool) -> None:
    """Of a segmentation the best cue may be one of lesion area, where no cue tells whether there is a lesion."""
    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "image", "of": of, "value": 0.9, "low": 0.8, "high": 0.95, "strong": both or of == LARGE}
        for of, name in (("lesion", "contrast"), (LARGE, "sharpness"), (LARGE, "mean brightness"))
    ]
    findings = findings_of_reasons(list(shortcut_cautions(rows)))
    words = " ".join(reason_words(one.reason) for one in further_findings(findings))
    assert "contrast" not in words
    assert ("sharpness" in words) == both
    assert "lesion area is predicted by" in words
    assert "mean brightness" in words


def test_rows_are_named_as_each_source_counts_them(tmp_path: Path) -> None:
    """Lines of a CSV count its header; files of folders and rows of a data frame have none."""
    draw = np.random.default_rng(4)
    pictures = [
        np.full((24, 24), 90, np.uint8) if at == 5 else draw.integers(40, 200, (24, 24)).astype(np.uint8)
        for at in range(40)
    ]
    labels = ["ill" if at % 2 else "well" for at in range(40)]
    for at, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        for folder in ("table", f"classes/{label}"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{at:02d}.png")
    table = pd.DataFrame({"image": [f"{at:02d}.png" for at in range(40)], "state": labels})
    table.to_csv(tmp_path / "table" / "data.csv", index=False)
    arrays = pd.DataFrame({"image": pictures, "state": labels})
    for name, data, said in (
        ("a", tmp_path / "table", "line 7 of data.csv"),
        ("b", tmp_path / "classes", "file 3 in the listing of classes/"),
        ("c", arrays, "row 6"),
    ):
        found = look(data, out=tmp_path / name)
        assert f"1 image: blank; {said}." in (tmp_path / name / "report.html").read_text(), name
        assert found.table("issues")["row"][0] == int(said.split()[1]), "the table of issues has the same number"
        files = pd.read_csv(tmp_path / name / "issues.csv", keep_default_na=False)["file"]
        assert files[0].endswith("05.png" if name != "c" else "05.npy")


def test_a_look_and_an_audit_measure_the_same_cue(tmp_path: Path) -> None:
    """Small files are not enlarged, and the size of a model's input decides nothing."""
    draw, folder = np.random.default_rng(5), tmp_path / "set"
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for at in range(80):
        pixels = Image.fromarray(_blobs(draw)[:64, :64])
        if at % 2 and at % 5:
            ImageDraw.Draw(pixels).text((4, 20), "L 12:30", fill=255)
        pixels.save(folder / f"{at}.png")
        rows.append({"image": f"{at}.png", "ill": at % 2, "patient": f"P{at}"})
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    found = look(folder, out=tmp_path / "look")
    (best, value, *_), *_ = found.table("shortcuts")[["name", "value"]].itertuples(index=False)
    assert best == "share of thin bright marks"
    assert value > 0.8
    page = (tmp_path / "look" / "report.html").read_text()
    assert "examined at 64 px" in page
    assert "The cue may be the finding itself" in page
    (picture,) = found.table("pictures").to_dict("records")
    facts = json.loads(picture["facts"])
    written = {at + 2 for at in range(80) if at % 2 and at % 5}
    assert set(facts["rows"][:6]) <= written
    assert not set(facts["rows"][6:]) & written
    drawn = np.asarray(Image.open(tmp_path / "look" / "pictures" / picture["file"]))
    orange = (drawn == (255, 140, 0)).all(axis=2)
    tall, wide = drawn.shape[0] // 2, drawn.shape[1] // 6
    first = orange[:tall, :wide].any(axis=1).nonzero()[0] * 64 / tall
    assert 20 < first.min() < first.max() < 34, "the letters, and nothing else, are outlined"
    assert orange[tall:].sum() < 0.1 * orange[:tall].sum()
    for size in (32, 96):
        model = audit(
            lambda images: images.mean(axis=(1, 2, 3)),
            {"folder": str(folder), "target": "ill", "patient": "patient", "size": size},
            out=tmp_path / f"audit-{size}",
            progress=False,
        )
        cues = model.table("shortcuts").set_index("name")["value"]
        assert cues[best] == pytest.approx(value, abs=1e-6), size


def test_no_image_of_a_sheet_is_wider_than_the_page(tmp_path: Path) -> None:
    """A row of eight large images with outlines is shown smaller; the file beside the page keeps its size."""
    draw, rows = np.random.default_rng(3), list[dict[str, Any]]()
    for at in range(24):
        Image.fromarray(np.repeat(_blobs(draw), 3, 0).repeat(3, 1)).save(tmp_path / f"{at}.png")
        mask = np.zeros((288, 288), np.uint8)
        mask[40:90, 50:120] = 255
        Image.fromarray(mask).save(tmp_path / f"m{at}.png")
        rows.append({"image": f"{at}.png", "mask": f"m{at}.png", "ill": at % 2, "patient": at})
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    found = look(tmp_path, target="ill", mask="mask", size=288, out=tmp_path / "look")
    (row,) = (one for one in found.table("pictures").to_dict("records") if one["kind"] == "masks")
    with Image.open(tmp_path / "look/pictures" / Path(row["file"]).name) as stored:
        assert stored.width > 1120
    page = (tmp_path / "look/report.html").read_text(encoding="utf-8")
    widths = [int(width) for width in re.findall(r'<img src="[^"]+" width="(\d+)"', page)]
    assert max(widths) <= 1120
    assert "sheets wider than the page are reduced" in page
