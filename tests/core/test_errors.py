"""What a name that nothing has was most likely meant to be."""

import re

import pytest

from assay.plugin import ComponentKind, SpecError, entries, lookup


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        ("loss", "simclr", "nt-xent"),
        ("loss", "supconn", "supcon"),
        ("loss", "ce", "cross-entropy"),
        ("finetuning", "lp-ft", "probe-then-full"),
    ],
)
def test_a_component_by_another_name_or_mistyped_is_found(kind: ComponentKind, given: str, meant: str) -> None:
    with pytest.raises(SpecError, match=rf"unknown {kind} '{given}': did you mean '{meant}'\?"):
        lookup(kind, given)
    assert given not in {entry.name for entry in entries()}


@pytest.mark.parametrize("given", ["fast", "kappa"])
def test_nothing_far_is_meant(given: str) -> None:
    with pytest.raises(SpecError) as refused:
        lookup("loss", given)
    assert re.match(f"unknown loss '{given}'", str(refused.value))
    assert "did you mean" not in str(refused.value)
