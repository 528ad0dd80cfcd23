"""Measures: one entry describes each, wherever it is computed, compared, printed or drawn.

Entries are declared here or with the code that computes them (`register_measures`). The generated index repeats the
latter, so a study file is checked and `assay list` answers without importing NumPy or PyTorch. Code takes units,
ranges, directions and chance levels from the entry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Better = Literal["higher", "lower", "none"]
"""Direction of a measure that is better; `none` for one that describes and does not rank."""
Among = Literal["", "both", "lesions", "no lesions"]
"""Images that a measure needs: any, of two classes at least, with a lesion, without one."""
Need = Literal["environment", "factor", "layer"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, the single place that describes it.

    Args:
        name: Name in study files, tables and files.
        probe: Probe that yields it. Empty for any probe of one's own.
        meaning: Meaning in a few words, as it continues "the".
        display: Name for readers; the name with spaces where empty.
        unit: Unit; empty for a share, a correlation or a number of things.
        low: Least value that its true value can have.
        high: Greatest value that its true value can have.
        direction: Direction that is better.
        chance: Value of a model that knows nothing: a number, words where it depends on the data, None without one.
        needs: Fields of a contrast without which it is ambiguous.
        option: Argument of its probe without which it is not measured.
        environment: Environment that its probe reads where a contrast names none.
        among: Images without which it is undefined.
        dosed: Whether its change over doses can be compared.
        compared: Whether a contrast can name it. Intervals of others go by no range.
        axis: Text along the axis of a figure; made of display, unit and direction where empty.
        reference: Publication that defines it.
    """

    name: str
    probe: str
    meaning: str
    display: str = ""
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    direction: Better = "none"
    chance: float | str | None = None
    needs: tuple[Need, ...] = ()
    option: str = ""
    environment: str = ""
    among: Among = ""
    dosed: bool = False
    compared: bool = True
    axis: str = ""
    reference: str = ""

    @property
    def label(self) -> str:
        """Name for readers, for use within a sentence."""
        return self.display or self.name.replace("-", " ")


INDEX = Path(__file__).parent.parent / "index.json"
"""Generated index of components and of measures that are declared with their code."""


@cache
def index() -> dict[str, dict[str, Any]]:
    """Return the index: kind -> name -> content."""
    return json.loads(INDEX.read_text(encoding="utf-8"))


_declared: dict[str, Measure] = {}
_known: dict[str, Measure] = {}
_compared: dict[str, Measure] = {}
MEASURES: Mapping[str, Measure] = MappingProxyType(_known)
"""Every measure by name."""
COMPARED: Mapping[str, Measure] = MappingProxyType(_compared)
"""Measures that a contrast can name."""


def register_measures(*measures: Measure) -> None:
    """Add measures to the registry.

    Raises:
        ValueError: When a name is taken by another measure, or a measure has no meaning.
    """
    for one in measures:
        if _declared.get(one.name, one) != one:
            raise ValueError(f"measure '{one.name}' is declared twice, and differently: give it another name")
        if not one.meaning or not one.low <= one.high:
            raise ValueError(f"measure '{one.name}': give its meaning, and a range from low to high")
        _declared[one.name] = one
        _know(one)


def _know(one: Measure) -> None:
    _known[one.name] = one
    if one.compared:
        _compared[one.name] = one
    else:
        _compared.pop(one.name, None)


def indexed_measures() -> tuple[Measure, ...]:
    """Return the measures of Assay's own probes that imported code has declared elsewhere than here, by probe."""
    found = (
        one for name, one in _declared.items() if name not in _DECLARED_HERE and one.probe and ":" not in one.probe
    )
    return tuple(sorted(found, key=lambda one: one.probe))


def label_of(name: str) -> str:
    """Return the name of a measure for readers, such as `AUROC` or `flip rate`."""
    return MEASURES[name].label if name in MEASURES else name.replace("-", " ")


def range_of(name: str) -> tuple[float, float]:
    """Return the range that the true value of a measure cannot leave; without ends where it is not declared."""
    found = MEASURES.get(name)
    return (found.low, found.high) if found else (-math.inf, math.inf)


