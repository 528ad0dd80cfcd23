"""The picture that the references of the distortions are given; NumPy alone, for environments that hold no Assay."""

import numpy as np


def picture(height: int = 36, width: int = 44) -> np.ndarray:
    """Smooth hills in three channels, an edge, a black and a white corner, a gray patch; uint8 [h, w, 3]."""
    y, x = np.mgrid[:height, :width] / 10.0
    channels = [np.sin(x * a + y * b) + np.cos(y * a - x * b / 2) for a, b in ((1, 0.5), (0.7, 1.1), (1.3, 0.2))]
    hills = np.stack(channels, axis=2) * 55 + 128
    hills[:, width // 2 :] += 40
    hills[:6, :6], hills[-6:, -6:], hills[:6, -8:] = 0, 255, 120
    return np.clip(hills, 0, 255).astype(np.uint8)
