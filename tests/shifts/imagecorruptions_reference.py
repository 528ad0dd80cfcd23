"""Makes `reference_distortions.npz` with imagecorruptions-imaug 1.1.5, in an environment that holds it alone:

    python -m venv reference && reference/bin/pip install imagecorruptions-imaug==1.1.5
    reference/bin/python tests/shifts/imagecorruptions_reference.py

One color image under every family and severity but `frost`, every second row kept. Each call begins with NumPy's
global generator seeded with 0, so that a test can draw again what the reference drew: its stream never changes.
"""

from pathlib import Path

import numpy as np
from imagecorruptions import corrupt, corruptions, get_corruption_names
from PIL import Image
from reference_picture import picture

SEEDED = {"impulse_noise", "glass_blur"}


def main() -> None:
    """Write the arrays beside this file."""
    # the compiled shuffle has a generator of its own kind; as plain Python it draws from NumPy's
    corruptions._shuffle_pixels_njit_glass_blur = corruptions._shuffle_pixels_njit_glass_blur.py_func
    made = {"picture": picture()}
    for name in get_corruption_names("all"):
        if name == "frost":
            continue
        for severity in (1, 2, 3, 4, 5):
            np.random.seed(0)  # noqa: NPY002 - what the reference draws from
            extra = {"seed": 0} if name in SEEDED else {}
            out = corrupt(picture(), severity, name, **extra)
            made[f"{name.replace('_', '-')} {severity}"] = np.asarray(out)[::2]
    np.savez_compressed(Path(__file__).with_name("reference_distortions.npz"), **made)


def ice() -> None:
    """Print mean and standard deviation of the reference's photographs of frost, black to white being 1."""
    folder = Path(corruptions.__file__).parent / "frost"
    pixels = [np.asarray(Image.open(file).convert("L")) / 255 for file in sorted(folder.iterdir())]
    print([(round(float(p.mean()), 3), round(float(p.std()), 3)) for p in pixels])


if __name__ == "__main__":
    main()
    ice()
