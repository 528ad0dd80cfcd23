"""Marks, exported networks and audits that somebody else handed over, made to harm."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.reading.test_scores import onnx_file

EVIL = "evil\x1b[31m\nPassed: fine"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Ask the command line in this process, as a user who made none of the folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    return Asking(capsys)


def test_no_code_that_a_file_of_marks_names_is_run(
    planted: Path, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("harmful_marks.py").write_text("open('ran', 'w').close()\nclass Mark: ...\n")
    Path("marks.yaml").write_text('m: [{"harmful_marks:Mark": {}}, {"harmful_marks:Mark": {}}, tag]')
    words = ["--images", planted / "set", "--target", "label", "--patient", "who", "--marks", "marks.yaml"]
    command = ["--command", "python no-such-file.py {images} {scores}"]
    for audit in (["prepare", "prepared"], [*command], [*command, "--dry-run"]):
        answer = ask("audit", *audit, *words)
        assert (answer.code, "that you have not run on this machine" in answer.err) == (2, True), answer
        assert not Path("ran").exists()


def set_part(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


STRANGE: list[Callable[[dict[str, Any]], None]] = [
    lambda values: values.clear(),
    set_part("input", "classes", value=10**9),
    set_part("input", "channels", value=10**6),
    set_part("input", "size", value="32"),
    set_part("output", "classes", value=3),
    set_part("output", "threshold", value="0.5"),
    set_part("output", "threshold", value=float("nan")),
    set_part("output", "operating", value=["x", {"a": 1}]),
    set_part("seed", value="../x"),
    set_part("recipe", value="x"),
]


def exported(ask: Asking, run: Path) -> Path:
    assert ask("export", run, "all", "network").code == 0
    return next(Path("network").glob("*/model.json")).parent


def audit_of(model: Path, planted: Path) -> tuple[str | Path, ...]:
    return "audit", model, "--images", planted / "set", "--target", "label", "--patient", "who", "--budget", "2000"


def test_strange_exported_networks_are_refused_in_a_sentence(run_copy: Path, planted: Path, ask: Asking) -> None:
    """Memory is taken for no number of classes or channels that no network has."""
    file = exported(ask, run_copy) / "model.json"
    whole = file.read_text()
    for change in STRANGE:
        values = json.loads(whole)
        change(values)
        file.write_text(json.dumps(values))
        answer = ask(*audit_of(file.parent, planted))
        assert (answer.code, "Traceback" in answer.err, "cannot read" in answer.err) == (2, False, True), answer.err


@pytest.mark.parametrize(
    "note",
    [{"batch_norm_eps": "[1]"}, {"batch_norm_eps": '{"nope": 1}'}, {"start": "{"}],
)
def test_strange_notes_in_weights_are_refused_in_a_sentence(
    note: dict[str, str], run_copy: Path, planted: Path, ask: Asking
) -> None:
    folder = exported(ask, run_copy)
    rewrite_weights(folder, lambda header: header["__metadata__"].update(note))
    answer = ask(*audit_of(folder, planted))
    assert (answer.code, "has notes that Assay does not write" in answer.err) == (2, True), answer.err


def rewrite_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of the weights of an exported network, and the checksum as who made it would."""
    weights, description = folder / "weights.safetensors", folder / "model.json"
    content = weights.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    values = json.loads(description.read_text())
    description.write_text(json.dumps({**values, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}))


def test_no_name_in_a_model_forges_a_line(run_copy: Path, planted: Path, ask: Asking) -> None:
    folder = exported(ask, run_copy)
    values = json.loads((folder / "model.json").read_text())
    set_part("output", "classes", value=[EVIL, "b"])(values)
    (folder / "model.json").write_text(json.dumps(values))
    answer = ask(*audit_of(folder, planted))
    assert (answer.code, "Passed" in answer.err, "\nPassed" in answer.err) == (2, True, False), answer.err
    rewrite_weights(folder, lambda header: header.update({EVIL: header.pop("head.bias")}))
    answer = ask(*audit_of(folder, planted))
    assert (answer.code, "Passed" in answer.err, "\nPassed" in answer.err) == (2, True, False), answer.err


