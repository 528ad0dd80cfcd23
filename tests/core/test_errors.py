"""What a name that nothing has was most likely meant to be."""

import pytest

from assay.core.errors import nearest
from assay.plugin import entries


@pytest.mark.parametrize(
    ("given", "meant"),
    [("simclr", "nt-xent"), ("supconn", "supcon"), ("fast", None), ("kappa", None)],
)
def test_a_loss_by_another_name_or_mistyped_is_found_and_nothing_far_is(given, meant):
    assert nearest(given, [entry.name for entry in entries("loss")]) == meant


@pytest.mark.parametrize(
    ("given", "names", "meant"),
    [
        ("xray", ["gray", "chest-xray"], "chest-xray"),
        ("isic", ["mimic", "isic-seg"], "isic-seg"),
        ("loses", ["loss", "closest-losses"], "loss"),
        ("ct", ["mimic-ct", "mr"], None),
    ],
)
def test_a_part_of_a_name_means_the_name_unless_another_one_is_very_near(given, names, meant):
    assert nearest(given, names) == meant


def test_a_name_of_ours_stands_for_no_other():
    names = {entry.name for entry in entries()}
    for other in ("ce", "lp-ft", "simclr"):
        assert other not in names
        assert nearest(other, names) in names
