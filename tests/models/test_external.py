"""Models from ONNX files and commands: the same answers as in torch, and nothing that reaches beyond the file."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tests.audit.test_given_models import grays
from torch import nn

import assay
from assay.core.types import Inputs
from assay.models.external import CommandModel, CommandNetwork
from assay.models.formats import given_origin
from assay.models.onnx_session import OnnxSession
from assay.models.ref import FunctionOrigin, GivenModel, Output
from assay.plugin import AssayError, ExtraError, SpecError, WeightsError


def network(channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, 2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    ).eval()


def exported(path: Path, model: nn.Module, shape: tuple[int, ...], **more: Any) -> Path:
    torch.onnx.export(model, (torch.rand(shape),), path, verbose=False, **more)
    return path


def by_hand(path: Path, nodes: list[Any], shape: list[Any], initial: list[Any] = [], **more: Any) -> Path:  # noqa: B006
    given = helper.make_tensor_value_info("x", more.pop("kind", TensorProto.FLOAT), shape)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, more.pop("out", None))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [given], [out], initial),
        opset_imports=[helper.make_opsetid("", 18), *more.get("sets", [])],
    )
    model.ir_version = 10
    onnx.save(model, str(path))
    return path


def mean(path: Path, shape: list[Any], **more: Any) -> Path:
    """The mean of an image, as one score."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0, noop_with_empty_axes=0)]
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    nodes[0].input.append("axes")
    return by_hand(path, nodes, shape, [axes], **more)


@pytest.mark.parametrize(("fixed", "shape"), [(False, (5, 1, 16, 16)), (True, (1, 1, 16, 16)), (True, (4, 1, 16, 16))])
def test_an_exported_network_gives_the_answers_of_torch(tmp_path: Path, fixed: bool, shape: tuple[int, ...]) -> None:
    model = network()
    more = {} if fixed else {"dynamic_shapes": ({0: torch.export.Dim("b", min=1, max=512)},)}
    origin = given_origin(exported(tmp_path / "m.onnx", model, shape, **more))
    images = torch.rand(7, 1, 16, 16)
    with torch.inference_mode():
        found, expected = origin.network("cpu")(images), model(images)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=2e-5)
    first = origin.content
    exported(tmp_path / "m.onnx", nn.Sequential(network(), nn.Linear(2, 2)), shape)
    assert given_origin(tmp_path / "m.onnx").content != first


def test_assay_probe_measures_an_onnx_file_as_the_module_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    data, model = grays(tmp_path / "set"), network()
    path = exported(tmp_path / "m.onnx", model, (1, 1, 16, 16))
    found, expected = (
        assay.probe(one, data, out=tmp_path / name, progress=False).table().query("measure == 'log-loss'")
        for name, one in {"onnx": path, "torch": model}.items()
    )
    assert found.value.to_numpy() == pytest.approx(expected.value.to_numpy(), abs=1e-4)
    with pytest.raises(SpecError, match="an ONNX file shows none"):
        assay.probe(path, data, probes=["decodability"], layers=["0"], progress=False)


