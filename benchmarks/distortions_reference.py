"""Times imagecorruptions-imaug for `benchmarks/distortions.py`, in the environment that holds it. Prints JSON.

PYTHON benchmarks/distortions_reference.py SIZE REPETITIONS
"""

import json
import sys
import time

import numpy as np
from imagecorruptions import corrupt, get_corruption_names


def main(size: int, repetitions: int) -> None:
    """Family -> seconds an image, the mean over severities of the least of the repetitions."""
    image = np.random.default_rng(0).integers(30, 220, (size, size, 3)).astype(np.uint8)
    found = {}
    for name in get_corruption_names("all"):
        corrupt(image, 1, name)  # what is compiled is compiled now
        of = []
        for severity in (1, 2, 3, 4, 5):
            times = []
            for _ in range(repetitions):
                begun = time.process_time()
                corrupt(image, severity, name)
                times.append(time.process_time() - begun)
            of.append(min(times))
        found[name.replace("_", "-")] = sum(of) / len(of)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
