from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.worlds.environments import CornerTag, mitigated, part, tagged

from assay.core.errors import SpecError
from assay.core.registry import build, lookup
from assay.core.seeds import generator
from assay.data.dataset import Batch
from assay.shifts.intervention import draw
from assay.spec.recipe import Component
from assay.training.augmentation import build_augmenter
from assay.training.mitigations import ConfounderAugmentation, build_mitigation

CORNER = {"tests.worlds.environments:CornerTag": {}}


def method(probability: float, intervention=CORNER) -> ConfounderAugmentation:
    return build("mitigation", "confounder-augmentation", {"intervention": intervention, "probability": probability})


def put_on(images, method, step=0, view=0):
    at = torch.arange(len(images))
    augmenter = build_augmenter((), method.augmentations())
    return augmenter(Batch(images, at % 2, at), 0, "augmentation", step, view).images


def test_each_image_gets_it_with_the_stated_probability_whatever_its_class():
    """4000 draws of probability 0.3, a fifth of them at each step: standard error 0.007; classes alternate."""
    images = torch.zeros(800, 1, 16, 16)
    got = torch.cat([put_on(images, method(0.3), step)[:, 0, 0, 0] > 0 for step in range(5)]).reshape(5, 800)
    assert abs(float(got.double().mean()) - 0.3) < 0.03
    assert abs(float(got[:, ::2].double().mean() - got[:, 1::2].double().mean())) < 0.05
    assert not torch.equal(got[0], got[1])
    assert torch.equal(put_on(images, method(0.3)), put_on(images, method(0.3)))


def test_the_tie_shrinks_by_the_share_that_is_left_alone():
    """Shares 0.95 and 0.05 of the classes become 0.95 + 0.05 q and 0.05 + 0.95 q: they differ by 1 - q of it."""
    world = tagged(2000, seed=3, tied=0.9)
    made = put_on(world.images.pixels, method(0.5))
    tagged_now = made[:, 0, :2, :2].mean((1, 2)).numpy() > 0.5
    shares = [tagged_now[world.table.target == target].mean() for target in (0, 1)]
    before = [world.table.columns["tag"][world.table.target == target].mean() for target in (0, 1)]
    assert shares[1] - shares[0] == pytest.approx(0.5 * (before[1] - before[0]), abs=0.05)


def test_it_is_the_studys_own_intervention_and_leaves_other_pixels():
    method_ = method(1.0, {"tag": {}})
    images = torch.full((6, 1, 64, 64), 0.25)
    made = put_on(images, method_)
    own = build("intervention", "tag", {})
    step = method_.augmentations()[0][1]
    draws = step.draw(generator(0, "augmentation", "confounder tag", 0, 0), 6)
    drawn = draw("tag", own, np.ones(6, dtype=bool), np.arange(6), int(draws["key"][0]), (1, 64, 64))
    assert torch.equal(made, drawn.apply(images, np.arange(6)))
    differs = (made != images).any(dim=1, keepdim=True)
    assert bool(differs.any(dim=(1, 2, 3)).all())
    assert not bool((differs & ~drawn.mask(np.arange(6))).any())


def test_an_intervention_that_does_not_fit_the_images_is_refused(monkeypatch):
    def refuse(tag, shape):
        raise SpecError(f"too large for {shape}")

    monkeypatch.setattr(CornerTag, "check", refuse)
    with pytest.raises(SpecError, match=r"too large for \(1, 4, 5\)"):
        put_on(torch.zeros(2, 1, 4, 5), method(1.0))


def test_how_the_intervention_is_written_names_nothing_and_what_it_is_does():
    def canonical(intervention):
        return part("mitigation", "confounder-augmentation", intervention=intervention).model_dump(mode="json")

    assert canonical("tag") == canonical({"tag": None}) == canonical({"tag": {}})
    assert canonical("tag") != canonical({"tag": {"x": 0.4}})
    own = canonical(CORNER)["confounder-augmentation"]
    assert own["version"] == lookup("intervention", next(iter(CORNER))).source_hash, "a user's file names the trial"


@pytest.mark.parametrize(
    ("intervention", "text"),
    [
        ("tga", "unknown intervention 'tga': did you mean 'tag'"),
        ({"tag": {}, "blur": {}}, "expected the name of one intervention, or {name: {argument: value}}"),
        ({"tag": {"x": 7}}, "tag.x: Input should be less than or equal to 1, not 7"),
    ],
)
def test_what_is_no_intervention_is_refused(intervention, text):
    with pytest.raises(ValueError, match=text):
        Component(kind="mitigation", name="confounder-augmentation", params={"intervention": intervention})


def test_it_needs_no_groups():
    recipe = mitigated("confounder-augmentation", intervention="tag")
    assert recipe.groups == ""
    assert build_mitigation(recipe).group_labels == "none"