def test_a_forged_preview_in_a_sound_run_is_found(run_copy: Path, planted: Path, ask: Asking) -> None:
    preview = Path(shutil.copytree(planted / "reader", run_copy / "preview"))
    found = json.loads(ask("doctor", run_copy, "--json").out)
    assert {row["what"]: row["light"] for row in found}["page of preview"] == "ok"
    (preview / "report.html").write_text("<h1>No shortcut</h1>")
    answer = ask("doctor", run_copy, "--json")
    assert (answer.code, [row["light"] for row in json.loads(answer.out) if "preview" in row["what"]]) == (1, ["bad"])
    (preview / "run.json").unlink()
    found = json.loads(ask("doctor", run_copy, "--json").out)
    assert [row["light"] for row in found if "preview" in row["what"]] == ["warn"]


@pytest.mark.parametrize(
    "code",
    first_of(
        [
            "from assay.plugin import SpecError\n    raise SpecError('x\\nPassed: fine')",
            "say({'error': 'DataError', 'text': 'x\\nPassed: fine'})",
            "say({'error': 'UnfitError', 'text': 'x\\nPassed: fine'})",
            "say({})",
            "say({'content': 'x', 'framing': 3, 'outputs': 3, 'notes': 3})",
        ]
    ),
    ids=["an error", "a message", "an error of another form", "no facts", "strange facts"],
)
def test_no_trusted_model_forges_a_line_or_ends_in_a_traceback_while_it_is_loaded(
    code: str, planted: Path, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    Path("telling_model.py").write_text(
        "import gc, json\nfrom multiprocessing.connection import Connection\n"
        "def say(message):\n    to = next(one for one in gc.get_objects() if type(one) is Connection)\n"
        f"    to.send_bytes(json.dumps(message).encode())\n    to.send_bytes(b'')\ndef make():\n    {code}\n"
    )
    answer = ask(*audit_of(Path("telling_model:make"), planted), "--trust")
    assert (answer.code, "\nPassed" in answer.err, "Traceback" in answer.err) == (2, False, False), answer.err


def returning(value: str) -> Callable[..., str]:
    return lambda *_, **__: value


REACHING: list[tuple[dict[str, Any], str]] = [
    ({"architecture": "hf-hub:evil/x", "model_args": {"cache_dir": "planted"}}, "the architecture 'hf-hub:evil/x'"),
    ({"architecture": "local-dir:/tmp"}, "the architecture 'local-dir:/tmp'"),
    ({"architecture": "test_resnet", "model_args": {"cache_dir": "planted"}}, "cache_dir in model_args"),
    ({"architecture": "test_resnet", "model_args": {"checkpoint_path": "evil.pth"}}, "checkpoint_path in model_args"),
    ({"architecture": "test_resnet", "model_args": {"pretrained_cfg": {}}}, "pretrained_cfg in model_args"),
    ({"backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:evil/x"}}, "has backbone, which can load"),
    ({"use_pretrained_backbone": True}, "has use_pretrained_backbone, which can load"),
    ({"configuration_files": ["config.4.0.0.json"]}, "has configuration_files, which can load"),
    ({"attn_implementation": "evil/code"}, "names code of another place (attn_implementation: evil/code)"),
]


@pytest.fixture
def refuse_network(
    ask: Asking, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any], str, list[str]], None]:
    """A command on images and a network of transformers whose config is refused with these words."""
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", returning("network"))
    Path("network").mkdir()

    def refuse(config: dict[str, Any], text: str, words: list[str]) -> None:
        network = {"model_type": "timm_wrapper", "num_classes": 2, **config}
        Path("network", "config.json").write_text(json.dumps(network))
        placed = [planted / "set" if word == "IMAGES" else word for word in words]
        answer = ask(*placed, "--target", "label", "--patient", "who", "--out", "out")
        assert (answer.code, text in answer.err, "Traceback" in answer.err) == (2, True, False), answer.err
        assert not Path("planted").exists()

    return refuse


