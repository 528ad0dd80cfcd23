"""Requests that are odd rather than wrong end with exit code 2 and at most three lines, not with a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cases import first_of
from tests.worlds.studies import TINY

import assay
from assay.cli import main
from assay.plugin import ComponentKind, RunFolder, SpecError, StoreError, lookup
from assay.spec.parse import parse_study
from assay.study.registration import read_prespecified

LONG = "a" * 300


def answer(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 1


def study(folder: Path, **changes: Any) -> str:
    path = folder / "odd.yaml"
    path.write_text(json.dumps({**TINY, **changes}))
    return str(path)


FILES: dict[str, Any] = {"target": "label", "size": 16}


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {**FILES, "folder": "~nobody-here/x"}},
        {"data": {**FILES, "folder": LONG}},
        {"data": {**FILES, "folder": ".", "table": f"{LONG}.csv"}},
        {"data": {"medmnist": f"{LONG}.npz", "size": 16}},
    ],
)
def test_paths_that_cannot_be(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environments = {"train": {}, "same": {"like": "train"}}
    assert answer("preview", study(tmp_path, **changes, environments=environments)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [["run", LONG], ["results", LONG], ["run", f"{LONG}.yaml"], ["show", LONG], ["run", "~nobody-here/a.yaml"]],
)
def test_names_that_no_file_can_have(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", ["1" * 5000, "0x" + "f" * 5000])
def test_a_number_of_thousands_of_digits(number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.yaml").write_text(f"name: odd\nseeds: {number}\n")
    assert answer("show", str(tmp_path / "odd.yaml"), "--json") == 2
    assert "digits; no field takes one of over 300" in capsys.readouterr().err
    for option in (("--set", f"seeds={number}"), ("--seeds", number), ("--device", number)):
        assert answer("preview", "nodule-loss", *option) == 2
        assert len(capsys.readouterr().err) < 500


def test_more_images_than_any_study_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer("preview", study(tmp_path, data={**TINY["data"], "train": 10**15}), "--out", str(tmp_path)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "  input should be less than or equal to 10000000"


def test_more_images_than_memory_holds_end_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> None:
        np.empty(10**15)

    monkeypatch.setattr("assay.study.preview.PreviewRun", allocate)
    assert answer("preview", study(tmp_path), "--out", str(tmp_path)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("there is too little memory: Unable to allocate 7.11 PiB")
    assert said.endswith("ask for fewer or smaller images")


@pytest.mark.parametrize("path", ["engine/stop/", "engine"])
def test_a_folder_in_the_place_of_a_file_and_the_reverse(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs" / "tiny" / path
    place.parent.mkdir(parents=True)
    place.mkdir() if path.endswith("/") else place.touch()
    assert answer("run", study(tmp_path), "--out", str(tmp_path / "runs"), "--workers", "1") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("engine/stop: a folder is in the place of a file, or a file in that of a folder: remove it")


def test_deeply_nested_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000)
    data = {"folder": str(tmp_path), "table": "a.json", "target": "lesion", "size": 16}
    environments = {"train": {}, "same": {"like": "train"}}
    assert answer("preview", study(tmp_path, data=data, environments=environments)) == 2
    assert "a.json is nested too deeply for COCO" in capsys.readouterr().err


def test_code_that_ends_python_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ending_module.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert answer("show", study(tmp_path, recipe={"loss": "ending_module:f"}), "--json") == 2
    assert "module 'ending_module' ends Python (sys.exit) when it is imported" in capsys.readouterr().err


@pytest.mark.parametrize("value", [[], None, 1, {"schema": 0}])
def test_records_of_another_kind(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "trials" / "a" / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError, match=r"holds no record|which no Assay wrote"):
        RunFolder(tmp_path).record("trials", "a")


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"pairs": []}'])
def test_a_list_of_comparisons_without_any_is_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "stated.json").write_text(text)
    with pytest.raises(StoreError, match=r"stated\.json: it is damaged .*; restore it"):
        read_prespecified(tmp_path, parse_study(TINY))


def test_own_code_is_named_before_it_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "telling_module.py").write_text("import sys\nprint('imported', file=sys.stderr)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert answer("show", study(tmp_path, recipe={"loss": "telling_module:f"}), "--json") == 2
    said = capsys.readouterr().err
    assert said.startswith("importing telling_module, which loss 'telling_module:f' names: its code runs\nimported\n")


def test_a_file_called_as_a_built_in_study_is_not_read_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lurking.py").write_text("raise SystemExit('it ran')\n")
    Path(study(tmp_path, recipe={"loss": "lurking:f"})).rename(tmp_path / "nodule-loss")
    monkeypatch.chdir(tmp_path)
    assert answer("run", "nodule-loss", "--dry-run") == 0
    shown = capsys.readouterr()
    assert "lurking" not in shown.err
    assert shown.out.startswith("nodule-loss: ")
    assert answer("run", "./nodule-loss", "--dry-run") == 2
    assert capsys.readouterr().err.startswith("importing lurking, which loss 'lurking:f' names: its code runs\n")
    (tmp_path / "nodule-loss").rename(tmp_path / "mine")
    assert answer("run", "mine", "--dry-run") == 2
    assert "'mine' has no ending .yaml, so that it is the name of no file: give the file as ./mine" in (
        capsys.readouterr().err
    )


PLANTED = (
    "pynvml",
    "dill",
    "pyarrow",
    "numexpr",
    "bottleneck",
    "random",
    "struct",
    "multiprocessing",
    "pathlib",
    "torch",
)
"""Optional libraries that others look for, and modules of Python."""


def planted(folder: Path) -> Path:
    """A folder of a small study with files that say when they are imported; returns where they say it."""
    said = folder / "imported.txt"
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(said)!r}, 'a').write('{name} ')\n")
    return said


SCRIPT = ["-P", "-c", "from assay.cli import main; main()"]
"""Python's words for the script `assay`."""


