"""Conformance suites for datasets, phantoms and interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from assay.data.leakage import exact_groups, row_hashes
from assay.models.untyped import seed_torch, tensor_of
from assay.plugin import (
    ONE_KIND,
    ArrayCache,
    AssayError,
    ChangedImages,
    ComponentKind,
    Dataset,
    DrawnIntervention,
    Environment,
    Factor,
    FactorTable,
    Images,
    Intervention,
    Masks,
    Phantom,
    Rendered,
    draw,
    mark_factor,
)
from assay.testing.losses import NamedComponent

# Suite of datasets from files.


class DatasetConformance:
    """Define `make`.

    Proven: position i is row i of the table, the images and the masks; targets and patients are codes, every factor has
    its column; images are float32 in [0, 1], masks are label maps of their size; reading follows the index and gives
    memory of its own; no exact copy is shared by two patients; loading again, from another cache too, gives the same;
    the card counts the images.
    """

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        """Write the files into `folder` unless they are there, and load them."""
        raise NotImplementedError(f"{type(self).__name__} must define make(self, folder, cache)")

    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Dataset:
        """Return the dataset, loaded for the first time."""
        return self.make(tmp_path / "files", ArrayCache(tmp_path / "cache"))

    def test_position_i_is_row_i_and_every_column_is_of_codes_or_numbers(self, dataset: Dataset) -> None:
        table, n = dataset.table, len(dataset.table)
        assert n > 0
        np.testing.assert_array_equal(table.row, np.arange(n))
        assert len(dataset.images) == n
        assert dataset.masks is None or len(dataset.masks) == n
        for column in (table.target, table.patient, *table.columns.values()):
            assert column.shape == (n,)
        assert table.target.dtype == table.patient.dtype == np.int64
        assert 0 <= table.target.min() <= table.target.max() < len(table.classes)
        codes = np.unique(table.patient)
        assert np.array_equal(codes, np.arange(len(codes))), "patients are numbered from 0 without gaps"
        assert set(table.columns) == {factor.name for factor in table.factors}, "columns and factors differ"
        for factor in table.factors:
            values = table.columns[factor.name]
            if factor.levels:
                assert values.dtype == np.int64
                assert -1 <= values.min() <= values.max() < len(factor.levels)
            else:
                assert values.dtype == np.float64
                assert not np.isinf(values).any()

    def test_images_are_float_masks_are_labels_and_reading_follows_the_index(self, dataset: Dataset) -> None:
        n, source, masks = len(dataset.table), dataset.images, dataset.masks
        index = np.array([n - 1, 0, n - 1])
        assert isinstance(source, Images)
        images = source.read(np.arange(n))
        assert images.shape == (n, *source.shape)
        assert images.dtype == torch.float32
        assert images.device.type == "cpu"
        assert 0 <= float(images.min()) <= float(images.max()) <= 1, "pixels outside [0, 1]"
        assert torch.equal(source.read(index), images[index])
        assert len(source.read(np.array([], dtype=np.int64))) == 0
        if masks is not None:
            assert isinstance(masks, Masks)
            labels = masks.read(np.arange(n))
            assert labels.shape == (n, 1, *source.shape[1:])
            assert labels.dtype == torch.uint8
            assert len(masks.kinds) == len(set(masks.kinds)) > 0
            assert int(labels.max()) <= len(masks.kinds), "a label beyond the last kind"
            assert torch.equal(masks.read(index), labels[index])
        first = source.read(np.array([0]))
        first += 1
        assert torch.equal(source.read(np.array([0])), images[:1]), "who writes to a batch changes the dataset"

    def test_no_image_is_two_patients(self, dataset: Dataset) -> None:
        pixels = dataset.images.read(np.arange(len(dataset.table))).numpy()
        shared = exact_groups(row_hashes(pixels), dataset.table.patient)
        assert shared == [], f"rows of several patients that are the same image: {shared}"

    def test_loading_again_gives_the_same(self, dataset: Dataset, tmp_path: Path) -> None:
        index = np.arange(len(dataset.table))
        for cache in ("cache", "another cache"):
            again = self.make(tmp_path / "files", ArrayCache(tmp_path / cache))
            assert again.content == dataset.content, "loaded again it has another content hash"
            assert again.card == dataset.card
            assert again.near_copies == dataset.near_copies
            assert torch.equal(again.images.read(index), dataset.images.read(index))
            np.testing.assert_array_equal(again.table.target, dataset.table.target)
            np.testing.assert_array_equal(again.table.patient, dataset.table.patient)

    def test_the_card_counts(self, dataset: Dataset) -> None:
        card = dataset.card
        patients = len(np.unique(dataset.table.patient))
        images = len(dataset.table)
        named = f"{images:,} images of {patients:,} patients" in card.summary
        assert named or (patients == images and f"{images:,} images, patients not named" in card.summary)
        for code, name in enumerate(dataset.table.classes):
            assert f"{name} {int((dataset.table.target == code).sum()):,}" in card.summary
        assert card.name
        assert card.license
        assert card.source


# Suite of phantoms.

Values = Mapping[str, np.ndarray]


def draw_phantom(phantom: Phantom, count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return every factor from its marginal, and nuisance seeds."""
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
    not depend on its batch; a changed factor changes only its own region, is visible at difficulty 1 and invisible at
    0; wrong requests are refused in words that name the factor, the given and the allowed values.
    """

    def make(self) -> Phantom:
        """Return the phantom."""
        raise NotImplementedError(f"{type(self).__name__} must define make(self)")

    @pytest.fixture
    def phantom(self) -> Phantom:
        """Return the phantom that the tests look at."""
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
        millimeters = phantom.scale(size).mm_per_pixel or 1.0
        return grow(before.masks | after.masks, int(np.ceil(self.reach_mm / millimeters)))

    def test_factors_and_marginals_keep_the_protocol(self, phantom: Phantom) -> None:
        assert isinstance(phantom, Phantom)
        names = [factor.name for factor in phantom.factors]
        assert len(set(names)) == len(names)
        assert phantom.card.name
        assert phantom.card.summary
        for members in phantom.groups().values():
            assert set(members) <= set(names)
        u = np.linspace(0, 1, 4001)[:-1]
        for factor in phantom.factors:
            assert set(factor.high) <= set(factor.levels)
            values = phantom.quantile(factor.name, u)
            assert np.all(np.diff(values) >= 0), f"{factor.name} falls somewhere as u rises"
            if factor.levels:
                assert values.dtype == np.int64
                assert set(np.unique(values)) == set(range(len(factor.levels)))
            else:
                assert values.dtype == np.float64
                assert factor.range is not None, f"{factor.name} states neither levels nor a range"
                assert factor.range[0] <= values.min() <= values.max() <= factor.range[1]
            if factor.kind == "categorical":
                np.testing.assert_array_equal(factor.numbers(values), u >= 0.5)
        with pytest.raises(AssayError, match="unknown factor 'no-such-factor'"):
            phantom.quantile("no-such-factor", np.array([0.5]))
        with pytest.raises(AssayError, match="outside 0 <= u < 1"):
            phantom.quantile(phantom.factors[0].name, np.array([1.0]))

    def test_images_and_masks_are_sane(self, phantom: Phantom) -> None:
        values, nuisance = draw_phantom(phantom, 12, 1)
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
        nothing = {name: column[:0] for name, column in values.items()}
        assert len(phantom.render(nothing, nuisance[:0], self.sizes[0], {}).images) == 0

    @pytest.mark.parametrize("batch", [1, 3, 7, 33])
    def test_pixels_do_not_depend_on_the_batch(self, phantom: Phantom, batch: int) -> None:
        values, nuisance = draw_phantom(phantom, 80, 2)
        all_rows = phantom.render(values, nuisance, self.sizes[-1], {})
        index = np.random.default_rng(batch).permutation(80)[:batch]
        some = phantom.render({k: v[index] for k, v in values.items()}, nuisance[index], self.sizes[-1], {})
        assert torch.equal(some.images, all_rows.images[index])
        assert torch.equal(some.masks, all_rows.masks[index])

    def test_a_changed_factor_touches_only_what_it_may(self, phantom: Phantom) -> None:
        for seed, factor in enumerate(phantom.factors):
            self.check_purity(phantom, factor, seed, 24, 64 if 64 in self.sizes else self.sizes[-1])

    def check_purity(self, phantom: Phantom, factor: Factor, seed: int, count: int, size: int) -> None:
        """Redraw one factor and compare: equal outside its region, and not everywhere equal within."""
        values, nuisance = draw_phantom(phantom, count, seed)
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
            values, nuisance = draw_phantom(phantom, 24, seed)
            values |= {name: np.full_like(values[name], value) for name, value in self.held.items()}
            ends = [{**values, factor.name: phantom.quantile(factor.name, np.full(24, u))} for u in (0.0, 0.999)]
            hidden = [phantom.render(end, nuisance, size, {factor.name: 0.0}) for end in ends]
            assert torch.equal(hidden[0].images, hidden[1].images), f"'{factor.name}' shows at difficulty 0"
            assert torch.equal(hidden[0].masks, hidden[1].masks)
            visible = [phantom.render(end, nuisance, size, {}).images for end in ends]
            assert torch.equal(phantom.render(ends[0], nuisance, size, {factor.name: 1.0}).images, visible[0])
            per_image = (visible[0] - visible[1]).abs().amax((1, 2, 3))
            assert float(per_image.median()) > 0.02, f"'{factor.name}' is invisible at difficulty 1"

    def test_errors_say_what_is_wrong(self, phantom: Phantom) -> None:
        values, nuisance = draw_phantom(phantom, 3, 4)
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
                    {**values, factor.name: np.full(3, value)},
                    size,
                    {},
                    f"factor '{factor.name}' is .* in row 0.*allowed",
                )
                for factor in phantom.factors
                for value in outside(factor)
            ),
        ]
        for columns, pixels, difficulty, text in cases:
            with pytest.raises(AssayError, match=text):
                phantom.render(columns, nuisance, pixels, difficulty)


def outside(factor: Factor) -> tuple[float, ...]:
    """Values that the factor cannot take."""
    if factor.levels:
        return (-1.0, float(len(factor.levels)), 0.5)
    assert factor.range is not None
    return (factor.range[0] - 0.01, factor.range[1] + 0.01, float("nan"))


# Images in memory, and small sets whose classes are easy to tell apart.


@dataclass(frozen=True)
class ImagesInMemory:
    """`Images` over a tensor [n, c, h, w]."""

    pixels: Float[Tensor, "n c h w"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: np.ndarray) -> Float[Tensor, "b c h w"]:
        """See `Images`."""
        return self.pixels[torch.as_tensor(index)]


@dataclass(frozen=True)
class MasksInMemory:
    """`Masks` over a tensor [n, 1, h, w] of labels, or of bool where there is one kind."""

    masks: Bool[Tensor, "n 1 h w"] | UInt8[Tensor, "n 1 h w"]
    kinds: tuple[str, ...] = ONE_KIND

    def __len__(self) -> int:
        return len(self.masks)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "b 1 h w"]:
        """See `Masks`."""
        return self.masks[torch.as_tensor(index)].to(torch.uint8)


def squares(rows: int, seed: int = 0, size: int = 16, channels: int = 1, classes: int = 2) -> Environment:
    """Noise with one bright square per image and its mask; its side is 3 pixels and 2 more for every class.

    The factor `mark` says nothing and shows nowhere: it makes groups, each half of a class.
    """
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    pixels = rng.random((rows, channels, size, size), dtype=np.float32) * 0.5
    masks = np.zeros((rows, 1, size, size), dtype=bool)
    for image in range(rows):
        side = 3 + 2 * int(target[image])
        top, left = rng.integers(0, size - side, 2)
        masks[image, 0, top : top + side, left : left + side] = True
    pixels += np.float32(0.4) * masks
    table = FactorTable(
        row=np.arange(rows) + 1000 * seed,
        target=target,
        patient=np.arange(rows),
        classes=tuple(f"class {number}" for number in range(classes)),
        factors=(mark_factor("mark"),),
        columns={"mark": _alternating(target)},
    )
    images, outlines = ImagesInMemory(tensor_of(pixels)), MasksInMemory(tensor_of(masks))
    return Environment("squares", table, images, outlines, ())


def _alternating(target: np.ndarray) -> np.ndarray:
    """0 and 1 in turn within each class, int64 [n]."""
    mark = np.zeros(len(target), dtype=np.int64)
    for number in np.unique(target):
        rows = np.flatnonzero(target == number)
        mark[rows] = np.arange(len(rows)) % 2
    return mark


def images_of(count: int, channels: int, size: int) -> Tensor:
    """Uniform noise in [0, 1), the same each time."""
    return torch.rand((count, channels, size, size), generator=torch.Generator().manual_seed(0))


def spots(count: int, channels: int, size: int, per_pixel: bool) -> tuple[Tensor, Tensor]:
    """Dim noise; every second image has a bright square on a quarter of its area. The target is whether it has one, or
    whether a pixel is in one.
    """
    images, inside = 0.5 * images_of(count, channels, size), torch.zeros(count, size, size)
    inside[1::2, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    images += 0.4 * inside[:, None]
    return images, inside.long() if per_pixel else inside.amax((1, 2)).long()


# Suite of interventions.

Shape = tuple[int, int, int]

SHAPES = [(1, 32, 32), (3, 32, 32), (1, 48, 30), (3, 30, 48)]
ROWS = np.array([3, 0, 11, 2**31 + 5, 7, 100_000], dtype=np.int64)
OUTSIDE = "pixels outside [0, 1]: clamp them"
MARKED = np.array([True, False, True, True, False, True])


def pictures(shape: Shape, count: int = len(ROWS)) -> Tensor:
    """Uniform noise in [0, 1), the same each time."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


