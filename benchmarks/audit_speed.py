"""Passes a second of an audit, and of the model alone, with a small network and a ResNet-18, both as ONNX files.

    python benchmarks/audit_speed.py [--budget 3000] [--rounds 3]

Every image is a phantom chest. The model answers in a process of its own, as any file does. Its own speed is that of
one process that puts batches through onnxruntime, and does nothing else. The share is the part of it that an audit
keeps, statistics and page included.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _shared import Page, parser
from torch import nn

from assay.models.external import OnnxNetwork
from assay.probes import reader


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--budget", type=int, default=3000)
    made.add_argument("--rounds", type=int, default=3)
    return made.parse_args()


def exported(network: nn.Module, side: int, path: Path) -> Path:
    """Write a network of gray images as ONNX, any number of images at once."""
    torch.manual_seed(0)
    batch = {0: "b"}
    with contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 1, side, side),),
            str(path),
            dynamo=False,
            input_names=["images"],
            output_names=["scores"],
            dynamic_axes={"images": batch, "scores": batch},
        )
    return path


def small() -> nn.Module:
    """Three convolutions."""
    layers = [nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))


def resnet() -> nn.Module:
    import torchvision

    made = torchvision.models.resnet18(num_classes=1)
    made.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return made


def alone(path: Path, side: int) -> float:
    """Passes a second of the model in this process."""
    torch.set_num_threads(1)
    network, images = OnnxNetwork(path), torch.rand(reader.BATCH, 1, side, side)
    network(images)
    start, passes = time.perf_counter(), 0
    while time.perf_counter() - start < 3:
        network(images)
        passes += len(images)
    return passes / (time.perf_counter() - start)


COUNTED = """
import sys, time
from assay.models import process
answer, passes = process.ProcessNetwork.forward, 0
def forward(self, images):
    global passes, first
    if not passes: first = time.perf_counter()
    passes += len(images)
    return answer(self, images)
process.ProcessNetwork.forward = forward
from assay.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end
print(passes, time.perf_counter() - first, file=sys.stderr)
"""


def audited(path: Path, data: Path, side: int, budget: int, out: Path, *more: str) -> float:
    """Passes a second of an audit, from its first pass to its page."""
    asked = f"--target mass --patient patient --columns sex,view --size {side} --domain phantom-chest --head softmax"
    given = ["--images", str(data), *asked.split(), "--as-given", "-q", "--budget", str(budget), "-o", str(out), *more]
    command = [sys.executable, "-c", COUNTED, "audit", str(path), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    passes, seconds = done.stderr.splitlines()[-1].split()
    return int(passes) / float(seconds)


def main() -> None:
    given = options()
    page = Page(("model", "side, px", "model alone, passes/s", "audit, passes/s", "share"), given.out)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        subprocess.run([sys.executable, "-m", "assay", "example", str(root / "data"), "--audit"], check=True,
                       capture_output=True)  # fmt: skip
        for name, network, side in (("three convolutions", small(), 64), ("ResNet-18", resnet(), 224)):
            path = exported(network, side, root / f"{name}.onnx")
            rounds = [
                (alone(path, side), audited(path, root / "data", side, given.budget, root / f"{name}-{n}"))
                for n in range(given.rounds)
            ]
            of_model, of_audit = np.median(np.array(rounds), axis=0)
            shares = [audit / model for model, audit in rounds]
            page.row(name, side, f"{of_model:.0f}", f"{of_audit:.0f}", f"{np.median(shares):.2f}")
        page.close()


if __name__ == "__main__":
    main()
