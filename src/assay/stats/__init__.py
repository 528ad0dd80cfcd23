"""Statistics of models on patients: arrays in, numbers out.

`SeedPredictions` holds the outputs of one recipe's seeds on the same images: a panel. `estimate_panel` gives a measure
of it with an interval over seeds and patients, `contrast` the paired difference of two panels, and `decide` a family's
decisions. The names are those of `__init__.pyi`; each is imported on first access.

Examples:
    Two recipes, 5 seeds each, on 40 images of 20 patients:

    >>> import numpy as np
    >>> from assay.stats import SeedPredictions, contrast, decide, estimate_panel
    >>> rng, target, patient = np.random.default_rng(0), np.arange(40) % 2, np.arange(40) // 2
    >>> def panel(distance):
    ...     return SeedPredictions(distance * target[:, None] + rng.normal(size=(5, 40, 1)), target, patient)
    >>> better, worse = panel(2.0), panel(0.5)
    >>> estimate = estimate_panel(better, "auroc")
    >>> round(estimate.value, 2), round(estimate.low, 2), round(estimate.high, 2)
    (0.94, 0.84, 0.98)
    >>> difference = contrast(better, worse, "auroc", margin=0.05)
    >>> round(difference.value, 2), decide([difference])[0].decision
    (0.29, 'higher-beyond')
"""

from __future__ import annotations

from assay.core.public import attach_stub

MODULES, __getattr__, __dir__ = attach_stub(__name__, __file__)
"""Name to the module that defines it."""