def direction_of(name: str) -> Better:
    """Return the direction of a measure that is better; `none` where it is not declared."""
    return MEASURES[name].direction if name in MEASURES else "none"


def better(name: str) -> Literal["higher", "lower", ""]:
    """Return the direction of a measure that is better; empty for one that does not rank."""
    found = direction_of(name)
    return "" if found == "none" else found


# Places that measurements name, and families of measures.

NEUTRAL, INDEPENDENT = "(neutral)", "(independent)"
WORST_ENVIRONMENT, WORST_GROUP = WORST = ("worst environment", "worst group")
"""Groups of measurements that are of the place with a measure's worst value."""
PERFORMANCE = "performance"
"""Probe of classes."""
PROBES_OF_MAPS = ("segmentation", "lesion-free")
"""Probes that read logits of pixels."""
LEVELS_IN_NAMES = (80, 90, 95)
"""Percentages at which sensitivity or specificity is matched."""
BY_VARIANCE = ("sobol-first", "sobol-total")
EFFECTS = ("logit-effect", "logit-effect-absolute")
"""Measures without an end to come near: their own scale is the only one."""
OF_WORST_GROUP = {f"worst-group-{name}": name for name in ("accuracy", "auroc")}
"""Measures of the worst group of an environment -> the measure of each group."""
OF_MAPS = "condition-number-maps"
"""Shape of a layer's flattened activations, which `representation` measures where its `maps` is set."""
QUIET = "false-positive-rate"
"""False positives of a segmentation, at p = 0.5 and, with `-at-90` and the like, at matched sensitivity."""
MATCHED = f"{QUIET}-at-90"
"""False positives that are shown where a study compares none."""


def quiet_of(compared: Iterable[str]) -> str:
    """Return the first measure of false positives among those that a study compares, `MATCHED` without one."""
    return next((name for name in compared if name.startswith(QUIET)), MATCHED)


# --- Performance of a classification --------------------------------------------------------------------------------

_HIGHER: Better = "higher"
_LOWER: Better = "lower"
_NONE: Better = "none"
_overall = partial(Measure, probe="performance", low=0.0, high=1.0, direction=_HIGHER, needs=("environment",))
_share = partial(_overall, dosed=True)

register_measures(
    _share("auroc", meaning="chance that an image with the target ranks above one without", display="AUROC",
           chance=0.5, among="both", reference="Hanley and McNeil 1982"),
    _share("auroc-macro", meaning="mean over several classes of the AUROC of each against the rest",
           display="macro AUROC", chance=0.5, among="both", reference="Fawcett 2006"),
    _overall("somers-d", meaning="AUROC as a correlation, from -1 to 1", display="Somers' D", low=-1.0, chance=0.0,
             among="both", reference="Somers 1962"),
    _share("average-precision", meaning="mean precision over all thresholds, weighted by recall",
           chance="share of images with the target", among="both", reference="Buckley and Voorhees 2000"),
    _share("accuracy", meaning="share of images classified correctly", chance="share of the commonest class"),
    _share("sensitivity", meaning="share of images with the target that are predicted positive"),
    _share("specificity", meaning="share of images without the target that are predicted negative"),
    _overall("brier", meaning="mean squared error of the probabilities", display="Brier score", high=2.0,
             direction="lower", chance="Gini impurity of the classes, half of it for two", reference="Brier 1950"),
    _share("calibration-error", meaning="mean distance of probabilities from the shares that came true, in 15 bins of "
           "equal mass", direction="lower", chance=0.0, reference="Kumar, Liang and Ma 2019"),
    _overall("log-loss", meaning="mean negative log-probability of the true class", display="log-loss", unit="nats",
             high=math.inf, direction="lower", chance="entropy of the classes", reference="Good 1952"),
    _overall("quadratic-weighted-kappa", meaning="agreement of grades beyond chance, with squared distances as weights",
             display="quadratic-weighted kappa", low=-1.0, chance=0.0, reference="Cohen 1968"),
    _share("auroc-referable", meaning="AUROC of grades at or above the threshold grade",
           display="AUROC of referable grades", chance=0.5, among="both"),
)  # fmt: skip
for _level in LEVELS_IN_NAMES:
    register_measures(
        _share(
            f"sensitivity-at-specificity-{_level}",
            meaning=f"share of images at or above the threshold grade predicted so, at {_level}% validation "
            "specificity",
            display=f"sensitivity to referable grades at validation specificity {_level}%",
        ),
    )
