"""The adapter to OpenCV: one thread, since workers run side by side, and no stubs, which refuse plain numbers.

OpenCV adds the working folder to where programs that are started later look for libraries, such as `libm.so.6`.
"""

import os
from typing import Any

_before = os.environ.get("LD_LIBRARY_PATH")

import cv2 as _cv2  # noqa: E402

os.environ.pop("LD_LIBRARY_PATH", None)
os.environ |= {} if _before is None else {"LD_LIBRARY_PATH": _before}
_cv2.setNumThreads(1)

cv2: Any = _cv2
