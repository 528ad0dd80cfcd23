"""Times a library for `benchmarks/distortions.py`, in the environment that holds it. Prints JSON.

PYTHON benchmarks/distortions_reference.py imagecorruptions|albumentations SIZE REPETITIONS
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

ALBUMENTATIONS = {
    "gaussian-noise": "GaussNoise", "shot-noise": "ShotNoise", "impulse-noise": "SaltAndPepper",
    "speckle-noise": "MultiplicativeNoise", "gaussian-blur": "GaussianBlur", "defocus-blur": "Defocus",
    "glass-blur": "GlassBlur", "motion-blur": "MotionBlur", "zoom-blur": "ZoomBlur", "snow": "RandomSnow",
    "fog": "RandomFog", "spatter": "Spatter", "brightness": "RandomBrightnessContrast",
    "contrast": "RandomBrightnessContrast", "saturate": "HueSaturationValue", "elastic-transform": "ElasticTransform",
    "pixelate": "Downscale", "jpeg-compression": "ImageCompression",
}  # fmt: skip


def seconds(work: Callable[..., object], *args: Any, **kwargs: Any) -> float:
    begun = time.process_time()
    work(*args, **kwargs)
    return time.process_time() - begun


def imagecorruptions(image: np.ndarray, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, the mean over severities of the least of the repetitions."""
    library, found = import_module("imagecorruptions"), dict[str, float]()
    corrupt: Any = library.corrupt
    for name in library.get_corruption_names("all"):
        corrupt(image, 1, name)  # what is compiled is compiled now
        of = [min(seconds(corrupt, image, severity, name) for _ in range(repetitions)) for severity in (1, 2, 3, 4, 5)]
        found[name.replace("_", "-")] = statistics.mean(of)
    return found


def albumentations(image: np.ndarray, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, the mean over calls, since each draws a strength of its own."""
    library, found = import_module("albumentations"), dict[str, float]()
    import_module("cv2").setNumThreads(1)
    for family, name in ALBUMENTATIONS.items():
        transform = getattr(library, name)(p=1.0)
        transform(image=image)
        found[family] = statistics.mean(seconds(transform, image=image) for _ in range(5 * repetitions))
    return found


if __name__ == "__main__":
    peer, size, repetitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    picture = np.random.default_rng(0).integers(30, 220, (size, size, 3)).astype(np.uint8)
    print(
        json.dumps({"imagecorruptions": imagecorruptions, "albumentations": albumentations}[peer](picture, repetitions))
    )