for _level in LEVELS_IN_NAMES:
    register_measures(
        _share(
            f"specificity-kept-{_level}",
            meaning=f"share of images below the threshold grade predicted so, at {_level}% validation specificity",
            display=f"specificity for referable grades at validation specificity {_level}%",
            direction="none",
        ),
    )
register_measures(
    _share("worst-group-accuracy", meaning="least accuracy of a group: a level of a factor in one class",
           display="accuracy of the worst group", reference="Sagawa et al. 2020"),
    _share("worst-group-auroc", meaning="least AUROC of a group: a level of a factor",
           display="AUROC of the worst group", reference="Sagawa et al. 2020"),
)  # fmt: skip

SHARES = tuple(one.name for one in MEASURES.values() if one.dosed and one.name not in OF_WORST_GROUP)
"""Measures of performance from 0 to 1, which a probit scale can hold."""

# --- Segmentation ---------------------------------------------------------------------------------------------------

_of_maps = partial(Measure, probe="segmentation", low=0.0, high=1.0, direction=_HIGHER, needs=("environment",))
_outlined = partial(_of_maps, among="lesions")
_DICE = "Dice 1945; Sorensen 1948"
_OUTLINED = (
    _outlined("dice", meaning="overlap with the lesion, mean over images that show one", display="Dice",
              reference=_DICE),
    _outlined("iou", meaning="pixels common to lesion and prediction over pixels of either", display="IoU",
              reference="Jaccard 1912"),
    _outlined("pixel-precision", meaning="share of the predicted pixels that are lesion"),
    _outlined("pixel-recall", meaning="share of the lesion's pixels that are predicted"),
    _outlined("surface-dice", meaning="share of both outlines within the tolerance of each other",
              display="surface Dice", reference="Nikolov et al. 2021"),
    _outlined("hd95", meaning="distance within which 95% of the outlines are", display="HD95", unit="px",
              high=math.inf, direction="lower", reference="Huttenlocher et al. 1993"),
    _outlined("surface-distance", meaning="mean distance between the outlines", unit="px", high=math.inf,
              direction="lower"),
    _outlined("volume-error", meaning="predicted area over the lesion's area, less 1", low=-1.0, high=math.inf,
              direction="none"),
)  # fmt: skip
_BY_NAME = {one.name: one for one in _OUTLINED}
_of_pixels = partial(_of_maps, direction=_LOWER)

register_measures(
    _BY_NAME["dice"],
    _of_maps("dice-skip", meaning="overlap over all images, without those that are empty in truth and prediction",
             display="Dice without empty pairs", reference=_DICE),
    _of_maps("dice-one", meaning="overlap over all images, 1 where truth and prediction are empty",
             display="Dice with empty pairs scored 1", reference=_DICE),
    _of_maps("dice-zero", meaning="overlap over all images, 0 where truth and prediction are empty",
             display="Dice with empty pairs scored 0", reference=_DICE),
    _of_maps("dice-smoothed", meaning="overlap over all images, 1 added to numerator and denominator",
             display="Dice, smoothed", reference=_DICE),
    *(_BY_NAME[name] for name in ("iou", "pixel-precision", "pixel-recall", "surface-dice")),
    _outlined("lesion-sensitivity", meaning="share of lesions of which at least half is predicted",
              display="sensitivity by lesion"),
    *(_BY_NAME[name] for name in ("hd95", "surface-distance", "volume-error")),
    _of_pixels("false-positives-per-image", meaning="mean number over all images of components that touch no lesion",
               high=math.inf),
    _of_pixels("pixel-calibration-error", meaning="mean distance of pixels' probabilities from the shares that came "
               "true", display="calibration error of pixels", reference="Kumar, Liang and Ma 2019"),
    _of_pixels("pixel-calibration-error-boundary", meaning="calibration error in a band along the true outlines",
               display="calibration error of pixels at outlines", among="lesions"),
    _of_pixels("pixel-calibration-error-background", meaning="calibration error away from lesions and that band",
               display="calibration error of pixels of the background"),
    *(
        _outlined(f"{name}-native", meaning=f"{one.meaning}, at the size of the images' files",
                  display=f"{one.label} at native size", unit=one.unit, low=one.low, high=one.high,
                  direction=one.direction, option="native", reference=one.reference)
        for name, one in ((name, _BY_NAME[name]) for name in (
            "dice", "iou", "pixel-precision", "pixel-recall", "volume-error", "hd95", "surface-distance",
            "surface-dice",
        ))
    ),
)  # fmt: skip

