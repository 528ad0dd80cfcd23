"""What every phantom must be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.plugin import AssayError, Factor, Phantom, Rendered

Values = Mapping[str, np.ndarray]


def draw(phantom: Phantom, count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every factor from its marginal, and nuisance seeds."""
    generator = np.random.default_rng(seed)
    values = {factor.name: phantom.quantile(factor.name, generator.random(count)) for factor in phantom.factors}
    return values, generator.integers(0, 2**32, count)


def opposite(phantom: Phantom, factor: str, seed: int, count: int) -> np.ndarray:
    """Another draw of one factor."""
    return phantom.quantile(factor, np.random.default_rng([seed, 1]).random(count))


def grow(masks: Tensor, pixels: int) -> Tensor:
    """Masks dilated by a square of 2 `pixels` + 1."""
    if pixels == 0:
        return masks
    return torch.nn.functional.max_pool2d(masks.float(), 2 * pixels + 1, 1, pixels) > 0


class PhantomConformance:
    """Define `make`; say with `reach_mm`, or by overriding `may_touch`, how far a change of a factor may reach.

    Proven: factors, marginals and groups keep the protocol; images and masks are sane at every size; a row's pixels do
    not depend on its batch; a changed factor touches only what it may, is visible at difficulty 1 and invisible at 0;
    wrong requests are refused in words that name the factor, what was given and what is allowed.
    """

    def make(self) -> Phantom:
        """The phantom."""
        raise NotImplementedError(f"{type(self).__name__} must define make(self)")

    @pytest.fixture
    def phantom(self) -> Phantom:
        """The phantom that the tests look at."""
        return self.make()

    sizes: tuple[int, ...] = (32, 64, 96)
    """Image sizes that the phantom draws."""
    wrong_sizes: tuple[int, ...] = (0, -64, 7, 10**6)
    """Sizes that it refuses."""
    reach_mm: float = 0.0
    """How far outside the lesion's masks (of both images) a change of a factor may touch pixels."""
    held: Mapping[str, float] = {}
    """Factors that stay at these values while another is shown to be visible: a lesion is there to have a size."""

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        """Pixels that a change of this factor may alter, bool [n, 1, h, w]. Override where it is more than lesions."""
        size = before.images.shape[-1]
        millimetres = phantom.scale(size).mm_per_pixel or 1.0
        return grow(before.masks | after.masks, int(np.ceil(self.reach_mm / millimetres)))

    def test_keeps_the_protocol(self, phantom: Phantom) -> None:
        assert isinstance(phantom, Phantom)
        names = [factor.name for factor in phantom.factors]
        assert len(set(names)) == len(names)
        assert phantom.card.name
        assert phantom.card.summary
        for members in phantom.groups().values():
            assert set(members) <= set(names)
        for factor in phantom.factors:
            assert factor.levels or factor.range is not None, f"{factor.name} states neither levels nor a range"
            assert set(factor.high) <= set(factor.levels)

    def test_marginals_are_quantile_functions(self, phantom: Phantom) -> None:
        u = np.linspace(0, 1, 4001)[:-1]
        for factor in phantom.factors:
            values = phantom.quantile(factor.name, u)
            assert np.all(np.diff(values) >= 0), f"{factor.name} falls somewhere as u rises"
            if factor.levels:
                assert values.dtype == np.int64
                assert set(np.unique(values)) == set(range(len(factor.levels)))
            else:
                assert values.dtype == np.float64
                assert factor.range is not None
                assert factor.range[0] <= values.min()
                assert values.max() <= factor.range[1]

    def test_high_levels_fill_the_upper_half(self, phantom: Phantom) -> None:
        u = np.linspace(0, 1, 4001)[:-1]
        for factor in phantom.factors:
            if factor.kind == "categorical":
                np.testing.assert_array_equal(factor.numbers(phantom.quantile(factor.name, u)), u >= 0.5)

    def test_quantile_refuses_unknown_factors_and_wrong_probabilities(self, phantom: Phantom) -> None:
        with pytest.raises(AssayError, match="unknown factor 'no-such-factor'"):
            phantom.quantile("no-such-factor", np.array([0.5]))
        with pytest.raises(AssayError, match="outside 0 <= u < 1"):
            phantom.quantile(phantom.factors[0].name, np.array([1.0]))

    def test_images_and_masks_are_sane(self, phantom: Phantom) -> None:
        values, nuisance = draw(phantom, 12, 1)
        for size in self.sizes:
            rendered = phantom.render(values, nuisance, size, {})
            n, channels, height, width = rendered.images.shape
            assert (n, height, width) == (12, size, size)
            assert channels in (1, 3)
            assert rendered.images.dtype == torch.float32
            assert bool(torch.isfinite(rendered.images).all())
            assert float(rendered.images.min()) >= 0
            assert float(rendered.images.max()) <= 1
            assert rendered.masks.shape == (12, 1, size, size)
            assert rendered.masks.dtype == torch.bool
            share = rendered.masks.float().mean((1, 2, 3))
            assert float(share.max()) < 0.7
            assert len(np.unique(rendered.images.flatten(1).numpy(), axis=0)) == 12, "two seeds gave one image"

    def test_no_images_are_no_images(self, phantom: Phantom) -> None:
        values, nuisance = draw(phantom, 0, 1)
        assert len(phantom.render(values, nuisance, self.sizes[0], {}).images) == 0

    @pytest.mark.parametrize("batch", [1, 3, 7, 33])
    def test_pixels_do_not_depend_on_the_batch(self, phantom: Phantom, batch: int) -> None:
        values, nuisance = draw(phantom, 80, 2)
        whole = phantom.render(values, nuisance, self.sizes[-1], {})
        index = np.random.default_rng(batch).permutation(80)[:batch]
        some = phantom.render({k: v[index] for k, v in values.items()}, nuisance[index], self.sizes[-1], {})
        assert torch.equal(some.images, whole.images[index])
        assert torch.equal(some.masks, whole.masks[index])

    def test_a_changed_factor_touches_only_what_it_may(self, phantom: Phantom) -> None:
        for seed, factor in enumerate(phantom.factors):
            self.check_purity(phantom, factor, seed, 24, 64 if 64 in self.sizes else self.sizes[-1])

    def check_purity(self, phantom: Phantom, factor: Factor, seed: int, count: int, size: int) -> None:
        """Redraw one factor and compare: equal outside what it may touch, and not everywhere equal within."""
        values, nuisance = draw(phantom, count, seed)
        changed = {**values, factor.name: opposite(phantom, factor.name, seed, count)}
        before, after = phantom.render(values, nuisance, size, {}), phantom.render(changed, nuisance, size, {})
        differs = (before.images != after.images).any(1, keepdim=True)
        allowed = self.may_touch(phantom, factor.name, values, nuisance, before, after)
        assert not bool((differs & ~allowed).any()), f"'{factor.name}' changed pixels that it may not touch"
        same = torch.as_tensor(values[factor.name] == changed[factor.name])
        assert not bool(differs[same].any())

    def test_a_factor_is_visible_at_normal_difficulty_and_not_at_none(self, phantom: Phantom) -> None:
        size = 64 if 64 in self.sizes else self.sizes[-1]
        for seed, factor in enumerate(phantom.factors):
            values, nuisance = draw(phantom, 24, seed)
            values |= {name: np.full_like(values[name], value) for name, value in self.held.items()}
            ends = [{**values, factor.name: phantom.quantile(factor.name, np.full(24, u))} for u in (0.0, 0.999)]
            hidden = [phantom.render(end, nuisance, size, {factor.name: 0.0}) for end in ends]
            assert torch.equal(hidden[0].images, hidden[1].images), f"'{factor.name}' shows at difficulty 0"
            assert torch.equal(hidden[0].masks, hidden[1].masks)
            seen = [phantom.render(end, nuisance, size, {}).images for end in ends]
            per_image = (seen[0] - seen[1]).abs().amax((1, 2, 3))
            assert float(per_image.median()) > 0.02, f"'{factor.name}' is invisible at difficulty 1"

    def test_normal_difficulty_is_the_default(self, phantom: Phantom) -> None:
        values, nuisance = draw(phantom, 6, 3)
        normal = {factor.name: 1.0 for factor in phantom.factors}
        given = phantom.render(values, nuisance, self.sizes[0], normal)
        assert torch.equal(given.images, phantom.render(values, nuisance, self.sizes[0], {}).images)

    def test_errors_say_what_is_wrong(self, phantom: Phantom) -> None:
        values, nuisance = draw(phantom, 3, 4)
        size, first = self.sizes[0], phantom.factors[0].name
        rest = {name: column for name, column in values.items() if name != first}
        cases: list[tuple[Values, int, dict[str, float], str]] = [
            (rest, size, {}, rf"no values for factor\(s\) {first}"),
            ({**values, "no-such-factor": nuisance}, size, {}, "unknown factor 'no-such-factor'"),
            ({**values, first: values[first][:2]}, size, {}, rf"'{first}' has shape \(2,\).*\(3,\)"),
            (values, size, {"no-such-factor": 1.0}, "unknown factor.*'no-such-factor'"),
            (values, size, {first: -1.0}, rf"difficulty of '{first}' is -1"),
            (values, size, {first: float("nan")}, rf"difficulty of '{first}' is nan"),
            *((values, wrong, {}, f"image size {wrong} px") for wrong in self.wrong_sizes),
            *(
                (
                    {**values, factor.name: np.full(3, beyond)},
                    size,
                    {},
                    f"factor '{factor.name}' is .* in row 0.*allowed",
                )
                for factor in phantom.factors
                for beyond in outside(factor)
            ),
        ]
        for given, pixels, difficulty, text in cases:
            with pytest.raises(AssayError, match=text):
                phantom.render(given, nuisance, pixels, difficulty)


def outside(factor: Factor) -> tuple[float, ...]:
    """Values that the factor cannot take."""
    if factor.levels:
        return (-1.0, float(len(factor.levels)), 0.5)
    assert factor.range is not None
    return (factor.range[0] - 0.01, factor.range[1] + 0.01, float("nan"))