@pytest.mark.parametrize(("config", "text"), REACHING, ids=[text for _, text in REACHING])
def test_the_config_of_a_network_of_transformers_loads_nothing_else(
    config: dict[str, Any], text: str, refuse_network: Callable[[dict[str, Any], str, list[str]], None]
) -> None:
    """It names no other repository, no folder to write to and no file with weights."""
    refuse_network(config, text, ["look", "IMAGES", "--embeddings", "hf:./network"])


@pytest.mark.parametrize(
    "words",
    first_of([["look", "IMAGES", "--embeddings", "hf:owner/name"],
     ["audit", "hf:owner/name", "--images", "IMAGES", "--dry-run"],
     ["audit", "hf:./network", "--images", "IMAGES", "--dry-run"]]),
)  # fmt: skip
def test_the_config_is_read_by_every_command_from_the_hub_and_from_a_folder(
    words: list[str], refuse_network: Callable[[dict[str, Any], str, list[str]], None]
) -> None:
    """An audit reads it in a process of its own, which takes seconds to start."""
    refuse_network(*REACHING[0], words)


def test_a_network_of_transformers_that_cannot_be_built_is_refused_in_a_sentence(
    ask: Asking, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    Path("network").mkdir()
    config = {"model_type": "timm_wrapper", "architecture": "test_resnet", "model_args": {"drop_rate": "x"}}
    Path("network", "config.json").write_text(json.dumps(config))
    answer = ask("look", planted / "set", "--embeddings", "hf:./network", "--target", "label", "--patient", "who")
    assert (answer.code, "Traceback" in answer.err) == (2, False), answer.err
    assert "hf:./network cannot be loaded: " in answer.err


@pytest.mark.parametrize("place", ["google/vit-base", "hf:google/vit-base"])
def test_no_folder_in_the_working_folder_is_read_as_a_network_of_the_hub(
    place: str, ask: Asking, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    Path(place).mkdir(parents=True)
    Path(place, "config.json").write_text("{}")
    images, name = planted / "set", "hf:google/vit-base"
    for words in (["look", images, "--embeddings", name], ["audit", name, "--images", images, "--dry-run"]):
        answer = ask(*words, "--target", "label", "--patient", "who", "--out", "out")
        text = " ".join(answer.err.split())
        assert (answer.code, "hf:google/vit-base cannot be loaded: " in text) == (2, True), text
        assert ("here is hf:./google/vit-base" in text) is (place == "google/vit-base"), text


@pytest.mark.parametrize(
    "config",
    ['{"label_names": "{{}}"}', f'{{"label_names": "[{"0," * (1 << 20)}]"}}', f'{{"a": "{"0" * (16 << 20)}"}}'],
    ids=["unhashable", "long text", "large file"],
)
def test_names_beside_a_model_are_read_in_bounds(config: str, planted: Path, ask: Asking, tmp_path: Path) -> None:
    """A text of 2 MB would take a gigabyte in this process, and one of 24 MB its memory."""
    model = onnx_file(tmp_path / "m.onnx", {"y": [4.0]})
    (tmp_path / "config.json").write_text(config)
    words = ["--images", planted / "set", "--target", "label", "--patient", "who", "--dry-run"]
    answer = ask("audit", model, *words)
    assert (answer.code in (0, 2), "Traceback" in answer.err) == (True, False), answer.err


def test_a_graph_of_millions_of_empty_operators_is_refused(ask: Asking, tmp_path: Path, planted: Path) -> None:
    """Two bytes of a file become hundreds in memory, before its process is limited."""
    model = onnx_file(tmp_path / "model.onnx", {"score": [1.0]})
    nodes = b"\x0a\x00" * (1_000_001)
    model.write_bytes(model.read_bytes() + b"\x3a" + _varint(len(nodes)) + nodes)
    answer = ask("audit", model, "--images", planted / "set", "--target", "label", "--patient", "who")
    assert (answer.code, "over 1,000,000 operators and tensors, more than a network has" in answer.err) == (2, True)


def _varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    return bytes([number & 127 | 128]) + _varint(number >> 7) if number > 127 else bytes([number])
