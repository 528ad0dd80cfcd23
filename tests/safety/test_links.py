"""Links in a folder of images that lead out of it are followed only where the user says so."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.worlds.audits import MARKS, audited, shortcut
from tests.worlds.audits import images as noise_images
from tests.worlds.files import write_table
from tests.worlds.studies import TINY, run_tiny

import assay
from assay.audit.request import AuditRequest
from assay.store.files import read_checked_json, write_checked_json
from assay.store.local import keep_paths, restore_paths
from assay.store.manifest import is_ours, write_manifest

REFUSED = "its path leads out of the folder by a link"


def save_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def link_class_folders(received: Path, elsewhere: Path) -> None:
    for name in ("no", "yes"):
        save_images(elsewhere / name, [f"{name}{at}.png" for at in range(8)])
        (received / name).symlink_to(elsewhere / name)


def link_files_of_classes(received: Path, elsewhere: Path) -> None:
    for name in ("no", "yes"):
        save_images(elsewhere / name, [f"{name}{at}.png" for at in range(8)])
        (received / name).mkdir()
        for file in (elsewhere / name).iterdir():
            (received / name / file.name).symlink_to(file)


def link_table(received: Path, elsewhere: Path) -> None:
    names = [f"{at}.png" for at in range(16)]
    save_images(received / "images", names)
    elsewhere.mkdir()
    rows = [f"images/{name},{'no' if at % 2 else 'yes'}" for at, name in enumerate(names)]
    (elsewhere / "private.csv").write_text("\n".join(["image,finding", *rows]))
    (received / "data.csv").symlink_to(elsewhere / "private.csv")


def link_table_in_capitals(received: Path, elsewhere: Path) -> None:
    link_table(received, elsewhere)
    (received / "data.csv").rename(received / "DATA.CSV")


def link_joined_table(received: Path, elsewhere: Path) -> None:
    """The rows of this table name images in a folder below by their stems, so that they are joined and kept."""
    save_images(received / "images", [f"{at}.png" for at in range(16)])
    elsewhere.mkdir()
    rows = [f"{at},{'no' if at % 2 else 'yes'}" for at in range(16)]
    (elsewhere / "private.csv").write_text("\n".join(["file,finding", *rows]))
    (received / "data.csv").symlink_to(elsewhere / "private.csv")


def link_participants(received: Path, elsewhere: Path) -> None:
    elsewhere.mkdir()
    for at in range(16):
        save_images(received / f"sub-{at}" / "anat", [f"sub-{at}_T1w.png"])
    rows = [f"sub-{at}\t{'no' if at % 2 else 'yes'}" for at in range(16)]
    (elsewhere / "private.tsv").write_text("\n".join(["participant_id\tfinding", *rows]))
    (received / "participants.tsv").symlink_to(elsewhere / "private.tsv")


def save_masks(folder: Path, end: str = "") -> None:
    folder.mkdir(parents=True)
    for at in range(16):
        pixels = np.zeros((32, 32), dtype=np.uint8)
        pixels[4 : 4 + at, 4:20] = 255 * (at % 2)
        Image.fromarray(pixels).save(folder / f"{at}{end}.png")


def link_masks(received: Path, elsewhere: Path) -> None:
    save_images(received / "images", [f"{at}.png" for at in range(16)])
    save_masks(elsewhere / "masks")
    (received / "masks").symlink_to(elsewhere / "masks")


def link_masks_matched_loosely(received: Path, elsewhere: Path) -> None:
    save_images(received / "imagesTr", [f"{at:03}_0000.png" for at in range(16)])
    (received / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 255}}')
    save_masks(elsewhere)
    (received / "labelsTr").mkdir()
    for at in range(16):
        (received / "labelsTr" / f"{at:03}.png").symlink_to(elsewhere / f"{at}.png")


def link_outlines(received: Path, elsewhere: Path) -> None:
    save_images(received / "images", [f"{at}.png" for at in range(16)])
    elsewhere.mkdir()
    images = [{"id": at, "file_name": f"{at}.png", "width": 32, "height": 32} for at in range(16)]
    square = {"category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "bbox": [2, 2, 7, 7], "area": 49}
    outlines = [{"id": at, "image_id": at, "iscrowd": 0, **square} for at in range(0, 16, 2)]
    sets = {"images": images, "annotations": outlines, "categories": [{"id": 1, "name": "lesion"}]}
    (elsewhere / "private.json").write_text(json.dumps(sets))
    (received / "annotations").symlink_to(elsewhere)


@pytest.mark.parametrize(
    "link",
    first_of([link_class_folders, link_files_of_classes, link_table, link_table_in_capitals, link_joined_table,
     link_participants, link_masks, link_masks_matched_loosely, link_outlines], 3),
)  # fmt: skip
def test_a_look_follows_links_only_with_its_option(
    link: Callable[[Path, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "received").mkdir()
    link(tmp_path / "received", tmp_path / "elsewhere")
    (tmp_path / "typed").symlink_to(tmp_path / "received")
    ask = Asking(capsys)
    refused = ask("look", "received", "--out", "refused")
    assert (refused.code, REFUSED in refused.err, "give --follow-links" in refused.err) == (2, True, True), refused
    assert not (tmp_path / "refused" / "report.html").exists()
    unmasked = ["--unmasked", "lesion-free"] if link is link_outlines else []
    followed = ask("look", "typed", "--out", "followed", "--follow-links", *unmasked)
    assert followed.code == 0, followed


@pytest.mark.parametrize("link", [link_table, link_table_in_capitals, link_joined_table, link_participants])
def test_no_study_is_begun_from_a_table_behind_a_link(
    link: Callable[[Path, Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "received").mkdir()
    link(tmp_path / "received", tmp_path / "elsewhere")
    answer = Asking(capsys)("init", tmp_path / "received", "--out", tmp_path / "study.yaml")
    assert (answer.code, REFUSED in answer.err) == (2, True), answer
    assert not list(tmp_path.glob("study*"))
    assert "give --follow-links" in answer.err
    followed = Asking(capsys)("init", tmp_path / "received", "--follow-links", "--out", tmp_path / "study.yaml")
    assert (followed.code, "to correct" in followed.out) == (0, False), followed
    assert "  links: follow" in (tmp_path / "study.yaml").read_text()


def test_a_folder_that_the_user_reaches_by_a_link_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("no", "yes"):
        save_images(tmp_path / "set" / name, [f"{name}{at}.png" for at in range(8)])
    (tmp_path / "typed").symlink_to(tmp_path / "set")
    assert Asking(capsys)("look", "typed", "--out", "out").code == 0


def make_folders_of_all_kinds(images: Path, ask: Asking) -> None:
    """Ask for every kind of folder, of images and tables elsewhere."""
    columns = ["--target", "label", "--patient", "who", "--size", "24"]
    data = noise_images(images, 48)
    cases = [[f"{at}.png", f"P{at}", at % 2, name, (at * 0.37 * (1 + (name == "b"))) % 1]
             for name in "ab" for at in range(60)]  # fmt: skip
    write_table(images / "scores.csv", [["image", "patient", "target", "model", "score"], *cases])
    assert ask("look", images / "data.csv", *columns[:4], "--out", "look").code == 0
    assert ask("validate", images / "scores.csv", "--by", "image", "--as-given", "--out", "validate").code == 0
    assert ask("compare", images / "scores.csv", "--by", "model", "--out", "compare").code == 0
    assert ask("audit", "prepare", "prepared", "--images", images / "data.csv", *columns).code == 0
    names = [path.name for path in sorted(Path("prepared/images").iterdir())]
    write_table(images / "far.csv", [["image", "score"], *([name, at / len(names)] for at, name in enumerate(names))])
    assert ask("audit", "score", "prepared", images / "far.csv", "--out", "score", "--no-pictures").code == 0
    audited(shortcut, data, Path("audit"), marks={"tag": MARKS["tag"]})
    (start := images / "weights").mkdir()
    run_tiny(Path("first"))
    weights = Path(shutil.copy(next(Path("first").glob("trials/*/weights.safetensors")), start))
    recipe = {**TINY["recipe"], "initialization": {"file": {"path": str(weights), "leave_out": ["scaling"]}}}
    write_study(images, recipe)
    assert ask("run", images / "study.yaml", "--out", "runs", "--workers", "0").code in (0, 1)
    assert ask("preview", images / "study.yaml", "--out", "previews").code == 0
    assert ask("register", images / "study.yaml", "--out", "registered").code == 0


def write_study(images: Path, recipe: dict[str, Any]) -> None:
    data = {
        "folder": str(images),
        "table": "data.csv",
        "target": "label",
        "patient": "who",
        "size": 32,
        "split": {"folds": 3},
    }
    study: dict[str, Any] = {**TINY, "data": data, "environments": {"train": {}, "same": {}}, "recipe": recipe}
    (images / "study.yaml").write_text(json.dumps(study))


def test_no_file_of_a_folder_names_the_place_of_the_data_or_the_home_of_its_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (work := tmp_path / "home" / "jane" / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(work.parent))
    monkeypatch.chdir(work)
    ask = Asking(capsys)
    make_folders_of_all_kinds(tmp_path / "mnt" / "set", ask)
    local = list(work.rglob("local/*"))
    assert {(path.parent / ".gitignore").read_text() for path in local} == {"*\n"}
    assert str(tmp_path / "mnt" / "set") in "".join(path.read_text() for path in local)
    files = [path for path in work.rglob("*") if path.is_file() and path not in local]
    assert {path.parent.name for path in files if path.name == "run.json"} == {
        "look", "validate", "compare", "score", "audit", "first", "tiny", "preview"
    }  # fmt: skip
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = "\n".join(map(str, duckdb.execute("FROM read_parquet(?)", [str(path)]).fetchall())).encode()
        assert str(tmp_path).encode() not in content, path
    assert ask("open", "look", "--bundle", "out.zip").code == 0
    (tmp_path / "file").touch()
    assert "choose another place with --bundle" in ask("open", "look", "--bundle", tmp_path / "file" / "out.zip").err
    with zipfile.ZipFile("out.zip") as packed:
        assert not [
            name for name in packed.namelist() if str(tmp_path).encode() in packed.read(name) or "local/" in name
        ]


def test_the_command_of_a_model_names_no_folder() -> None:
    line = AuditRequest(data="data.csv", command="/jane/bin/python /jane/predict.py {images} {scores}").line
    assert line.endswith("--command '…/python …/predict.py {images} {scores}'")


@pytest.mark.parametrize("folder", ["/", "home"])
def test_a_path_from_a_folder_of_homes_names_no_user(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data := tmp_path / "home" / "jane" / "data").mkdir(parents=True)
    request = AuditRequest(data=str(data), command="predict {images} {scores}")
    monkeypatch.chdir(tmp_path / folder)
    for home in (folder, data.parent):
        monkeypatch.setenv("HOME", str(tmp_path / home))
        assert f" {'…/data' if home == folder else '~/data'} " in f"{request.line} ", request.line
    monkeypatch.chdir(data.parent)
    assert " data " in f"{request.line} "


@pytest.mark.parametrize(
    "text",
    ["/jane", "/My jane/x", "//jane/x", "file:///home/jane/x", "(/home/jane/x)", "a,/home/jane/x", "a:/jane/x",
     "~jane/x", "C:\\Users\\jane\\x", "\\\\jane\\share\\x", "/home/jane", "run '/home/jane/a b' --x",
     "a: /home/jane/d\nb: 1", "../../home/jane/x", "../../mnt/Users/jane", "run ../home/jane/x --y",
     "cc -I/home/jane/x", "cannot read /home/Jo jane/x y.png: no", "C:\\Users\\Jo B jane\\x is bad", "`/home/jane/x`",
     "‘/home/jane/x’", "tables@/home/jane/x"],
)  # fmt: skip
def test_no_form_of_a_path_names_a_folder(tmp_path: Path, text: str) -> None:
    values: dict[str, Any] = {"schema": 1, "request": {"data": [text], text: 1.0}}
    hidden = keep_paths(tmp_path, "run", values)
    assert "jane" not in json.dumps(hidden) or text == "/jane", "a folder of the root has no other name"
    assert restore_paths(tmp_path, "run", hidden) == values
    assert restore_paths(tmp_path, "run", {**hidden, "schema": 2}) == {**hidden, "schema": 2}, "of another document"
    shutil.rmtree(tmp_path / "local")
    assert restore_paths(tmp_path, "run", hidden) == hidden


@pytest.mark.parametrize(
    "text",
    ["a/b", "../a", "../a/home", "home/a", "./home/a", "../ahome/b", "~/a", "https://a.org/b", "s3://a/b", "1 / 3",
     "and/or", "\\d+/", "…/a", "${SET}/a", "ER+/PR+", "0.8 +/- 0.02", "Scan (2)/x.png", "img[1]/x.png", "needs ~16 GB",
     "data~1.csv", "~100 images"],
)  # fmt: skip
def test_what_names_no_folder_stays(tmp_path: Path, text: str) -> None:
    assert keep_paths(tmp_path, "run", {text: [text]}) == {text: [text]}
    assert not (tmp_path / "local").exists()


def test_a_long_text_is_searched_for_paths_without_trying_each_part_with_all_that_follow(tmp_path: Path) -> None:
    values = {"text": "../" * 200_000}  # which would take hours
    assert keep_paths(tmp_path, "run", values) == values


def test_a_folder_that_comes_back_with_other_paths_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("content")
    keep_paths(tmp_path, "run", {"command": "python /home/jane/predict.py"})
    write_manifest(tmp_path, {}, ours=True)
    assert is_ours(tmp_path)
    keep_paths(tmp_path, "run", {"command": "python /tmp/from-another/predict.py"})
    assert not is_ours(tmp_path)
    shutil.rmtree(tmp_path / "local")
    assert is_ours(tmp_path)


def rewrite(values: Any) -> Callable[[Path], None]:
    return lambda path: write_checked_json(path, values)


def nest(path: Path) -> None:
    path.write_text('{"root": "/x", "values":' + "[" * 700 + "]" * 700 + "}")


def lengthen(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def name_without_letters(path: Path) -> None:
    path.with_name(os.fsdecode(b"\xff")).touch()


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def file_in_place_of_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.touch()


@pytest.mark.parametrize(
    ("change", "said"),
    first_of(
        [
            (rewrite({}), "no Assay wrote it; delete it: only"),
            (nest, "it is damaged"),
            (file_in_place_of_folder, "delete it"),
            (rewrite({"root": ["x"], "values": {}}), "no Assay wrote it"),
            (rewrite({"root": "x/y", "values": {}}), "no Assay wrote it"),
            (rewrite({"root": "/x", "values": [1]}), ""),
            (lengthen, "holds more than Assay writes; delete it"),
            (name_without_letters, ""),
            (folder_in_place, ""),
        ],
        3,
    ),
)
def test_strange_paths_beside_a_run_are_refused_in_a_sentence(
    change: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise_images(tmp_path / "set", 48)
    asked = ["validate", tmp_path / "scores.csv", "--by", "image", "--out", tmp_path / "run"]
    cases = [[f"{at}", at % 2, (at * 0.37) % 1] for at in range(60)]
    write_table(tmp_path / "scores.csv", [["image", "target", "score"], *cases])
    ask = Asking(capsys)
    assert ask(*asked).code == 0
    change(tmp_path / "run" / "local" / "run-paths.json")
    answers = [ask("doctor", tmp_path / "run"), ask("open", tmp_path / "run"), ask(*asked)]
    assert not [answer for answer in answers if "Traceback" in answer.err or answer.code not in (0, 1, 2)], answers
    assert said in "".join(answer.out + answer.err for answer in answers)


def test_a_folder_finds_its_images_where_it_is_moved_alone_and_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, project = Asking(capsys), tmp_path / "project"
    noise_images(project / "set", 48)
    columns = ["--target", "label", "--patient", "who", "--size", "24", "--most", "60"]
    assert ask("audit", "prepare", project / "out", "--images", project / "set" / "data.csv", *columns).code == 0
    names = [path.name for path in sorted((project / "out" / "images").iterdir())]
    write_table(tmp_path / "far.csv", [["image", "score"], *([name, at / len(names)] for at, name in enumerate(names))])
    score = ["audit", "score", tmp_path / "alone", tmp_path / "far.csv", "--no-pictures"]
    shutil.copytree(project / "out", tmp_path / "alone")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another user"))  # or of another container
    known = ask(*score)
    assert known.code == 0, known
    project.rename(tmp_path / "moved")
    moved = ask("audit", "score", tmp_path / "moved" / "out", tmp_path / "far.csv", "--no-pictures")
    assert moved.code == 0, moved
    shutil.copytree(tmp_path / "moved", tmp_path / "second")
    restored = restore_paths(
        tmp_path / "second" / "out", "prepared", read_checked_json(tmp_path / "second/out/prepared.json")
    )
    assert restored["data"]["folder"] == str(tmp_path / "second" / "set")
    shutil.rmtree(tmp_path / "alone" / "audit")
    shutil.rmtree(tmp_path / "alone" / "local")
    without = ask(*score)
    assert "alone has no local/ of this run, and names only the last part of '…/set'; prepare" in without.err


def test_a_failure_names_no_folder_of_its_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("failing.py").write_text(f"def Loss(context):\n    raise RuntimeError('no {tmp_path}/from-jane/a.bin')\n")
    recipe = {**TINY["recipe"], "loss": "failing:Loss"}
    Path("study.yaml").write_text(json.dumps({**TINY, "recipe": recipe}))
    answer = Asking(capsys)("run", "study.yaml", "--workers", "0")
    assert f"no {tmp_path}/from-jane/a.bin" in answer.err, "on the terminal"
    assert Asking(capsys)("report", "runs/tiny").code == 0
    files = [path for path in Path("runs").rglob("*") if path.is_file() and path.parent.name != "local"]
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = "\n".join(map(str, duckdb.execute("FROM read_parquet(?)", [str(path)]).fetchall())).encode()
        assert not [part for part in (str(tmp_path), "from-jane", str(Path(assay.__file__).parent))
                    if part.encode() in content], path  # fmt: skip
    assert "no …/a.bin" in Path("runs/tiny/report.html").read_text()


@pytest.mark.nightly
def test_an_exported_network_names_no_folder_of_its_maker(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (start := tmp_path / "from-jane").mkdir()
    weights = Path(shutil.copy(next(tiny_run.glob("trials/*/weights.safetensors")), start))
    run_tiny(
        tmp_path / "tiny",
        recipe={**TINY["recipe"], "initialization": {"file": {"path": str(weights), "leave_out": ["scaling"]}}},
    )
    assert '"…/weights.safetensors"' in (tmp_path / "tiny" / "run.json").read_text()
    assert "from-jane/weights.safetensors" in (tmp_path / "tiny" / "local" / "run-paths.json").read_text()
    assert Asking(capsys)("export", "tiny", "all", "network", "--out", ".").code == 0
    files = [path for path in (tmp_path / "network").rglob("*") if path.is_file()]
    assert not [path for path in files if b"from-jane" in path.read_bytes()]
    trial = next((tmp_path / "network").glob("*/model.json")).parent.name
    assert Asking(capsys)("export", "tiny", trial, "other", "--out", ".", "--format", "onnx").code == 0
    written = (tmp_path / "other" / "model.onnx").read_bytes()
    assert not [part for part in (b"from-jane", b'.py", line', b"site-packages") if part in written]
    weights.unlink()
    assert assay.load_model(next((tmp_path / "network").glob("*/model.json")).parent)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def nested(path: Path) -> None:
    path.write_text('{"images":' + "[" * 200_000)


def long_number(path: Path) -> None:
    path.write_text('{"images": [{"id": ' + "9" * 5_000 + '}], "annotations": []}')


def half_a_character(path: Path) -> None:
    path.write_text('{"images": [{"id": 1, "file_name": "\\ud800.png"}], "annotations": []}')


def no_utf8(path: Path) -> None:
    path.with_name(os.fsdecode(b"\xff.png")).write_bytes((path.parent / "no0.png").read_bytes())


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [("data.csv", pipe, "data.csv is a pipe or a device"), ("data.csv", device, "data.csv is a pipe or a device"),
     ("a.json", pipe, ""), ("a.json", nested, "a.json is nested too deeply"),
     ("a.json", half_a_character, "a.json is not JSON: 'utf-8' codec can't encode"),
     ("a.json", long_number, "a.json is not JSON: Exceeds the limit"),
     ("no/x.png", no_utf8, "is no UTF-8; rename it")],
)  # fmt: skip
def test_files_without_end_and_names_without_letters_are_refused(
    name: str, make: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("no", "yes"):
        save_images(tmp_path / "set" / part, [f"{part}{at}.png" for at in range(8)])
    make(tmp_path / "set" / name)
    answer = Asking(capsys)("init", tmp_path / "set", "--out", tmp_path / "study.yaml")
    assert said in answer.err, answer
    assert answer.code == (2 if said else 0), answer


@pytest.mark.parametrize("labels", ["[[[]]]", '{"b": 0, "l": 1e400}', '{"b": [0], "l": {"a": 1}}', '{"a": "b"}'])
def test_strange_labels_of_nnunet_are_refused_in_a_sentence(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_images(tmp_path / "set" / "imagesTr", [f"{at:03}_0000.png" for at in range(4)])
    save_images(tmp_path / "set" / "labelsTr", [f"{at:03}.png" for at in range(4)])
    (tmp_path / "set" / "dataset.json").write_text(f'{{"labels": {labels}}}')
    answer = Asking(capsys)("look", tmp_path / "set", "--out", tmp_path / "out")
    assert (answer.code, answer.err.startswith("dataset.json: its labels are no names with whole numbers")) == (2, True)


def test_a_pipe_in_place_of_a_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(tmp_path / "study.yaml")
    answer = Asking(capsys)("show", tmp_path / "study.yaml")
    assert answer.code == 2
    assert "study.yaml: a pipe or a device, which may have no end; give a file" in answer.err


@pytest.mark.parametrize("linked", ["looks/data", "looks"])
def test_a_look_writes_behind_no_link_in_the_place_of_its_results(
    linked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive keeps links, so that a folder of a stranger's may have one where a look puts its results."""
    received, victim = tmp_path / "received", tmp_path / "victim"
    for name in ("no", "yes"):
        save_images(received / "data" / name, [f"{name}{at}.png" for at in range(8)])
    place = victim if linked.endswith("data") else victim / "data"
    save_images(place / "pictures", ["holiday.png"])
    (place / "report.html").write_text("mine")
    (received / linked).parent.mkdir(exist_ok=True)
    (received / linked).symlink_to(victim)
    before = sorted(victim.rglob("*"))
    monkeypatch.chdir(received)
    answer = Asking(capsys)("look", "data")
    assert answer.code == 2
    assert ("is a link" if linked.endswith("data") else "has files that are no run's") in answer.err
    assert sorted(victim.rglob("*")) == before
    assert (place / "report.html").read_text() == "mine"


@pytest.mark.parametrize("beside", ["models", "manifest.json", "local"])
def test_no_name_of_a_table_puts_results_into_the_folder_above(
    beside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stem of `...csv` is `..`; and folders of other programs are called as those of a run."""
    rows = [f"{at},{at // 2},{at % 2},{(at * 7 % 40 + 9 * (at % 2)) / 49}" for at in range(80)]
    (tmp_path / "...csv").write_text("\n".join(["image,patient,target,score", *rows]))
    save_images(tmp_path / "pictures", ["holiday.png"])
    if beside.endswith(".json"):
        (tmp_path / beside).write_text('{"name": "an app"}')
    else:
        (tmp_path / beside).mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    for command in ("audit", "validate"):
        answer = Asking(capsys)(command, "...csv", "--patient", "patient")
        assert (answer.code, "a folder cannot be called '..': choose a place" in answer.err) == (2, True), answer
        answer = Asking(capsys)(command, "...csv", "--patient", "patient", "--out", ".")
        assert (answer.code, "has files that are no run's" in answer.err) == (2, True), answer
    assert sorted(tmp_path.rglob("*")) == before
