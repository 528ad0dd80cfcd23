"""The losses once more, as their papers write them: loops over plain floats, nothing shared with the library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, permutations

Rows = Sequence[Sequence[float]]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a: Sequence[float]) -> list[float]:
    return [x / math.sqrt(dot(a, a)) for x in a]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return dot(unit(a), unit(b))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def softmax(logits: Sequence[float]) -> list[float]:
    total = sum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def cross_entropy(logits: Rows, y: Sequence[int], weights: Sequence[float], smoothing: float) -> float:
    losses = []
    for row, label in zip(logits, y, strict=True):
        p, k = softmax(row), len(row)
        q = [smoothing / k + (1 - smoothing if c == label else 0) for c in range(k)]
        losses.append(-weights[label] * sum(q[c] * math.log(p[c]) for c in range(k)))
    return mean(losses)


def focal(logits: Rows, y: Sequence[int], gamma: float) -> float:
    p = [softmax(row)[label] for row, label in zip(logits, y, strict=True)]
    return mean([-((1 - x) ** gamma) * math.log(x) for x in p])


def pairwise_contrastive(z: Rows, y: Sequence[int], margin: float) -> float:
    losses = []
    for i, j in combinations(range(len(y)), 2):
        d = math.dist(z[i], z[j])
        losses.append(d**2 / 2 if y[i] == y[j] else max(0.0, margin - d) ** 2 / 2)
    return mean(losses)


def lifted_structure(z: Rows, y: Sequence[int], margin: float) -> float:
    losses = []
    for i, j in combinations(range(len(y)), 2):
        crowd = [math.exp(margin - math.dist(z[a], z[k])) for a in (i, j) for k in range(len(y)) if y[k] != y[a]]
        if y[i] == y[j] and crowd:
            losses.append(max(0.0, math.log(sum(crowd)) + math.dist(z[i], z[j])) ** 2 / 2)
    return mean(losses)


def n_pair(z: Rows, y: Sequence[int], regularization: float) -> float:
    losses = []
    for i, p in permutations(range(len(y)), 2):
        others = [math.exp(dot(z[i], z[n]) - dot(z[i], z[p])) for n in range(len(y)) if y[n] != y[i]]
        if y[i] == y[p] and others:
            losses.append(math.log(1 + sum(others)))
    return mean(losses) + regularization * mean([dot(a, a) for a in z]) if losses else 0.0


def supcon(z: Rows, y: Sequence[int], temperature: float) -> float:
    losses = []
    for i in range(len(y)):
        others = [k for k in range(len(y)) if k != i]
        s = {k: math.exp(cosine(z[i], z[k]) / temperature) for k in others}
        own = [p for p in others if y[p] == y[i]]
        if own and len(set(y)) > 1:
            losses.append(mean([-math.log(s[p] / sum(s.values())) for p in own]))
    return mean(losses)


def nt_xent(z: Rows, temperature: float) -> float:
    b, losses = len(z), []
    for i in range(b):
        s = [math.exp(cosine(z[i], z[k]) / temperature) for k in range(b)]
        losses.append(-math.log(s[(i + b // 2) % b] / (sum(s) - s[i])))
    return mean(losses)


def circle(z: Rows, y: Sequence[int], margin: float, scale: float, weights_at: Rows | None = None) -> float:
    """`weights_at`: embeddings that the weights are computed from, where they are to stay as they were."""
    fixed, losses = weights_at or z, []
    for i in range(len(y)):
        push = pull = 0.0
        for k in range(len(y)):
            s, held = cosine(z[i], z[k]), cosine(fixed[i], fixed[k])
            if y[k] != y[i]:
                push += math.exp(scale * max(0.0, held + margin) * (s - margin))
            elif k != i:
                pull += math.exp(-scale * max(0.0, 1 + margin - held) * (s - (1 - margin)))
        if push and pull:
            losses.append(math.log(1 + push * pull))
    return mean(losses)


def angular_softmax(z: Rows, directions: Rows, y: Sequence[int], scale: float, margin: float) -> float:
    losses = []
    for row, label in zip(z, y, strict=True):
        logits = [scale * cosine(row, w) for w in directions]
        angle = math.acos(max(-1.0, min(1.0, cosine(row, directions[label]))))
        past = angle + margin >= math.pi
        moved = math.cos(angle) - margin * math.sin(margin) if past else math.cos(angle + margin)
        logits[label] = scale * moved
        losses.append(-math.log(softmax(logits)[label]))
    return mean(losses)


def triplet(z: Rows, y: Sequence[int], margin: float, mining: str, soft: bool) -> float:
    """The three loops, over every triplet."""
    losses, n = [], range(len(y))
    for a in n:
        own = [math.dist(z[a], z[p]) for p in n if p != a and y[p] == y[a]]
        other = [math.dist(z[a], z[k]) for k in n if y[k] != y[a]]
        if mining == "hard":
            gaps = [max(own) - min(other)] if own and other else []
        else:
            beyond = [(p, min((k for k in other if k > p), default=None)) for p in own]
            gaps = [p - k for p, k in beyond if k is not None and (soft or k - p < margin)]
        losses += [math.log(1 + math.exp(g)) if soft else max(0.0, g + margin) for g in gaps]
    return mean(losses)