@pytest.mark.parametrize(
    ("start", "words"),
    first_of([(SCRIPT, ["look", "images"]), (SCRIPT, ["run", "odd.yaml", "--workers", "1"]), (SCRIPT, ["doctor"]),
     (["-m", "assay"], ["doctor"]), (["-P", "-m", "assay"], ["doctor"]),
     pytest.param(SCRIPT, ["run", "odd.yaml", "--on", "ray"], marks=pytest.mark.acceptance)], 2),
)  # fmt: skip
def test_no_file_in_the_working_folder_is_imported(start: list[str], words: list[str], tmp_path: Path) -> None:
    if "ray" in words:
        pytest.importorskip("ray")
    study(tmp_path)
    for place in range(6):
        folder = tmp_path / "images" / ("normal", "abnormal")[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 40 * place).save(folder / f"{place}.png")
    said = planted(tmp_path)
    done = subprocess.run([sys.executable, *start, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert not said.exists(), said.read_text()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("form", "start"),
    [(":{}", ["-P", "-m", "assay"]), ("{}:", ["-P", "-c", "from assay.__main__ import start; start()"])],
)
def test_no_file_is_imported_by_an_empty_entry_of_the_path(form: str, start: list[str], tmp_path: Path) -> None:
    study(tmp_path)
    said, package = planted(tmp_path), Path(assay.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, *start, "run", "odd.yaml", "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": form.format(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert not said.exists(), said.read_text()


def test_nothing_else_in_the_working_folder_is_loaded_beside_code_that_a_study_names(tmp_path: Path) -> None:
    """Libraries look wherever Python imports from for plug-ins of theirs, and for libraries that they could use."""
    (tmp_path / "mine.py").write_text(
        "import beside, pickle\nfrom assay.plugin import Objective\n"
        "try: pickle.loads(b'cfor_a_compiled_library\\nname\\n.')\nexcept ImportError: pass\n"
        "class Loss(Objective):\n"
        "    def __init__(self, context): super().__init__()\n"
        "    def loss(self, outputs, batch, progress):\n"
        "        import later\n        return outputs.logits.square().mean()\n"
    )
    said = tmp_path / "loaded.txt"
    for module in ("beside", "later", "planted", "library_that_is_not_installed", "for_a_compiled_library"):
        (tmp_path / f"{module}.py").write_text(f"print({module!r}, file=open({str(said)!r}, 'a'))\n")
    (found := tmp_path / "planted-1.dist-info").mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (found / "entry_points.txt").write_text("[torch.backends]\nplanted = planted:load\n")
    (libraries := tmp_path / "libraries").mkdir()
    (libraries / "library.py").write_text("try: import library_that_is_not_installed\nexcept ImportError: pass\n")
    (tmp_path / "beside.py").open("a").write("import library\n")
    command = [sys.executable, *SCRIPT, "run", study(tmp_path, recipe={"loss": "mine:Loss", "epochs": 1})]
    places = os.pathsep.join(filter(None, [str(libraries), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*command, "--workers", "1"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": places},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(said.read_text().split()) == {"beside", "later"}


def test_code_imports_what_lies_beside_it_in_every_way_and_from_its_folder_alone(tmp_path: Path) -> None:
    (here := tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (here / "mine.py").write_text(
        "\n".join(f"x{number} = 1" for number in range(300))
        + "\nimport importlib, threading, package.inside as _\nfrom star import *\n__import__('by_call')\n"
        "importlib.import_module('by_name')\n(thread := threading.Thread(target=lambda: __import__('aside'))).start()\n"
        "thread.join()\ndef later():\n    import late\n    importlib.reload(late)\n"
    )
    (here / "package").mkdir()
    names = ("star", "by_call", "by_name", "aside", "late", "package/inside")
    for file in [here / f"{name}.py" for name in names]:
        file.write_text("print(__name__)\n")
    code = (
        "import os\nfrom assay.core.own_code import import_named\nmine = import_named('mine')\n"
        "try: import_named('other')\nexcept ImportError: print('-')\n"
        "open('other.py', 'w').write('print(1 / 0)')\nos.chdir('../elsewhere')\nmine.later()\n"
        "open('other.py', 'w').write('')\nimport_named('other')"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (
        ["package.inside", "star", "by_call", "by_name", "aside", "-", "late", "late"],
        "",
    )


def test_no_settings_of_numba_in_the_working_folder_are_obeyed(tmp_path: Path) -> None:
    """They may name a cache, from which Numba loads pickles. It reads them again when it compiles."""
    (tmp_path / ".numba_config.yaml").write_text("cache_dir: planted\n")
    code = "import assay.core.compiled, numba; numba.njit(lambda x: x)(1); print(numba.config.CACHE_DIR)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.parametrize(
    ("module", "own"),
    first_of([("core.opencv", None), ("core.opencv", "/opt/lib"), ("training.losses.overlap", None),
     ("models.monai_networks", None)]),
)  # fmt: skip
def test_no_library_in_the_working_folder_is_loaded_by_a_program_that_is_started(module: str, own: str | None) -> None:
    """OpenCV adds an empty part, the working folder, to the places where the loader looks for libraries."""
    code = f"import os, assay.{module}; print(os.environ.get('LD_LIBRARY_PATH'), 'cv2' in __import__('sys').modules)"
    variables = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    variables |= {} if own is None else {"LD_LIBRARY_PATH": own}
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(own), "True"]


@pytest.mark.parametrize("place", [".", "tls/x86_64", "glibc-hwcaps/x86-64-v3"])
def test_no_library_in_the_working_folder_is_loaded_as_a_driver(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fault of cuSPARSELt, importing torch loads it, and code in it runs."""
    monkeypatch.chdir(tmp_path)
    assert answer("list", "losses") == 0
    (library := Path(place, "libcuda.so.1")).parent.mkdir(parents=True, exist_ok=True)
    library.touch()
    assert answer("list", "losses") == 2
    assert capsys.readouterr().err.startswith(f"{library} lies in the working folder, and NVIDIA's")


def test_the_module_as_a_program_imports_no_library_from_the_working_folder(tmp_path: Path) -> None:
    said = planted(tmp_path)
    for name in ("random", "struct", "multiprocessing"):  # Python itself begins in that folder
        (tmp_path / f"{name}.py").unlink()
    command = [sys.executable, "-m", "assay", "doctor"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not said.exists(), said.read_text()


def test_code_in_the_working_folder_runs_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(context, *, weight: float = 1.0): ...\n")
    study(tmp_path, recipe={"loss": "mine:loss"})
    command = [sys.executable, "-P", "-c", "from assay.cli import main; main()", "show", "odd.yaml", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "importing mine, which loss 'mine:loss' names" in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["os:abort", "subprocess:Popen", "os.path:join"])
def test_pythons_own_library_is_no_component(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer("show", study(tmp_path, recipe={"loss": name}), "--json") == 2
    assert f"loss '{name}' is no loss: it is of Python's own library" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("loss", "numpy:sum", "it takes a, axis, dtype, out, keepdims, initial, where, and a loss takes 1 positional "),
        ("loss", "torch.nn:Linear", "the class has no loss"),
        ("loss", "torch.nn.functional:cross_entropy", "it takes input, target, weight, "),
        ("loss", "pandas:DataFrame", "the class has no loss"),
        ("loss", "PIL.Image:open", "it takes fp, mode, formats, and a loss takes"),
        ("loss", "torch.nn.utils:parameters_to_vector", "its parameter parameters is not the context that a loss is"),
        ("loss", "torch.nn:ReLU", "the class has no loss"),
        ("loss", "numpy:pi", "it is a float, not a class or a function"),
        ("loss", "torch:relu", "Python cannot read which arguments it takes"),
        ("probe", "torch.nn:Linear", "the class has no scope and no requests and no measure"),
        ("intervention", "torch.nn:Linear", "the class has no check and no draw and no mask"),
        ("architecture", "torch.nn:Linear", "it takes in_features, out_features, "),
    ],
)
def test_a_path_to_another_thing_is_no_component(kind: ComponentKind, name: str, why: str) -> None:
    with pytest.raises(SpecError) as refused:
        lookup(kind, name)
    assert str(refused.value).startswith(f"{kind} '{name}' is no {kind}: {why}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [("context", True), ("_", True), ("_context", True), ("given: LossContext", True), ("logits", False)],
)
def test_a_function_of_one_thing_is_a_loss_only_if_that_is_the_context(
    parameters: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"one_parameter_{parameters.partition(':')[0]}"
    (tmp_path / f"{module}.py").write_text(
        f"from assay.plugin import LossContext\ndef make({parameters}, *, weight: float = 1.0): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    if fits:
        assert lookup("loss", f"{module}:make").name == f"{module}:make"
        return
    with pytest.raises(SpecError, match="its parameter logits is not the context that a loss is made from; name it"):
        lookup("loss", f"{module}:make")


def test_types_that_cannot_be_read_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from __future__ import annotations\ndef make(context, *, how: Unknown = 1): ...\n"
    (tmp_path / "untyped_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match="the types of its arguments cannot be read: name 'Unknown' is not defined"):
        lookup("loss", "untyped_module:make")


def test_own_code_can_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unread_module.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = study(tmp_path, recipe={"loss": "unread_module:Loss"})
    for command in (["show", path, "--json"], ["preview", path], ["run", path]):
        assert answer(*command, "--no-own-code") == 2
        assert "loss 'unread_module:Loss' is code of your own, which --no-own-code refuses" in capsys.readouterr().err


def test_catalogs_of_other_packages_are_named_and_can_be_refused(tmp_path: Path) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assay.catalog]\nother = other_catalog\n")
    (tmp_path / "other_catalog.py").write_text("print('it runs')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "assay", "show", "nodule-loss", "--json"]
    # No name of Assay's own: one of the other package, perhaps.
    other = ["--set", "recipe.loss=other-loss", "--set", "grid.only=[]"]
    with_it, without, own = (
        subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
        for more in (other, [*other, "--no-own-code"], [])
    )
    assert own.returncode == 0
    assert "other_catalog" not in own.stderr + own.stdout
    assert "importing other_catalog, which the entry point 'other' of an installed package names" in with_it.stderr
    assert "it runs" in with_it.stdout
    assert "it runs" not in without.stdout
    assert "other_catalog" not in without.stderr
    assert "unknown loss 'other-loss'" in without.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nih", {"finding": "Mass", "table": LONG}),
        ("endotect", {"images": LONG}),
        ("endotect", {"images": ".", "masks": LONG}),
        ("chexpert", {"finding": "Edema", "folder": "~nobody-here/x"}),
        ("lidc", {"folder": LONG}),
    ],
)
def test_paths_of_public_sets_that_cannot_be(
    name: str, arguments: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"dataset": {name: {"folder": str(tmp_path), **arguments}}, "size": 16}
    environments = {"train": {}, "same": {"like": "train"}}
    assert answer("preview", study(tmp_path, data=data, environments=environments)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert 0 < said.count("\n") <= 3


def test_a_user_without_a_home_is_remembered_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: object) -> None:
        raise KeyError(user)

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    rows = [f"P{at},{at % 2},{0.3 + at % 2 * 0.2 + at % 7 / 20:.2f}" for at in range(40)]
    Path("scores.csv").write_text("\n".join(["patient,label,score", *rows]))
    assert answer("validate", "scores.csv", "--out", "made") == 0
    assert answer("show", study(tmp_path)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "odd.yaml", "scores.csv"]


@pytest.mark.parametrize(
    "words", [("audit", "~nobody-here/m.onnx", "--images", "."), ("validate", "~nobody-here/s.csv")]
)
def test_the_home_of_nobody_is_no_traceback(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(*words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_example_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert answer("example", str(tmp_path / "made")) == 74
    assert "cannot write" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", [True, False])
def test_an_example_deletes_no_folder_that_is_given_the_name_of_its_own(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody can who may write to the folder in which it is made."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    save, made = Image.Image.save, list[Path]()

    def swap(image: Image.Image, path: Path) -> None:
        if not made:
            made.append(next(tmp_path.glob(".made*")))
            made[0].rename(tmp_path / "elsewhere")
            (tmp_path / "thesis").rename(made[0])
        if fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, tmp_path / "elsewhere" / "images" / path.name)

    monkeypatch.setattr(Image.Image, "save", swap)
    answer("example", str(tmp_path / "made"))
    assert (made[0] / "chapter.txt").read_text() == "mine"
    assert not (tmp_path / "made" / "chapter.txt").exists()