def test_channels_last_half_precision_and_bytes_are_taken(tmp_path: Path) -> None:
    images = torch.rand(3, 1, 8, 8)
    last = given_origin(mean(tmp_path / "last.onnx", ["b", 8, 8, 1])).network("cpu")
    assert torch.allclose(last(images), images.mean((1, 2, 3)), atol=1e-6)
    cast = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    for kind, scale in ((TensorProto.FLOAT16, 1), (TensorProto.UINT8, 255)):
        nodes = [*cast, helper.make_node("GlobalAveragePool", ["f"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
        path = by_hand(tmp_path / f"{kind}.onnx", nodes, ["b", 1, 8, 8], kind=kind)
        assert torch.allclose(
            given_origin(path).network("cpu")(images * scale)[:, 0], images.mean((1, 2, 3)) * scale, atol=0.5
        )


@pytest.mark.parametrize(
    ("shape", "images", "text"),
    [
        ([1, 1, 8, 8], (2, 1, 16, 16), "takes images of 8 px, these have 16"),
        ([1, 3, 8, 8], (2, 1, 8, 8), "3 channels, and these have 1: give data.channels: color"),
        ([1, 4, 8, 8], (2, 3, 8, 8), r"4 channels, and these have 3: Assay gives 1 \(gray\) or 3 \(color\); put what"),
        ([1, 1, 8, 4], (2, 1, 8, 8), "8 x 4 px, and Assay reads squares"),
    ],
)
def test_images_of_another_shape_are_refused_with_the_remedy(
    tmp_path: Path, shape: list[int], images: tuple[int, ...], text: str
) -> None:
    with pytest.raises(SpecError, match=text):
        given_origin(mean(tmp_path / "m.onnx", shape)).network("cpu")(torch.zeros(images))


def test_a_gpu_that_onnxruntime_cannot_use_is_one_sentence(tmp_path: Path) -> None:
    session = OnnxSession(mean(tmp_path / "model.onnx", ["b", 1, 8, 8]), 1)
    assert session.on("cpu") is session.session
    with pytest.raises(SpecError, match="no CUDA that works; install onnxruntime-gpu"):
        session.on("cuda:0")


def test_the_process_of_an_onnx_file_does_without_torch(tmp_path: Path) -> None:
    """It is there in a tenth of the time, and takes a tenth of the memory."""
    origin = given_origin(mean(tmp_path / "model.onnx", ["b", 1, 8, 8]), limit=60)
    network, images = origin.network("cpu"), torch.rand(3, 1, 8, 8)
    assert torch.allclose(network(images), images.mean((1, 2, 3)), atol=1e-6)
    process = Path(f"/proc/{network._process.pid}")
    assert "onnxruntime" in (maps := (process / "maps").read_text())
    assert "libtorch" not in maps
    assert int((process / "status").read_text().partition("VmRSS:")[2].split()[0]) < 200_000


def outside(folder: Path, location: str, weight: float = 2.0) -> Path:
    """The weighted mean of an image, whose weight is in another file."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Mul", ["f", "w"], ["y"]),
    ]
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [weight])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "4"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "w.bin").write_bytes(np.float32(weight).tobytes())
    path = folder / "m.onnx"
    given, out = (helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [1, 1, 8, 8]), ("y", [1, 1])))
    graph = helper.make_graph(nodes, "g", [given], [out], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def test_tensors_beside_the_file_are_read_and_hashed(tmp_path: Path) -> None:
    origin = given_origin(outside(tmp_path, "w.bin"))
    assert origin.network("cpu")(torch.full((1, 1, 8, 8), 0.25)).tolist() == [[0.5]]
    before = origin.content
    assert given_origin(outside(tmp_path, "w.bin", 3.0)).content != before


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "link.bin", ""])
def test_tensors_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = outside(folder, location)
    (folder / "w.bin").rename(tmp_path / "w.bin")
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(WeightsError, match="outside its folder"):
        given_origin(path).network("cpu")


def test_a_second_place_of_a_tensor_is_looked_at_too(tmp_path: Path) -> None:
    """Some versions of onnxruntime read the last of two places, others the first."""
    path = outside(tmp_path, "w.bin")
    model = onnx.load(path, load_external_data=False)
    second = model.graph.initializer[0].external_data.add()
    second.key, second.value = "location", "../w.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="outside its folder"):
        given_origin(path).network("cpu")


def test_a_sparse_tensor_outside_the_folder_is_refused(tmp_path: Path) -> None:
    path = outside(tmp_path, "w.bin")
    model = onnx.load(path, load_external_data=False)
    values = model.graph.initializer.pop()
    values.external_data[0].value = "../w.bin"
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("at", TensorProto.INT64, [1], [0]), [1])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="outside its folder"):
        given_origin(path).network("cpu")


def test_a_tensor_that_a_function_has_by_default_is_looked_at(tmp_path: Path) -> None:
    path = outside(tmp_path, "w.bin")
    model = onnx.load(path, load_external_data=False)
    values = model.graph.initializer.pop()
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(onnx.AttributeProto(name="value", ref_attr_name="v", type=onnx.AttributeProto.TENSOR))
    made = helper.make_function(
        "own", "Weights", [], ["w"], [constant], [helper.make_opsetid("", 17)],
        attribute_protos=[helper.make_attribute("v", values)],
    )  # fmt: skip
    model.functions.append(made)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.insert(0, helper.make_node("Weights", [], ["w"], domain="own"))
    path.write_bytes(model.SerializeToString())
    before = given_origin(path).content
    (tmp_path / "w.bin").write_bytes(np.float32(3).tobytes())
    assert given_origin(path).content != before
    model.functions[0].attribute_proto[0].t.external_data[0].value = "../w.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="outside its folder"):
        given_origin(path).network("cpu")


def test_foreign_operators_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    foreign = by_hand(
        tmp_path / "f.onnx",
        [helper.make_node("Run", ["x"], ["y"], domain="evil")],
        [1, 1, 8, 8],
        sets=[helper.make_opsetid("evil", 1)],
    )
    inner = helper.make_graph(
        [helper.make_node("Run", ["x"], ["z"], domain="evil")], "i", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    hidden = by_hand(
        tmp_path / "h.onnx",
        [helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)],
        [1, 1, 8, 8],
        [yes],
        sets=[helper.make_opsetid("evil", 1)],
    )
    for path in (foreign, hidden):
        with pytest.raises(WeightsError, match="the operator 'Run' of 'evil'"):
            given_origin(path).network("cpu")
    (tmp_path / "bad.onnx").write_bytes(b"\x80\x04nothing")
    for name, text in (("bad.onnx", "damaged, or no ONNX file"), ("none.onnx", "there is no file")):
        with pytest.raises(WeightsError, match=text):
            given_origin(tmp_path / name).network("cpu")


def test_without_the_extra_the_error_has_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mean(tmp_path / "m.onnx", [1, 1, 8, 8])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"pip install 'assay-imaging\[onnx\]'"):
        given_origin(path).network("cpu")


PROGRAM = """
import csv, sys
from pathlib import Path
import numpy as np
from PIL import Image
with open(sys.argv[2], "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["image", "malignant"])
    for path in sorted(Path(sys.argv[1]).iterdir(), reverse=True):
        writer.writerow([path.name, np.asarray(Image.open(path)).mean() / 255])
"""


def command(folder: Path, program: str = PROGRAM) -> str:
    (folder / "predict.py").write_text(program)
    return f"{sys.executable} '{folder / 'predict.py'}' {{images}} {{scores}}"


def test_a_command_reads_a_folder_and_writes_scores(tmp_path: Path) -> None:
    images = torch.rand(5, 3, 8, 8)
    origin = CommandModel(command(tmp_path))
    found = origin.network("cpu")(images)
    assert torch.allclose(found[:, 0].float(), images.mean((1, 2, 3)), atol=2e-3)
    assert origin.facts.outputs == ("malignant",)
    before = origin.content
    assert CommandModel(command(tmp_path, PROGRAM + "#")).content != before
    assert origin.name == "predict"


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("import sys; sys.exit('no weights')", "ended with exit code 1: no weights"),
        ("import os; os.kill(os.getpid(), 11)", "ended with signal 11"),
        ("import os; os.write(2, bytes([255])); os._exit(1)", "ended with exit code 1: \ufffd"),
        ("raise MemoryError", "ended with exit code 1: MemoryError$"),
        ("pass", "wrote no scores.csv"),
        (
            "import sys; open(sys.argv[2], 'w').write('image,p\\n000000.png,0.5\\n')",
            "no row for 1 of 2 images, such as 000001.png",
        ),
        (
            "import sys; open(sys.argv[2], 'w').write('image,p\\n000000.png,x\\n000001.png,1')",
            "a score that is not a number",
        ),
        (
            "import sys; open(sys.argv[2], 'w').write('image,p\\n000000.png,0.5\\n000000.png,0.7\\n000001.png,0')",
            "1 rows of images that it has already, such as 000000.png",
        ),
        (
            "import sys; open(sys.argv[2], 'w').write('image,p\\n000000.png,1_0\\n000001.png,0')",
            "not a number, such as 0",
        ),
        ("import sys; open(sys.argv[2], 'w').write('a,p\\n0,1')", "needs a column `image`"),
    ],
)
def test_a_command_that_fails_is_explained(tmp_path: Path, program: str, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        CommandNetwork(command(tmp_path, program))(torch.zeros(2, 1, 8, 8))


def test_a_command_is_ended_by_what_it_holds_and_not_by_what_it_reserves(tmp_path: Path) -> None:
    images = torch.zeros(2, 1, 8, 8)
    reserved = "import mmap; kept = mmap.mmap(-1, 2**31, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)"  # as CUDA does
    assert CommandNetwork(command(tmp_path, f"{reserved}{PROGRAM}"), memory=0.3)(images).shape == (2, 1)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}])"
    held = "import time; kept = b'x' * 400_000_000; time.sleep(60)"
    for program in (held, child.format(held)):
        with pytest.raises(SpecError, match=r"took more than 0.3 GB; give --memory for more$"):
            CommandNetwork(command(tmp_path, program), memory=0.3)(images)


MASKS_OUT = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
for path in sorted(Path(sys.argv[1]).iterdir()):
    pixels = np.asarray(Image.open(path))
    Image.fromarray((pixels > 127).astype(np.uint8)).save(Path(sys.argv[2]) / path.name.replace("_0000", ""))
"""
"""A program as `nnUNetv2_predict -i {images} -o {masks}`: it reads names with _0000 and writes them without."""


def masks_out(folder: Path, program: str = MASKS_OUT) -> CommandNetwork:
    return CommandNetwork(command(folder, program).replace("{scores}", "{masks}"))


def test_a_command_reads_a_folder_and_writes_masks(tmp_path: Path) -> None:
    images = torch.rand(5, 1, 8, 8)
    found = masks_out(tmp_path)(images)
    assert found.shape == images.shape
    assert torch.equal(found > 0, (images * 255).round() > 127)
    write = "for path in Path(sys.argv[1]).iterdir(): np.save(Path(sys.argv[2]) / path.stem, {})"
    start = "import sys; import numpy as np; from pathlib import Path\n"
    of_half = masks_out(tmp_path, start + write.format("np.full((8, 8), 0.5)"))(images)
    assert torch.equal(of_half, torch.zeros(5, 1, 8, 8))
    for values, text in {
        "np.full((8, 8), 2)": "values outside 0 to 1",
        "np.zeros((4, 8))": r"has the shape \[4, 8\]",
    }.items():
        with pytest.raises(SpecError, match=text):
            masks_out(tmp_path, start + write.format(values))(images)
    twice = "for name in ('000000.npy', '000000_0000.npy'): np.save(Path(sys.argv[2]) / name, np.zeros((8, 8)))"
    with pytest.raises(SpecError, match=r"has 2 masks of one image: 000000\.npy, 000000_0000\.npy"):
        masks_out(tmp_path, start + twice)(images)
    with pytest.raises(SpecError, match=r"wrote no mask of 5 of 5 images, such as 000000_0000\.png"):
        masks_out(tmp_path, "pass")(images)
    with pytest.raises(SpecError, match=r"one of \{scores\} and \{masks\}"):
        CommandNetwork("python predict.py {images} {scores} {masks}")


def test_a_command_may_do_what_its_user_may(tmp_path: Path) -> None:
    """SECURITY.md says so. Where this fails, more is held than it says."""
    write = f"from pathlib import Path; Path({str(tmp_path / 'outside')!r}).write_text('x')\n"
    CommandNetwork(command(tmp_path, write + PROGRAM))(torch.rand(2, 1, 8, 8))
    assert (tmp_path / "outside").read_text() == "x"


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "late"
    began = time.monotonic()
    with pytest.raises(SpecError, match="took more than 1 s for 1 images; give --time-limit for more"):
        CommandNetwork(f"sh -c 'sleep 3; touch {note}; true' {{images}} {{scores}}", 0.5)(torch.zeros(1, 1, 8, 8))
    assert time.monotonic() - began < 2.5
    time.sleep(max(0.0, 3.5 - (time.monotonic() - began)))
    assert not note.exists()


@pytest.mark.parametrize(
    "words", ["python predict.py {images}", "no-such-program {images} {scores}", "a '{images} {scores}"]
)
def test_a_command_that_cannot_be_run_is_refused(words: str) -> None:
    with pytest.raises(AssayError):
        CommandNetwork(words)(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
@pytest.mark.parametrize("scores", ["logits", "probabilities", "percent"])
def test_one_of_several_outputs_is_read_as_its_log_odds(scores: Any, head: Any) -> None:
    logits = np.array([[0.5, -1.0, 2.0], [3.0, 0.0, -2.0]])
    p = 1 / (1 + np.exp(-logits)) if head == "sigmoid" else np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = FunctionOrigin(lambda images: {"logits": logits, "probabilities": p, "percent": 100 * p}[scores])
    model = GivenModel(given, "m", "classification", Inputs(1, 8, 2), scores=scores, output=Output(2, head))
    with model.open() as opened:
        found = opened.network(torch.zeros(2, 1, 8, 8)).numpy()
    assert found == pytest.approx(np.log(p / (1 - p))[:, [2]], abs=1e-5)
    with (
        GivenModel(given, "m", "classification", Inputs(1, 8, 2), output=Output(3)).open() as opened,
        pytest.raises(SpecError, match="outputs count from 0"),
    ):
        opened.network(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_percent_are_those_of_probabilities_of_the_same_precision(dtype: Any) -> None:
    shares, found = np.array([[0.0], [0.5], [1.0]], dtype), list[np.ndarray]()
    scores: tuple[Literal["probabilities", "percent"], ...] = ("probabilities", "percent")
    for factor, kind in zip((1, 100), scores, strict=True):
        given = FunctionOrigin(lambda images, factor=factor: dtype(factor) * shares)
        with GivenModel(given, "m", "classification", Inputs(1, 8, 2), scores=kind).open() as opened:
            found.append(opened.network(torch.zeros(3, 1, 8, 8)).numpy())
    assert found[0].tolist() == found[1].tolist()
    assert found[1][1].tolist() == [0.0]
    assert found[1][2, 0] == pytest.approx({np.float32: 17.3287, np.float64: 37.4299}[dtype], abs=1e-4)