shapes = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, shape)) for shape in SHAPES])


class InterventionConformance(NamedComponent):
    """Set `name` and `params`.

    Proven, on gray and color images, square or not: images keep their shape, type and range, and the given ones are not
    touched; the same pixels every time, whatever the state of global generators; a row's pixels depend neither on its
    batch nor on its neighbors; unmarked rows, and all rows when it is off, are unchanged; the mask covers every pixel
    that differs.
    """

    kind: ClassVar[ComponentKind] = "intervention"

    def drawn(self, shape: Shape, rows: np.ndarray = ROWS, seed: int = 5, name: str = "it") -> DrawnIntervention:
        """Return the intervention with its parameters drawn for these rows, of which `MARKED` get it."""
        marked = MARKED if len(rows) == len(MARKED) else np.ones(len(rows), dtype=bool)
        return draw(name, self.built(), marked, rows, seed, shape)

    def test_follows_the_protocol(self) -> None:
        change = self.built()
        missing = [name for name in ("check", "draw", "apply", "mask") if not hasattr(change, name)]
        assert isinstance(change, Intervention), f"{self.name} is no Intervention: it lacks {', '.join(missing)}"

    @shapes
    def test_pixels_are_sane_and_the_same_whenever_they_are_made(self, shape: Shape) -> None:
        images, every = pictures(shape), np.arange(len(ROWS))
        before = images.clone()
        seed_torch(1)
        np.random.seed(1)  # noqa: NPY002 - global state must not matter
        out = self.drawn(shape).apply(images, every)
        assert out.shape == images.shape
        assert out.dtype == torch.float32
        assert torch.equal(images, before), "apply changed the images that it was given: work on a copy"
        seed_torch(2)
        np.random.seed(2)  # noqa: NPY002
        again = self.drawn(shape).apply(images, every)
        assert torch.equal(out, again), "it draws from a global generator: take draws.uniform or draws.seeds in draw"
        extremes = [self.drawn(shape).apply(torch.full_like(images, value), every) for value in (0.0, 1.0)]
        for pixels in (out, *extremes):
            assert bool(torch.isfinite(pixels).all()), "NaN or infinite pixels"
            assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1, OUTSIDE
        nothing = np.array([], dtype=np.int64)
        assert self.drawn(shape).apply(images[:0], nothing).shape == (0, *shape)

    @shapes
    def test_a_rows_pixels_depend_neither_on_its_batch_nor_on_its_neighbors(self, shape: Shape) -> None:
        images, change = pictures(shape), self.drawn(shape)
        for name, values in change.parameters.items():
            part = self.drawn(shape, ROWS[2:4]).parameters[name]
            assert values.shape == (len(ROWS),), f"'{name}' must hold one number per row"
            assert values.dtype in (torch.float64, torch.int64), f"'{name}' must be float64 or int64"
            assert torch.equal(values[2:4], part), f"'{name}' of a row depends on the other rows"
        together = change.apply(images, np.arange(len(ROWS)))
        order = np.array([4, 2, 0, 5, 3, 1])
        shuffled = change.apply(images[order], order)
        assert torch.equal(shuffled, together[order]), "a row's pixels depend on the order of its batch"
        for i in range(len(ROWS)):
            alone = change.apply(images[i : i + 1], np.array([i]))
            assert torch.equal(alone[0], together[i]), "a row's pixels depend on its batch"
            by_itself = self.drawn(shape, ROWS[i : i + 1]).on(bool(MARKED[i])).apply(images[i : i + 1], np.array([0]))
            assert torch.equal(by_itself[0], together[i]), "a row's parameters depend on the other rows drawn with it"

    @shapes
    def test_only_marked_rows_change_and_only_within_the_mask(self, shape: Shape) -> None:
        images, change, every = pictures(shape), self.drawn(shape), np.arange(len(ROWS))
        out, off, mask = change.apply(images, every), change.on(False), change.mask(every)
        assert torch.equal(out[~MARKED], images[~MARKED])
        assert off.apply(images, every) is images
        assert not bool(off.mask(every).any())
        assert mask.shape == (len(ROWS), 1, *shape[1:])
        assert mask.dtype == torch.bool
        outside_mask = int(((out != images).any(dim=1, keepdim=True) & ~mask).sum())
        assert outside_mask == 0, f"{outside_mask} pixels differ outside the mask"
        index, read = np.array([2, 5, 1]), ImagesInMemory(images)
        assert torch.equal(ChangedImages(read, [change]).read(index), out[index])
        assert torch.equal(ChangedImages(read, [off]).read(index), images[index])
