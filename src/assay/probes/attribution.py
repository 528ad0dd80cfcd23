"""Measure whether heat maps lie on lesions. A region that a map marks is attended, not necessarily used.

Explainers compute the maps from a network; lesions come from the masks or boxes of an environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import AfterValidator, Field

from assay.core.measures import NEUTRAL, WITHIN_CLASS, Measure, register_measures
from assay.core.reasons import Code, Reason, reason_in_words
from assay.core.registry import Role, build, component, named
from assay.core.types import Measurement
from assay.models.ref import Model
from assay.probes.faithfulness import (
    AGREEMENT,
    EFFECT,
    ERASED,
    RANK,
    STRUCTURE,
    MapReferences,
    add_remark,
    attributed_effect,
    center_prior,
    check_sanity,
    erasures,
    lesion_effects,
    map_measurements,
    undefined_at,
    without_lesions,
)
from assay.probes.lesion_maps import MEASURES, choose_images, lesions_of
from assay.probes.probe import Reading, Request, Scope, environment_named
from assay.probes.reader import eval_mode
from assay.shifts.environment import Environment, Scene
from assay.spec.grid import label

_map_measure = partial(Measure, probe="attribution", needs=("factor",), environment=NEUTRAL, low=0.0, high=1.0)
_localization_measure = partial(
    _map_measure,
    unit="share",
    direction="higher",
    chance="the lesions' share of the image",
    reference="Arras et al. 2022",
)
_sanity_measure = partial(_map_measure, low=-1.0, reference="Adebayo et al. 2018")
_removal_measure = partial(Measure, probe="attribution", environment=NEUTRAL, unit=WITHIN_CLASS, chance=0.0)

register_measures(
    _localization_measure(
        "mass-accuracy",
        meaning="share of a heat map's sum that is on the lesion",
        axis="part of the map that lies on the lesion",
    ),
    _localization_measure("rank-accuracy", meaning="share of a heat map's greatest pixels that are on the lesion"),
    _localization_measure(
        "pointing-game",
        meaning="share of heat maps whose greatest pixel is on the lesion",
        reference="Zhang et al. 2018",
    ),
    _localization_measure(
        "pixel-average-precision",
        meaning="average precision of a heat map for the lesion's pixels",
        display="average precision of pixels",
        reference="",
    ),
    _map_measure(
        "removal-agreement",
        meaning="correlation over images of the lesion's effect and the map's share on it",
        low=-1.0,
        chance=0.0,
    ),
    _sanity_measure("sanity-rank-correlation", meaning="rank correlation of a heat map with that of redrawn weights"),
    _sanity_measure(
        "sanity-ssim", meaning="structural similarity of a heat map with that of redrawn weights", display="sanity SSIM"
    ),
    _map_measure(
        "attributed-effect",
        meaning="sum of a heat map over the lesion, of additive explainers",
        unit=WITHIN_CLASS,
        low=-math.inf,
        high=math.inf,
    ),
    _removal_measure(
        "lesion-effect",
        meaning="log-odds lost when an image is drawn without its lesions",
        axis="fall of the logit without the lesions, in within-class sd",
    ),
    _removal_measure(
        "lesion-effect-small-over-large",
        meaning="lesion effect of small lesions less that of large ones, in images with both",
        display="lesion effect, small less large",
    ),
    _removal_measure(
        "erasure-effect",
        meaning="log-odds lost when a lesion is painted over",
        chance="mean when as much is painted over elsewhere",
    ),
    _removal_measure(
        "erasure-effect-over-elsewhere",
        meaning="erasure effect less that of as many pixels elsewhere",
        display="erasure effect over elsewhere",
        axis="fall of the logit over that elsewhere, in within-class sd",
    ),
    _removal_measure(
        "erasure-effect-small-over-large",
        meaning="erasure effect of small lesions less that of large ones, in images with both",
        display="erasure effect, small less large",
    ),
    Measure(
        "lesion-pixels",
        "attribution",
        "mean area of the lesions of each size",
        display="area of lesions",
        unit="px",
        environment=NEUTRAL,
        compared=False,
    ),
)

EXPLAINER_MEASURES = (*MEASURES, AGREEMENT, RANK, STRUCTURE)
"""Measures of each explainer."""
CENTER = "center-prior"
"""Name of a reference map that marks the middle of every image."""


DEFAULT_EXPLAINERS: tuple[Mapping[str, Any], ...] = ({"gradient": {}}, {"input-x-gradient": {}})


def require_unique_explainers(explainers: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    """Return the explainers.

    Raises:
        ValueError: One of them is repeated.
    """
    if repeated := [label(explainer) for i, explainer in enumerate(explainers) if explainer in explainers[:i]]:
        raise ValueError(f"'{repeated[0]}' is named twice: name each explainer once")
    return explainers


@component(
    "probe",
    "attribution",
    summary="agreement of heat maps with lesion masks, chance and a center prior (attended, not used)",
    version=4,
)
class Attribution:
    """Implements `Probe`. The claim is the position of a map (*attended*), not use.

    Of up to `images` images that show a lesion, each explainer maps the log-odds of the image's own class (the class of
    its target, whatever the model calls it). Each map is scored against the lesion's mask by `mass-accuracy`,
    `rank-accuracy`, `pointing-game` and `pixel-average-precision` (see `localization`), all from 0 to 1 and all, of a
    map that knows nothing, the lesion's share of the image: `chance` is its mean over the same images.

    factor: the explainer, or `center-prior`, a bell in the middle that has seen no image. group: the kind of lesion
    where there are several. level: small, medium or large, the thirds of all lesions shown by area; `lesion-pixels` is
    their mean area. Where one kind or size is asked about, pixels of other lesions do not count.

    Sanity (Adebayo et al. 2018): `sanity-rank-correlation` and `sanity-ssim` of maps of the first `sanity_images` with
    those of the network with layers redrawn, `group` cascading from the last layer on or a stage alone (independent),
    `level` the earliest layer of them; without both, all layers. An explainer whose maps correlate by half or more with
    those of a network without learned values fails, and its scores say so.

    In addition to attribution, use is measured: `erasure-effect`, the loss of log-odds when a lesion is painted over,
    in within-class standard deviations (`chance`: when as much is painted over elsewhere, as far out), by kind and
    size; `erasure-effect-over-elsewhere`, their difference; and of phantoms that can draw the image without its lesions
    `lesion-effect`, by kind drawn again without, by size see `remove_lesions`. `lesion-effect-small-over-large` and
    `erasure-effect-small-over-large` are the effect of an image's small lesions minus that of its large ones: the
    interaction of recipes with size is a contrast by them. `removal-agreement` correlates, over images, the loss
    without any lesion with the share of the map on them; `attributed-effect` is the contribution of the lesions
    according to additive explainers, in the same unit.

    environment: `(neutral)`, test rows in which no factor that a test environment ties is tied to the target; or a test
    environment. The unit of removal effects is of neutral rows either way. Standard errors are over patients. NaN with
    the reason: no masks, no image with a lesion, a network that gives logits of pixels, an explainer that does not
    support the network (naming those that do), a heat-map with NaN.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        explainers: Annotated[
            tuple[Mapping[str, Any], ...],
            Role("components", "explainer"),
            Field(min_length=1, description="methods with their arguments, such as {gradient: {}}"),
            AfterValidator(require_unique_explainers),
        ] = DEFAULT_EXPLAINERS,
        images: Annotated[
            int, Field(ge=1, le=65536, description="images with a lesion that are explained, at most")
        ] = 128,
        sanity_images: Annotated[
            int,
            Field(
                ge=1,
                le=4096,
                description="of these, how many are explained again with layers whose weights are permuted",
            ),
        ] = 16,
        environment: Annotated[
            str,
            Role("environment"),
            Field(
                min_length=1, description="where the images come from: '(neutral)' or the name of a test environment"
            ),
        ] = NEUTRAL,
        code: Annotated[
            tuple[str, ...],
            Role("code", "explainers"),
            Field(description="of the explainers' code, found when left out"),
        ] = (),
    ) -> None:
        components = [named("explainer", explainer) for explainer in explainers]
        self.methods = {
            label(component): build("explainer", *next(iter(component.items()))) for component in components
        }
        self.images = images
        self.sanity_images = sanity_images
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the images with a lesion, as they are and without it, and the neutral images, which give the unit."""
        chosen = choose_images(self.environment_of(scene), self.images)
        if chosen is None:
            return ()
        lesion_free = without_lesions(scene, chosen)
        needed = Request(scene.neutral()), Request(chosen.environment)
        return needed if isinstance(lesion_free, Reason) else (*needed, Request(lesion_free))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return effects of removing the lesion, then scores of the center prior and of each explainer."""
        environment = self.environment_of(scene)
        template = Measurement("", 0.0, environment=environment.name)
        chosen = choose_images(environment, self.images)
        if chosen is None:
            code = Code.NO_MASKS if lesions_of(environment) is None else Code.NO_SHOWN_LESION
            return self._undefined_rows(Reason.of(code), template)
        maps = reading.read(chosen.environment).maps  # of pixels; they are summarized only where there are masks
        if maps or (chosen.environment.masks is None and _returns_maps(reading.model, chosen.environment)):
            return self._undefined_rows(Reason.of(Code.PIXEL_LOGITS), template)
        with eval_mode(reading.model.network):
            return self._measure_maps(MapReferences.of(reading, scene, chosen), chosen.areas(), template)

    def _measure_maps(
        self, references: MapReferences, sizes: Mapping[str, float], template: Measurement
    ) -> list[Measurement]:
        rows = [
            replace(template, measure="lesion-pixels", level=size, value=area, unit="px")
            for size, area in sizes.items()
        ]
        rows += erasures(references.subsets, references.subject, references.sample, references.deviation, template)
        rows += lesion_effects(references, template)
        rows += map_measurements(
            center_prior(references.sample.lesion.shape), references, replace(template, factor=CENTER)
        )
        refusals = {name: explainer.refusal(references.subject) for name, explainer in self.methods.items()}
        supported = {name: explainer for name, explainer in self.methods.items() if not refusals[name]}
        sanity_sample = references.sample.first(self.sanity_images)
        by_explainer, first_maps = dict[str, list[Measurement]](), dict[str, np.ndarray]()
        for name, explainer in supported.items():
            maps = references.sample.maps(explainer, references.subject)
            template_of_explainer = replace(template, factor=name)
            by_explainer[name] = map_measurements(maps, references, template_of_explainer) + (
                attributed_effect(maps, references, template_of_explainer) if explainer.additive else []
            )
            first_maps[name] = maps[: len(sanity_sample)].copy()
        sanity = check_sanity(references.subject, supported, first_maps, sanity_sample, template)
        for name, refusal in refusals.items():
            if refusal:
                rows += [
                    undefined_at(replace(template, factor=name), measure, reason_in_words(refusal))
                    for measure in EXPLAINER_MEASURES
                ]
            else:
                rows += [*add_remark(by_explainer[name], sanity[name].remark), *sanity[name].rows]
        return rows

    def environment_of(self, scene: Scene) -> Environment:
        """Return the environment whose images are explained."""
        return environment_named(scene, self.environment)

    def _undefined_rows(self, reason: Reason, template: Measurement) -> list[Measurement]:
        rows = [
            undefined_at(replace(template, factor=name), measure, reason)
            for name in (CENTER, *self.methods)
            for measure in MEASURES
        ]
        return [undefined_at(template, EFFECT, reason), undefined_at(template, ERASED, reason), *rows]


def _returns_maps(model: Model, environment: Environment) -> bool:
    """Return whether a network returns logits of pixels."""
    with eval_mode(model.network), torch.inference_mode():
        output: object = model.network(environment.images.read(np.arange(1)).to(model.device))
    return isinstance(output, torch.Tensor) and output.ndim > 2
