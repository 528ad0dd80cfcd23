from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.worlds.environments import part, recipe
from torch import nn

from assay.models import initialization, weight_files
from assay.models.weights import SCALINGS
from assay.plugin import WeightsError, build_network, empty_network, load_weights, read_weights, save_weights
from assay.testing.models import same_state

HERE = Path(__file__).parents[2]
ASSETS = Path(os.environ.get("ASSAY_ASSETS", HERE.parent / "shared" / "assets")) / "weights"
TIMM = part("architecture", "timm", model="resnet10t")


def network(initialization=None, architecture=TIMM, seed=0):
    fields = {} if initialization is None else {"initialization": initialization}
    return build_network(recipe(architecture=architecture, **fields), channels=1, size=32, classes=2, seed=seed)


def start(path, **params):
    return part("initialization", "file", path=str(path), **params)


@pytest.fixture
def source():
    """Weights as timm would publish them: trunk and a 1000-class head named fc."""
    other = network(seed=1)
    tensors = {key: value.clone() for key, value in other.trunk.state_dict().items()}
    return tensors | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_is_loaded_whole_and_its_head_is_dropped_by_name(tmp_path, source, suffix, prefix, caplog):
    path = tmp_path / f"weights{suffix}"
    named = {prefix + key: value for key, value in source.items()}
    save_file(named, path) if suffix == ".safetensors" else torch.save({"state_dict": named}, path)
    caplog.set_level("INFO")
    loaded = network(start(path, prefix=prefix))
    assert all(torch.equal(loaded.trunk.state_dict()[key], source[key]) for key in loaded.trunk.state_dict())
    assert torch.equal(loaded.head.weight, network().head.weight)
    assert loaded.start is not None
    assert loaded.start.left_out == (f"{prefix}fc (2 tensors)",)
    assert loaded.start.text() in caplog.text


def test_half_precision_becomes_float32(tmp_path, source):
    path = tmp_path / "weights.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in source.items()}, path)
    loaded = network(start(path)).trunk.state_dict()
    assert loaded["conv1.0.weight"].dtype == torch.float32
    assert torch.equal(loaded["conv1.0.weight"], source["conv1.0.weight"].half().float())


def test_every_key_that_does_not_fit_is_listed(tmp_path, source):
    path = tmp_path / "weights.safetensors"
    del source["bn1.weight"], source["layer1.0.conv1.weight"]
    source["extra.weight"] = torch.zeros(1)
    source["bn1.bias"] = torch.zeros(3)
    save_file(source, path)
    with pytest.raises(WeightsError) as error:
        network(start(path))
    assert str(error.value) == (
        f"weights file '{path}' does not fit the architecture 'resnet10t'; 2 missing: bn1.weight, "
        "layer1.0.conv1.weight; 1 unexpected: extra.weight; 1 wrong shape: bn1.bias is 3, expected 64; name the "
        "architecture of the file in recipe.architecture, or give a file of this one"
    )


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "module.model."])
def test_a_prefix_is_found_and_said(tmp_path, source, prefix):
    path = tmp_path / "weights.safetensors"
    save_file({prefix + key: value for key, value in source.items()}, path)
    loaded = network(start(path))
    assert loaded.start.prefix == prefix
    assert torch.equal(loaded.trunk.state_dict()["bn1.weight"], source["bn1.weight"])


