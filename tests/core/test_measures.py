"""Every measure is described once: names, meanings and ranges, and the code goes by them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import assay.probes.probe
from assay.core import measures
from assay.core.measures import COMPARED, MEASURES, label_of
from assay.plugin import Measure, entries, register_measures
from assay.stats.measures import COMPUTED

OF_OUTPUTS = ("performance", "segmentation", "lesion-free")
IN_PARTS = ("auroc-lost-to-", "accuracy-lost-to-", "condition-number-maps", "corruption-error", "relative-corruption")
"""How names of measures begin that code puts together from parts, or that are computed from other measures."""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    """A registry of the test's own, which starts empty."""
    registered: dict[str, Measure] = {}
    monkeypatch.setattr(measures, "_declared", registered)
    monkeypatch.setattr(measures, "_measures", {})
    monkeypatch.setattr(measures, "_compared", {})
    return registered


def test_every_measure_belongs_to_a_probe_and_its_chance_level_is_in_its_range() -> None:
    probes = {entry.name for entry in entries("probe")}
    for one in MEASURES.values():
        assert one.probe in probes, one.name
        assert one.low < one.high, one.name
        if isinstance(one.chance, float):
            assert one.low <= one.chance <= one.high, one.name


def test_names_for_readers_are_words() -> None:
    for one in MEASURES.values():
        assert "_" not in one.label
        assert len(one.meaning.split()) > 1, one.name
    assert label_of("auroc") == "AUROC"
    assert label_of("of-my-own") == "of my own"


def test_every_measure_of_outputs_is_computed_but_those_of_worst_groups() -> None:
    of_outputs = {one.name for one in COMPARED.values() if one.probe in OF_OUTPUTS}
    assert set(COMPUTED) == of_outputs - set(measures.OF_WORST_GROUP)
    assert set(measures.OF_WORST_GROUP.values()) <= set(COMPUTED)
    assert all(one.entry is MEASURES[name] for name, one in COMPUTED.items())


def test_every_other_measure_is_named_in_the_code_of_probes() -> None:
    folder = Path(assay.probes.probe.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    named = [one.name for one in MEASURES.values() if one.probe not in OF_OUTPUTS]
    assert [name for name in named if f'"{name}"' not in source and not name.startswith(IN_PARTS)] == []


def test_a_measure_is_registered_once(own: dict[str, Measure]) -> None:
    mine = Measure("mine", "", "share of something", low=0.0, high=1.0)
    register_measures(mine)
    register_measures(mine)
    assert own == {"mine": mine}
    with pytest.raises(ValueError, match="'mine' is declared twice, and differently"):
        register_measures(Measure("mine", "", "another share"))
    with pytest.raises(ValueError, match="give its meaning"):
        register_measures(Measure("empty", "", ""))
    with pytest.raises(ValueError, match="a range from low to high"):
        register_measures(Measure("turned", "", "a share turned", low=1.0, high=math.nan))
    assert set(own) == {"mine"}