NATIVE = tuple(f"{name}-native" for name in ("dice", "iou", "pixel-precision", "pixel-recall", "volume-error", "hd95",
                                             "surface-distance", "surface-dice"))  # fmt: skip
"""Measures of a segmentation at the size of the images' files."""

_free = partial(Measure, probe="lesion-free", low=0.0, high=1.0, needs=("environment",))

register_measures(
    _free("false-positive-rate", meaning="share of lesion-free images with a predicted component", direction="lower",
          among="no lesions"),
    _free("left-empty", meaning="share of lesion-free images without a pixel that is predicted at p = 0.5",
          display="share left empty", direction="higher", among="no lesions"),
    _free("false-positive-area", meaning="mean share of a lesion-free image that is predicted", direction="lower",
          among="no lesions"),
)  # fmt: skip
for _level in LEVELS_IN_NAMES:
    register_measures(
        _free(
            f"lesion-sensitivity-at-{_level}",
            meaning=f"share of test lesions found at the threshold that finds {_level}% of validation lesions",
            display=f"sensitivity by lesion at {_level}% sensitivity",
            among="lesions",
        ),
        _free(
            f"false-positive-rate-at-{_level}",
            meaning=f"share of lesion-free images with a predicted component, at the threshold that finds {_level}% "
            "of validation lesions",
            display=f"false-positive rate at {_level}% sensitivity",
            direction="lower",
            among="no lesions",
        ),
    )
for _score, _by, _scored in (
    ("top-mean", "by the mean of the top 1%", "by the mean of the greatest 1% of logits"),
    ("area", "by area", "by the predicted area"),
):
    register_measures(
        _free(
            f"auroc-{_score}",
            meaning=f"AUROC of images with a lesion, {_scored}",
            display=f"AUROC {_by}",
            direction="higher",
            chance=0.5,
            among="both",
            reference="Hanley and McNeil 1982",
        ),
        _free(
            f"average-precision-{_score}",
            meaning=f"average precision of images with a lesion, {_scored}",
            display=f"average precision {_by}",
            direction="higher",
            chance="share of images with the target",
            among="both",
        ),
    )
register_measures(
    _free("free-response-area", meaning="mean share of lesions found over 0 to 1 false positives per image",
          display="area under the free response", direction="higher", among="lesions",
          reference="Bunch et al. 1978; Chakraborty 2013"),
)  # fmt: skip

# --- Reliance -------------------------------------------------------------------------------------------------------

_used = partial(Measure, probe="reliance", needs=("factor",), dosed=True, chance=0.0)
_moved = partial(_used, environment=NEUTRAL)
_WITHIN_CLASS = "within-class sd"

