"""Keras's ResNets and DenseNet-121 rebuilt in NumPy from their published definition, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import h5py
import numpy as np

EPSILON = 1.001e-5
Weights = dict[str, dict[str, np.ndarray]]
Blocks = tuple[int, int, int, int]
RESNET50: Blocks = (3, 4, 6, 3)
RESNET26: Blocks = (2, 2, 2, 2)


class Layers:
    """Layers by Keras name. The first pass draws their weights from the shapes that they meet, later ones use them."""

    def __init__(self, seed: int, biased: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.biased = biased
        self.weights: Weights = {}

    def conv(self, x: np.ndarray, name: str, filters: int, size: int = 1, stride: int = 1, pad: int = 0) -> np.ndarray:
        """Channels last, kernel (height, width, in, out), zeros at the border."""
        if name not in self.weights:
            fan_in = size * size * x.shape[-1]
            kernel = self.random.normal(0, (2 / fan_in) ** 0.5, (size, size, x.shape[-1], filters))
            self.weights[name] = {"kernel": kernel.astype("f4")}
            if self.biased:
                self.weights[name]["bias"] = on_grid(self.random.normal(0, 0.5, filters))
        weights = {kind: values.astype("f8") for kind, values in self.weights[name].items()}
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        return np.tensordot(windows, weights["kernel"], ((4, 5, 3), (0, 1, 2))) + weights.get("bias", 0)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        if name not in self.weights:
            channels = x.shape[-1]
            self.weights[name] = {
                "gamma": self.random.uniform(0.5, 1.5, channels).astype("f4"),
                "beta": self.random.normal(0, 0.2, channels).astype("f4"),
                "moving_mean": on_grid(x.mean((0, 1, 2)) + self.random.normal(0, 0.2, channels)),
                "moving_variance": (x.var((0, 1, 2)) + self.random.uniform(0.5, 1, channels)).astype("f4"),
            }
        w = {kind: values.astype("f8") for kind, values in self.weights[name].items()}
        return (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + EPSILON) * w["gamma"] + w["beta"]


def on_grid(values: np.ndarray) -> np.ndarray:
    """Multiples of 1/1024, whose differences are exact in float32: a folded bias then loses nothing to rounding."""
    return (np.round(values * 1024) / 1024).astype("f4")


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def pooled(x: np.ndarray, size: int, stride: int, how: Callable[..., np.ndarray], pad: int = 0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return how(np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride], (4, 5))


def resnet(layers: Layers, x: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Pooled features: the stride of a stage is in the first, 1x1 convolution of its first block."""
    x = relu(layers.norm(layers.conv(x, "conv1_conv", 64, 7, 2, 3), "conv1_bn"))
    x = pooled(x, 3, 2, np.max, 1)
    for stage, (filters, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=2):
        for block in range(1, count + 1):
            name = f"conv{stage}_block{block}"
            stride = 2 if block == 1 and stage > 2 else 1
            y = relu(layers.norm(layers.conv(x, f"{name}_1_conv", filters, 1, stride), f"{name}_1_bn"))
            y = relu(layers.norm(layers.conv(y, f"{name}_2_conv", filters, 3, 1, 1), f"{name}_2_bn"))
            y = layers.norm(layers.conv(y, f"{name}_3_conv", 4 * filters), f"{name}_3_bn")
            if block == 1:
                x = layers.norm(layers.conv(x, f"{name}_0_conv", 4 * filters, 1, stride), f"{name}_0_bn")
            x = relu(x + y)
    return x.mean((1, 2))


def densenet121(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Pooled features."""
    x = relu(layers.norm(layers.conv(x, "conv1/conv", 64, 7, 2, 3), "conv1/bn"))
    x = pooled(x, 3, 2, np.max, 1)
    for stage, blocks in enumerate((6, 12, 24, 16), start=2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            y = layers.conv(relu(layers.norm(x, f"{name}_0_bn")), f"{name}_1_conv", 128)
            y = layers.conv(relu(layers.norm(y, f"{name}_1_bn")), f"{name}_2_conv", 32, 3, 1, 1)
            x = np.concatenate([x, y], -1)
        if stage < 5:
            y = layers.conv(relu(layers.norm(x, f"pool{stage}_bn")), f"pool{stage}_conv", x.shape[-1] // 2)
            x = pooled(y, 2, 2, np.mean)
    return relu(layers.norm(x, "bn")).mean((1, 2))


def caffe(images: np.ndarray) -> np.ndarray:
    """Images in 0 to 255, red green blue, channels last, as Keras's mode `caffe` prepares them."""
    return images[..., ::-1] - np.array([103.939, 116.779, 123.68])


def write_h5(path, weights: Weights, whole_model: bool = False, keras3: bool = False) -> None:
    """As `save_weights` or, nested under model_weights with an optimizer beside, as `save` of Keras 2 does."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole_model else file
        if whole_model:
            file.create_group("optimizer_weights")
        names = ["input_1", *weights]
        half = len(names) // 2
        group.attrs["layer_names0"] = [name.encode() for name in names[:half]]
        group.attrs["layer_names1"] = [name.encode() for name in names[half:]]
        for layer in names:
            inside = group.create_group(layer)
            tensors = weights.get(layer, {})
            ends = {kind: f"{layer}/{kind}" + ("" if keras3 else ":0") for kind in tensors}
            inside.attrs["weight_names"] = [end.encode() for end in ends.values()]
            for kind, end in ends.items():
                inside[end] = tensors[kind]


def port_keys(blocks: Blocks) -> Iterator[tuple[str, str]]:
    """(Keras layer, layer of the PyTorch port) of a ResNet, written out from the port's own module."""
    yield from (("conv1_conv", "conv1"), ("conv1_bn", "bn1"))
    for stage, count in enumerate(blocks):
        for block in range(count):
            here, there = f"conv{stage + 2}_block{block + 1}_", f"layer{stage + 1}.{block}."
            for number in (1, 2, 3):
                yield f"{here}{number}_conv", f"{there}conv{number}"
                yield f"{here}{number}_bn", f"{there}bn{number}"
            if block == 0:
                yield f"{here}0_conv", f"{there}downsample.0"
                yield f"{here}0_bn", f"{there}downsample.1"
