"""Pool contrasts: moderate the seeds' part of their variance, or average them into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from assay.stats.compare import Contrast, tested, untested
from assay.stats.doses import on_both_scales
from assay.stats.estimate import Spread, limited, moderated, recombined, sure_of, uncertainty
from assay.stats.panel import combine


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
    known = [
        (i, one.whole, one.spread) for i, one in enumerate(group) if one.whole is not None and one.spread is not None
    ]
    if not known:
        return results
    parts = [whole for _, whole, _ in known]
    common = reduce(np.intersect1d, [part.seeds for part in parts])
    together = np.zeros((len(parts), 1))  # without a common seed: no more degrees of freedom than one contrast has
    if len(common):
        together = np.stack([part.values[np.isin(part.seeds, common)] for part in parts])
    own = np.array([part.values.var(ddof=1) for part in parts])
    seeds, df = moderated(own, np.array([len(part.seeds) for part in parts]), together)
    for k, (i, _, spread) in enumerate(known):
        results[i] = _again(group[i], recombined(spread, seeds[k], df[k]), len(known))
    return results


def guarded(one: Contrast, family: int) -> Contrast:
    """Test a contrast again with the degrees of freedom of few seeds, if it is alone in its pooling group.

    Args:
        one: The contrast, tested with the variance of its pooling group.
        family: Contrasts of its family, those without a test included.
    """
    again = _limited(one, family)
    if again is one or one.scales is None or one.scales.probit is None:
        return again
    return on_both_scales(again, _limited(one.scales.probit, family))


def _limited(one: Contrast, family: int) -> Contrast:
    if one.spread is None:
        return one
    df = limited(one.spread.df, one.seeds, one.group, family)
    return _again(one, replace(one.spread, df=df), one.group) if df < one.spread.df else one


def _again(one: Contrast, spread: Spread, group: int) -> Contrast:
    """Test a contrast with another variance."""
    assert one.whole is not None
    margin = None if np.isnan(one.margin) else one.margin
    again = tested(one.whole, sure_of(spread), margin, left_out=one.left_out, paired_patients=one.paired_patients)
    return replace(again, equal=one.equal, direction=one.direction, group=group)


def mean_of(members: Sequence[Contrast], margin: float | None = None) -> Contrast:
    """Return the mean of several contrasts, each seed and patient averaged first.

    Its variance is that of the averaged differences, over the seeds that all members have. It is undefined where one
    of them is. Where members are tested on two scales, so is the mean.
    """
    parts = [one.whole for one in members if one.whole is not None]
    if lost := next((one for one in members if np.isnan(one.value)), None):
        return untested(lost.reason, margin)
    whole = combine(parts, np.full(len(parts), 1 / len(parts)))
    most = max(one.seeds + one.left_out for one in members)
    patients = min(one.paired_patients for one in members)
    plain = tested(whole, uncertainty(whole), margin, left_out=most - len(whole.seeds), paired_patients=patients)
    others = [one.scales.probit for one in members if one.scales and one.scales.probit]
    return on_both_scales(plain, mean_of(others)) if len(others) == len(members) else plain
