"""The radiology-like phantom: the conformance suite, and that its images are those of the phantoms it draws with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.data.phantoms.radiology import DIFFUSE, draw_values, tasks
from assay.plugin import Phantom, Rendered, build
from assay.testing.data import PhantomConformance, Values

LOCAL = ("nodule", "cavity", "band", "line", "calcifications")


def make(anatomy: str = "both", findings: str = "diffuse") -> Phantom:
    """Return the phantom."""
    return build("phantom", "radiology", {"anatomy": anatomy, "findings": findings})


def names_of(anatomy: str = "both", findings: str = "diffuse") -> tuple[str, ...]:
    """Return the names of its classes: finding and the parts of other factors."""
    return make(anatomy, findings).factors[0].levels


class TestRadiology(PhantomConformance):
    sizes = (64, 65)
    wrong_sizes = (0, 63, 257)
    anatomy = "both"
    findings = "diffuse"

    def make(self) -> Phantom:
        return make(self.anatomy, self.findings)

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        return torch.ones_like(before.masks)


class TestChestAlone(TestRadiology):
    sizes = (64,)
    anatomy = "chest"


class TestLocalFindings(TestRadiology):
    sizes = (64,)
    anatomy = "chest"
    findings = "local"


class TestCtAlone(TestRadiology):
    sizes = (32, 64)
    wrong_sizes = (0, 31, 257)
    anatomy = "ct"


@pytest.mark.parametrize(("anatomy", "count"), [("both", 60), ("chest", 30), ("ct", 30)])
def test_its_factors_are_those_of_its_arguments(anatomy: str, count: int) -> None:
    assert len(set(names_of(anatomy))) == count
    with pytest.raises(ValueError, match="anatomy"):
        make("mri")


@pytest.mark.parametrize("finding", DIFFUSE)
def test_a_diffuse_finding_is_within_the_ranges_that_the_chest_phantom_checks(finding: str) -> None:
    build("phantom", "chest", DIFFUSE[finding])


class ImageProperties:
    """What a phantom was asked to render."""

    def __init__(self, phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[dict[str, np.ndarray]] = []
        render = type(phantom).render

        def noted(this: Phantom, values: Values, *rest: object) -> Rendered:
            self.asked.append(dict(values))
            return render(this, values, *rest)

        monkeypatch.setattr(type(phantom), "render", noted)

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([values[name] for values in self.asked])


def test_no_mass_no_spicules_and_all_else_varies(monkeypatch: pytest.MonkeyPatch) -> None:
    chest, nodule = (ImageProperties(build("phantom", name, {}), monkeypatch) for name in ("chest", "nodule"))
    make().render({"kind": np.arange(240) % 60}, np.arange(240), 64, {})
    assert set(chest.column("mass")) == {0}
    assert set(nodule.column("margin")) == {0.0}
    for name in ("sex", "view", "scanner"):
        assert 0.35 < chest.column(name).mean() < 0.65
    for name in ("contrast", "elongation", "position_x"):
        assert len(np.unique(nodule.column(name))) > 100


def test_classes_are_what_their_names_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for anatomy in ("chest", "ct"):
        phantom = build("phantom", "chest" if anatomy == "chest" else "nodule", {})
        seen = ImageProperties(phantom, monkeypatch)
        for code, task in enumerate(names_of(anatomy)):
            seen.asked.clear()
            make(anatomy).render({"kind": np.full(6, code)}, np.arange(6), 64, {})
            if anatomy == "chest":
                low, high = {"young": (20, 41), "middle": (44.5, 65.5), "old": (69, 90)}[task.split("-")[2]]
                assert ((seen.column("age") >= low) & (seen.column("age") <= high)).all()
                assert ((seen.column("habitus") > 0.5) == task.endswith("heavy")).all()
            else:
                levels = phantom.factors[1].levels
                assert {levels[code] for code in seen.column("texture")} == {
                    next(level for level in levels if task.startswith(f"ct-{level}-"))
                }
                assert (seen.column("vessel") == ("fed" in task)).all()


@pytest.mark.parametrize("anatomy", ["chest", "ct"])
def test_the_same_class_is_the_same_image_with_other_anatomy_beside_it_or_without(anatomy: str) -> None:
    """So that a source with and one without the target's anatomy share the images that they share."""
    first = {"chest": 0, "ct": 30}[anatomy]
    alone = make(anatomy).render({"kind": np.arange(30)}, np.arange(30), 64, {}).images
    beside = make().render({"kind": np.arange(30) + first}, np.arange(30), 64, {}).images
    assert torch.equal(alone, beside)


def test_images_are_those_of_the_chest_phantom() -> None:
    """A clear chest is what the phantom itself draws of the same values; a finding changes it."""
    kinds = {name: code for code, name in enumerate(names_of())}
    nuisance = np.arange(8)
    images = {
        finding: make().render({"kind": np.full(8, kinds[f"chest-{finding}-middle-slender"])}, nuisance, 64, {}).images
        for finding in DIFFUSE
    }
    for finding, shown in images.items():
        if finding != "clear":
            assert float((shown - images["clear"]).abs().amax((1, 2, 3)).min()) > 0.05


def test_a_local_finding_changes_its_place_and_nothing_else() -> None:
    """Against the chest without it: a small part of the image, in the named lung and zone."""
    nuisance, names, chest = np.arange(12), names_of("chest", "local"), build("phantom", "chest", {})
    for finding in LOCAL:
        middles: dict[str, float] = {}
        for zone in ("upper", "middle", "lower"):
            code = names.index(f"chest-{finding}-left-{zone}")
            phantom = make("chest", "local")
            values = draw_values(chest, tasks("chest", "local"), np.full(12, code), nuisance)
            shown = phantom.render({"kind": np.full(12, code)}, nuisance, 64, {}).images[:, 0]
            added = shown - chest.render(values, nuisance, 64, {}).images[:, 0]
            changed = added.abs() > 1e-6
            assert bool(changed.any((1, 2)).all())
            assert float(changed.float().mean((1, 2)).max()) < 0.15
            weight = added.clamp(min=0)
            rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)
            middles[zone] = float((weight * rows).sum() / weight.sum())
            assert float((weight * columns).sum() / weight.sum()) > 32  # the patient's left is on the right
        assert middles["upper"] < middles["middle"] < middles["lower"]


def test_half_of_the_classes_are_of_each_kind_of_findings() -> None:
    names = [name.split("-")[1] for name in names_of("chest", "both")]
    assert [names.count(finding) for finding in (*DIFFUSE, *LOCAL)] == [3] * 10