register_measures(
    _used("sobol-first", meaning="share of the logit's variance that the factor explains by itself",
          display="first-order Sobol' index", unit="share of variance", low=0.0, high=1.0,
          axis="share of the logit's variance, first order", reference="Sobol' 1993; Saltelli et al. 2010"),
    _used("sobol-total", meaning="share of the logit's variance that the factor explains with its interactions",
          display="total Sobol' index", unit="share of variance", low=0.0, high=1.0,
          axis="share of the logit's variance, with interactions", reference="Homma and Saltelli 1996; Jansen 1999"),
    _moved("flip-rate", meaning="share of images whose predicted class changes when the factor alone is changed",
           low=0.0, high=1.0, axis="share of images whose class flips"),
    _moved("logit-effect", meaning="mean change of the logit when the factor alone is changed, in within-class sd",
           display="effect on the logit", unit=_WITHIN_CLASS, axis="change of the logit, in within-class sd"),
    _moved("logit-effect-absolute", meaning="mean absolute change of the logit when the factor alone is changed, in "
           "within-class sd", display="absolute effect on the logit", unit=_WITHIN_CLASS, low=0.0,
           axis="absolute change of the logit, in within-class sd"),
    _moved("pair-logit", meaning="logit of one image with the factor at one end, in within-class sd",
           display="logit of a counterfactual pair", unit=_WITHIN_CLASS, chance=None, dosed=False, compared=False),
)  # fmt: skip

BY_MOVING = tuple(one.name for one in COMPARED.values() if one.probe == "reliance")
"""Measures that need images with one factor changed and all else the same."""

# --- Painting -------------------------------------------------------------------------------------------------------

_painted = partial(Measure, probe="painting", environment=NEUTRAL, low=0.0, high=1.0)

register_measures(
    _painted("place-called", meaning="share of a removed lesion's place that is predicted lesion",
             display="removed lesion's place predicted", direction="lower", chance=0.0),
    _painted("place-found", meaning="share of removed lesions that still count as found",
             display="removed lesions found", direction="lower", chance=0.0),
    _painted("found", meaning="share of lesions found with the factor set to a quantile",
             display="lesions found", low=-math.inf, high=math.inf, compared=False),
    _painted("lesion-logit", meaning="change of the logit at which half of a lesion is predicted, in sd over lesions",
             display="logit of a lesion", unit="sd over lesions", low=-math.inf, high=math.inf, chance=0.0,
             compared=False),
)  # fmt: skip

# --- Attribution ----------------------------------------------------------------------------------------------------

_mapped = partial(Measure, probe="attribution", needs=("factor",), environment=NEUTRAL, low=0.0, high=1.0)
_localized = partial(
    _mapped, unit="share", direction=_HIGHER, chance="the lesions' share of the image", reference="Arras et al. 2022"
)
_checked = partial(_mapped, low=-1.0, reference="Adebayo et al. 2018")
_removed = partial(Measure, probe="attribution", environment=NEUTRAL, unit=_WITHIN_CLASS, chance=0.0)

register_measures(
    _localized("mass-accuracy", meaning="share of a heat map's sum that is on the lesion",
               axis="part of the map that lies on the lesion"),
    _localized("rank-accuracy", meaning="share of a heat map's greatest pixels that are on the lesion"),
    _localized("pointing-game", meaning="share of heat maps whose greatest pixel is on the lesion",
               reference="Zhang et al. 2018"),
    _localized("pixel-average-precision", meaning="average precision of a heat map for the lesion's pixels",
               display="average precision of pixels", reference=""),
    _mapped("removal-agreement", meaning="correlation over images of the lesion's effect and the map's share on it",
            low=-1.0, chance=0.0),
    _checked("sanity-rank-correlation", meaning="rank correlation of a heat map with that of redrawn weights"),
    _checked("sanity-ssim", meaning="structural similarity of a heat map with that of redrawn weights",
             display="sanity SSIM"),
    _mapped("attributed-effect", meaning="sum of a heat map over the lesion, of additive explainers",
            unit=_WITHIN_CLASS, low=-math.inf, high=math.inf),
    _removed("lesion-effect", meaning="log-odds lost when an image is drawn without its lesions",
             axis="fall of the logit without the lesions, in within-class sd"),
    _removed("lesion-effect-small-over-large", meaning="lesion effect of small lesions less that of large ones, in "
             "images with both", display="lesion effect, small less large"),
    _removed("erasure-effect", meaning="log-odds lost when a lesion is painted over",
             chance="mean when as much is painted over elsewhere"),
    _removed("erasure-effect-over-elsewhere", meaning="erasure effect less that of as many pixels elsewhere",
             display="erasure effect over elsewhere",
             axis="fall of the logit over that elsewhere, in within-class sd"),
    _removed("erasure-effect-small-over-large", meaning="erasure effect of small lesions less that of large ones, in "
             "images with both", display="erasure effect, small less large"),
    Measure("lesion-pixels", "attribution", "mean area of the lesions of each size", display="area of lesions",
            unit="px", environment=NEUTRAL, compared=False),
)  # fmt: skip

