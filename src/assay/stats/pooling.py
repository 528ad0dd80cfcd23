"""Pool the seeds' part of the variance over contrasts that measure nearly the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from assay.stats.compare import Contrast, tested
from assay.stats.doses import on_both_scales
from assay.stats.estimate import moderated, recombined, sure_of
from assay.stats.panel import Evaluated


def pooled(group: Sequence[Contrast]) -> list[Contrast]:
    """Test the contrasts of a pooling group again, with the variance over seeds moderated over the group.

    With few seeds, a variance over seeds that is small by chance would leave the patients' many degrees of freedom, and
    a family of true null hypotheses would be claimed too often. A contrast that has no variance stays as it is and
    moderates no other; one on two scales is moderated on each.
    """
    results = _pooled(group)
    scaled = [i for i, one in enumerate(group) if one.scales and one.scales.probit]
    others = _pooled([scales.probit for i in scaled if (scales := group[i].scales) and scales.probit])
    for i, other in zip(scaled, others, strict=True):
        results[i] = on_both_scales(results[i], other)
    return results


def _pooled(group: Sequence[Contrast]) -> list[Contrast]:
    results = list(group)
    members = [i for i, one in enumerate(group) if one.whole is not None and one.spread is not None]
    if not members:
        return results
    parts = [whole for i in members if (whole := group[i].whole)]
    common = reduce(np.intersect1d, [part.seeds for part in parts])
    together = np.zeros((len(parts), 1))  # without a common seed: no more degrees of freedom than one contrast has
    if len(common):
        together = np.stack([part.values[np.isin(part.seeds, common)] for part in parts])
    own = np.array([part.values.var(ddof=1) for part in parts])
    seeds, df = moderated(own, np.array([len(part.seeds) for part in parts]), together)
    for k, i in enumerate(members):
        results[i] = _again(group[i], parts[k], seeds[k], df[k])
    return results


def _again(one: Contrast, whole: Evaluated, seeds: np.ndarray, df: np.ndarray) -> Contrast:
    assert one.spread is not None
    margin = None if np.isnan(one.margin) else one.margin
    sure = sure_of(recombined(one.spread, seeds, df))
    again = tested(whole, sure, margin, left_out=one.left_out, paired_patients=one.paired_patients)
    return replace(again, equal=one.equal, direction=one.direction)
