"""The losses for grades that a spec can name. Imports no torch."""

from __future__ import annotations

from assay.core.registry import register
from assay.spec.schema import ImageLossParams, LossParams

_GRADING = "assay.training.losses.classification"


class CoralParams(ImageLossParams):
    """`coral` takes no arguments."""

    readout = "coral"


class CornParams(LossParams):
    """`corn` takes no arguments."""

    readout = "corn"


class GradeRegressionParams(ImageLossParams):
    """`grade-regression` takes no arguments."""

    readout = "regression"


register(
    "loss",
    "coral",
    f"{_GRADING}:Coral",
    CoralParams,
    summary="grades: whether each grade is exceeded, by one score and falling thresholds (Cao et al. 2020)",
)
register(
    "loss",
    "corn",
    f"{_GRADING}:Corn",
    CornParams,
    summary="grades: whether each grade is exceeded, given that it is reached (Shi et al. 2023)",
)
register(
    "loss",
    "grade-regression",
    f"{_GRADING}:GradeRegression",
    GradeRegressionParams,
    summary="grades: squared distance of a score to the grade, cut into grades on validation rows",
)
