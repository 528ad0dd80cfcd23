"""Names of two sides against a plain search over all pairs and all that may be ignored."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.files.joins import match

pytestmark = pytest.mark.thorough

ENDINGS = (".png", ".JPG", ".nii.gz", ".dcm", ".nii", "")


@st.composite
def named(draw: st.DrawFn) -> str:
    """Draw a file's name or an id: few different ones, so that many nearly agree."""
    folders = draw(st.sampled_from(("", "a/", "b/", "a/b/", "A/", "a\\")))
    prefix = draw(st.sampled_from(("", "sub-", "case_", "Case_", "1.2.840.", "é", "e\u0301")))
    number = "0" * draw(st.integers(0, 3)) + str(draw(st.integers(0, 4)))
    channel = draw(st.sampled_from(("", "", "_0000")))
    return folders + prefix + number + channel + draw(st.sampled_from(ENDINGS))


names = st.lists(named(), max_size=7)


def ignoring(name: str, rules: Sequence[bool], depth: int) -> str:
    """Return a name as it is when some of its parts are ignored, written a second time."""
    plain, ending, folders, case, marks, zeros = rules
    if plain:
        name = unicodedata.normalize("NFC", name).replace("\\", "/")
    if ending:
        for one in sorted(ENDINGS, key=len, reverse=True):
            if one and name.lower().endswith(one.lower()) and name[: -len(one)].strip("/"):
                name = name[: -len(one)]
                break
    if folders:
        name = "/".join(name.split("/")[-depth:])
    if case:
        name = name.casefold()
    if marks:
        head, slash, last = name.rpartition("/")
        last = last[4:] if last.lower().startswith("sub-") else last
        for one in sorted(ENDINGS, key=len, reverse=True):
            end = last[len(last) - len(one) :]
            if end.lower() == one.lower() and last[: len(last) - len(one)].endswith("_0000"):
                last = last[: len(last) - len(one) - 5] + end
                break
        name = head + slash + last
    if zeros:
        found = ""
        for part in itertools.groupby(name, key=str.isdigit):
            digits = "".join(part[1])
            found += (digits.lstrip("0") or "0") if part[0] and not found.endswith(".") else digits
        name = found[:-2] if found.endswith(".0") and found[:-2].isdigit() else found
    return name


def in_one_folder(name: str, other: str, rules: Sequence[bool]) -> bool:
    """Return whether two paths agree as far as both go: `a/1` and `1` do, `a/1` and `b/1` do not."""
    elsewhere = (True, rules[1], False, *rules[3:])
    parts = [ignoring(path, elsewhere, 0).split("/")[::-1] for path in (name, other)]
    return all(one == two for one, two in zip(*parts, strict=False))


def searched(left: Sequence[str], right: Sequence[str]) -> dict[int, int]:
    """Return the pairs of a search over all that may be ignored, the mildest first."""
    pairs: dict[int, int] = {}
    for code in range(64):
        rules = [bool(code >> at & 1) for at in range(6)]
        for depth in (2, 1) if rules[2] else (9,):
            for at, to in itertools.product(range(len(left)), range(len(right))):
                key = ignoring(left[at], rules, depth)
                alone = [sum(ignoring(one, rules, depth) == key for one in side) == 1 for side in (left, right)]
                fits = key == ignoring(right[to], rules, depth) and all(alone)
                fits = fits and in_one_folder(left[at], right[to], rules)
                if fits and at not in pairs and to not in pairs.values():
                    pairs[at] = to
    return pairs


def in_names(found: Any) -> set[tuple[str, str]]:
    return {(found.left[at], found.right[to]) for at, to in found.pairs.items()}


@given(names, names)
def test_pairs_are_those_of_a_plain_search(left: list[str], right: list[str]) -> None:
    assert dict(match(left, right).pairs) == searched(left, right)


@given(names, names)
def test_pairs_are_one_to_one_and_remainders_add_up(left: list[str], right: list[str]) -> None:
    found = match(left, right)
    assert len(set(found.pairs.values())) == len(found.pairs)
    assert sorted([*found.pairs, *found.left_over]) == list(range(len(left)))
    assert sorted([*found.pairs.values(), *found.right_over]) == list(range(len(right)))
    assert all(count <= len(found.pairs) for count in found.ignored.values())


@given(names, names)
def test_equal_names_come_before_all_others(left: list[str], right: list[str]) -> None:
    equal = {name for name in left if left.count(name) == 1 == right.count(name)}
    assert {(name, name) for name in equal} <= in_names(match(left, right))


@given(names, names, st.randoms())
def test_the_order_of_names_does_not_matter(left: list[str], right: list[str], random: object) -> None:
    before = in_names(match(left, right))
    for side in (left, right):
        random.shuffle(side)  # type: ignore[attr-defined]
    assert in_names(match(left, right)) == before


@given(names, names)
def test_the_sides_may_be_swapped(left: list[str], right: list[str]) -> None:
    assert in_names(match(left, right)) == {(one, other) for other, one in in_names(match(right, left))}