class Trap:
    """A pickle that would create a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    path, mark = tmp_path / "weights.pt", tmp_path / "was-run"
    torch.save({"weight": Trap(mark)}, path)
    with pytest.raises(WeightsError, match="is a pickle that holds more than tensors and could run code: refused"):
        network(start(path))
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(WeightsError, match=r"refused|not a weights file"):
        network(start(path))
    assert not mark.exists()


def test_a_file_that_cannot_be_read_is_said(tmp_path, source):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError, match=r"does not exist; give the path of a .* or \.pth file"):
        read_weights(path)
    save_file(source, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is truncated or not a safetensors file"):
        read_weights(path)
    torch.save(source, tmp_path / "weights.pt")
    (tmp_path / "weights.pt").write_bytes((tmp_path / "weights.pt").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="is truncated or not a weights file"):
        read_weights(tmp_path / "weights.pt")
    page = tmp_path / "page.pth"
    page.write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(WeightsError, match=r"begins with b'<!DOCTYPE html><', as no file of PyTorch does: .* fetch it"):
        read_weights(page)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="holds a list, expected tensors by name"):
        read_weights(tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "number.pt")
    with pytest.raises(WeightsError, match="holds entries that are no tensors: a"):
        read_weights(tmp_path / "number.pt")
    torch.save({0: torch.ones(1)}, tmp_path / "index.pt")
    with pytest.raises(WeightsError, match="holds entries that are no tensors: 0"):
        read_weights(tmp_path / "index.pt")
    save_file(source, path)
    path.rename(tmp_path / "named.pt")
    with pytest.raises(WeightsError, match=r"is a safetensors file by its content: name it \.safetensors"):
        read_weights(tmp_path / "named.pt")


def test_tensors_that_no_training_wrote_are_refused_by_name(tmp_path):
    for what, value in (
        ("with NaN or infinity", torch.tensor([1.0, float("nan")])),
        ("of complex numbers", torch.ones(2, dtype=torch.complex64)),
    ):
        torch.save({"well": torch.ones(2), "badly": value}, tmp_path / "weights.pt")
        with pytest.raises(WeightsError, match=f"holds 1 tensors {what}: badly; save it again"):
            read_weights(tmp_path / "weights.pt")


def test_weights_wrapped_twice_are_unwrapped(tmp_path):
    torch.save({"model": {"state_dict": {"layer": torch.ones(2)}, "step": 3}, "epoch": 1}, tmp_path / "weights.pt")
    read = read_weights(tmp_path / "weights.pt")
    assert list(read.tensors) == ["layer"]
    assert read.ignored == ("epoch", "step")


def test_wherever_an_old_file_is_cut_it_is_said(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"cut\.pth' is "):
            read_weights(path)


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_refused_as_one(tmp_path):
    path = str(tmp_path / "program.pt")
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(path)
    with pytest.raises(WeightsError, match="holds more than tensors and could run code: refused"):
        read_weights(Path(path))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sha256": "0" * 64}, r"has SHA-256 \w{64}, expected 0{64}: it is another file"),
        ({"prefix": "model."}, r"no key begins with 'model\.'; the first is"),
    ],
)
def test_a_file_that_is_not_as_described_is_refused(tmp_path, source, given, told):
    path = tmp_path / "weights.safetensors"
    save_file(source, path)
    with pytest.raises(WeightsError, match=told):
        network(start(path, **given))


def test_metadata_set_input_scaling_and_epsilon_and_survive_a_round_trip(tmp_path, source):
    path = tmp_path / "weights.safetensors"
    save_file(source, path, {"input": "x*2-1", "bn_eps": "1e-3"})
    loaded = network(start(path)).eval()
    images = torch.rand(2, 1, 32, 32)
    assert torch.allclose(loaded.scaling(images), 2 * images.expand(-1, 3, -1, -1) - 1)
    assert {m.eps for m in loaded.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    save_weights(loaded, tmp_path / "kept.safetensors", {"trial": "x"})
    again = empty_network(recipe(architecture=TIMM), channels=1, size=32, classes=2).eval()
    assert load_weights(again, tmp_path / "kept.safetensors")["trial"] == "x"
    assert same_state(again, loaded)
    assert torch.equal(again(images), loaded(images))


def test_input_that_nobody_knows_is_refused(tmp_path, source):
    path = tmp_path / "weights.safetensors"
    save_file(source, path, {"input": "x / 255"})
    with pytest.raises(WeightsError, match=r"says that its input is 'x / 255'.*imagenet, symmetric, unit"):
        network(start(path))
    assert torch.equal(network(start(path, input="unit")).scaling(torch.ones(1, 3, 1, 1)), torch.ones(1, 3, 1, 1))


def test_published_weights_are_refused_at_once_without_a_connection(monkeypatch):
    monkeypatch.setattr(initialization, "_is_cached", lambda configuration: False)
    monkeypatch.setattr(initialization, "reachable", lambda url: False)
    missing = "the weights 'timm/resnet10t.c3_in1k' are not in the local cache and the model hub cannot be reached"
    with pytest.raises(WeightsError, match=rf"{missing}.*\(initialization: random\)"):
        network(part("initialization", "timm"))


def test_published_weights_are_loaded_and_must_fit(monkeypatch):
    theirs = network(seed=1).trunk.state_dict()
    monkeypatch.setattr(initialization, "_is_cached", lambda configuration: True)
    monkeypatch.setattr("assay.models.timm.download_published", lambda trunk, channels: theirs)
    loaded = network(part("initialization", "timm")).trunk.state_dict()
    assert all(torch.equal(loaded[key], theirs[key]) for key in theirs)
    with pytest.raises(WeightsError, match="weights file 'timm/resnet18' does not fit the architecture; "):
        network(part("initialization", "timm"), part("architecture", "resnet18", stem="small"))


def test_an_architecture_of_ours_has_no_published_weights():
    with pytest.raises(WeightsError, match="timm publishes no weights for this architecture; use initialization:"):
        network(part("initialization", "timm"), part("architecture", "small-cnn"))


def test_a_name_that_never_resolves_is_not_waited_for(monkeypatch):
    def slow(*_args, **_options):
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(weight_files.socket, "create_connection", slow)
    begun = time.monotonic()
    assert not weight_files.reachable("https://example.org/file", patience=0.05)
    assert time.monotonic() - begun < 0.9


def test_a_network_without_a_trunk_takes_no_published_weights(tmp_path):
    with pytest.raises(WeightsError, match="pretrained weights need a network with a trunk; Linear has none"):
        initialization.with_trunk(nn.Linear(1, 1))


def test_missing_batch_counters_are_no_fault(tmp_path):
    layer = nn.BatchNorm2d(2)
    path = tmp_path / "weights.safetensors"
    save_file({k: v for k, v in layer.state_dict().items() if k != "num_batches_tracked"}, path)
    layer.weight.data.fill_(2)
    load_weights(layer, path)
    assert torch.equal(layer.weight, torch.ones(2))


def test_the_same_network_is_the_same_bytes(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, eps=1e-3))
    for i in range(20):
        save_weights(network, tmp_path / f"{i}.safetensors", {"a": "1", "b": "2"})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert load_weights(network, tmp_path / "0.safetensors")["b"] == "2"


@pytest.mark.assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason="real weights are not at ASSAY_ASSETS")
@pytest.mark.parametrize(
    ("model", "name", "mean"),
    [
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0.imagenet", [0.485, 0.456, 0.406]),
        ("legacy_xception", "legacy_xception.imagenet", [0.5, 0.5, 0.5]),
        ("legacy_xception", "legacy_xception.dermoscopy-ft", [0.5, 0.5, 0.5]),
    ],
)
def test_real_weights_load(model, name, mean):
    loaded = network(start(ASSETS / f"{name}.safetensors"), part("architecture", "timm", model=model))
    assert loaded.scaling.mean.flatten().tolist() == pytest.approx(mean)
    assert {m.eps for m in loaded.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    held = read_weights(ASSETS / f"{name}.safetensors").tensors
    assert all(torch.equal(held[key], value) for key, value in loaded.trunk.state_dict().items() if key in held)
    assert loaded.start.left_out == (("classifier (2 tensors)",) if model == "tf_efficientnet_lite0" else ())
    assert loaded.start.scaling == SCALINGS["imagenet" if mean[0] == 0.485 else "symmetric"].words
    assert bool(loaded.eval()(torch.rand(2, 1, 32, 32)).isfinite().all())