# --- Decodability and representation --------------------------------------------------------------------------------

_layer = partial(Measure, probe="representation", needs=("layer",), environment=NEUTRAL)
_dimensions = partial(_layer, unit="dimensions", low=1.0)
_alike = partial(_layer, low=0.0, high=1.0)

register_measures(
    Measure("decodability", "decodability", "AUROC of a linear decoder that reads the factor from the layer",
            unit="AUROC", low=0.0, high=1.0, chance=0.5, needs=("factor", "layer"), environment=INDEPENDENT,
            dosed=True, axis="AUROC of a linear decoder", reference="Alain and Bengio 2017"),
    Measure("missing", "decodability", "number of images without a value of the factor", unit="images",
            display="images without a value", environment=INDEPENDENT, compared=False),
    _dimensions("effective-rank", meaning="number of directions with variance, by entropy",
                reference="Roy and Vetterli 2007"),
    _dimensions("rankme", meaning="effective rank without centering", display="RankMe",
                reference="Garrido et al. 2023"),
    _dimensions("participation-ratio", meaning="number of directions with variance, by squares",
                reference="Gao et al. 2017"),
    _dimensions("components-90", meaning="number of directions with 90% of the variance",
                display="components for 90% of the variance"),
    _layer("condition-number", meaning="greatest over least eigenvalue", unit="ratio", low=1.0),
    _layer("condition-number-90-10", meaning="90th over 10th percentile of the eigenvalues", unit="ratio", low=1.0,
           display="condition number, 90th over 10th percentile"),
    _layer(OF_MAPS, meaning="99.9th over 90th percentile of 100 eigenvalues of the flattened maps", unit="ratio",
           low=1.0, option="maps", display="condition number of flattened maps", reference="Srinivasan et al. 2022"),
    _layer("kurtosis", meaning="excess kurtosis of units; 0 for normal ones", low=-2.0),
    _dimensions("intrinsic-dimension", meaning="dimension of the images' activations, by nearest neighbors", low=0.0,
                reference="Facco et al. 2017"),
    _layer("constant-units", meaning="share of units with the same value for all images", unit="share of units",
           low=0.0, high=1.0),
    _layer("class-separation", meaning="share of the layer's variance between classes", unit="share of variance",
           low=0.0, high=1.0, chance=0.0, reference="Kelley 1935"),
    _alike("cka-to-untrained", meaning="similarity to the same layer before training, by centered kernel alignment",
           display="CKA with the layer before training", chance=0.0,
           reference="Kornblith et al. 2019; Song et al. 2012"),
    _alike("cka", meaning="similarity of two layers, by centered kernel alignment", display="CKA", chance=0.0,
           low=-math.inf, high=math.inf, compared=False, reference="Kornblith et al. 2019; Song et al. 2012"),
    _layer("eigenvalue-share", meaning="share of the layer's variance of the eigenvalue at a rank",
           unit="share of variance", compared=False),
    _layer("eigenvalue-share-maps", meaning="share of the variance of a layer's flattened maps of the eigenvalue at a "
           "rank", unit="share of variance", display="eigenvalue share of flattened maps", compared=False,
           reference="Srinivasan et al. 2022"),
    Measure("factor-separation", "representation", "share of the layer's variance between levels of a factor",
            unit="share of variance", low=0.0, high=1.0, needs=("factor", "layer"), environment=NEUTRAL, chance=0.0,
            reference="Kelley 1935"),
)  # fmt: skip

_DECLARED_HERE = frozenset(_declared)
for _name, _body in index()["measure"].items():
    _made = Measure(_name, **_body)
    _know(replace(_made, needs=tuple(_made.needs)))  # a list in the index

DOSED = tuple(one.name for one in COMPARED.values() if one.dosed)
"""Measures whose change over the doses can be compared."""
