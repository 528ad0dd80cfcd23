"""The adapter to OpenCV: one thread, since workers run side by side, and no stubs, which refuse plain numbers."""

from typing import Any

from assay.core.errors import library_path_unchanged

with library_path_unchanged():
    import cv2 as _cv2

_cv2.setNumThreads(1)

cv2: Any = _cv2
