"""Limits of whole-image changes by kind, and of shapes at changing places, from clean networks of a domain.

    python benchmarks/audit_limits.py --domain chest-xray --seed 200000
    python benchmarks/audit_limits.py --domain phantom-nodule --seed 500000 --trained --small --networks 64

The networks are the clean ones of `audit_bank.py` that set the limits of a domain, with the same seeds; with
`--trained` those of both sizes, in their training images, small ones first. Every kind of change is exchanged on all
searched images; nothing is chosen, so no half is held out. A kind's limit is its largest effect, or the least that is
reported, times one excess for all kinds: the most by which any network is beyond all others in a kind. A further clean
network is beyond the limit of any kind with a probability of at most 1 in n + 1. Where networks tell something else
than is usual in these images, such as the view (`--domain xray-view-told`), their effects count as shares of the
distance of the classes that is left (`RegionLimits.shares`). Prints a network per line and then the limits; some
seconds of a core a network. It goes on where it was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _shared import parser
from audit_bank import (
    ARCHITECTURES,
    DOMAINS,
    NATURAL,
    USUAL,
    Network,
    Pool,
    answers,
    bank,
    document_of_kinds,
    effects_of_kinds,
    parts,
    pool,
    trained,
)

from assay.audit.references import limit_from_effects, limits_of_kinds
from assay.audit.search.finders import FINDERS
from assay.audit.search.regions import FinderName
from assay.audit.search.sample import Scores, SearchSample
from assay.core.reasons import Reason

APART = "apart"
SHAPES: Sequence[FinderName] = ("shape", "turned", "occluded")
LEAST_SHARE = 0.25
"""Share of the distance of the classes below which networks do not differ."""


def _searched(network: Network, whole: Pool, in_training: bool) -> tuple[Scores, SearchSample]:
    """Train a clean network, and return it with the images that are searched."""
    draws = np.random.default_rng(network.seed)
    train, other, truth = parts(whole, network, draws)
    scores = partial(answers, trained(network.architecture, whole.images[train], whole.target[train], network.seed))

    def sample(rows: np.ndarray, spread: float = 0.0) -> SearchSample:
        images = whole.images[rows]
        return SearchSample(images, whole.target[rows], whole.patient[rows], scores(images), network.seed, spread)

    return scores, sample(train, sample(truth).sd_within_classes) if in_training else sample(other)


def effects(network: Network, whole: Pool, in_training: bool) -> dict[str, float]:
    """Return the effects of kinds and of shapes on a clean network, and the distance of its classes."""
    scores, sample = _searched(network, whole, in_training)
    found = {of: FINDERS[of](scores, sample, batch_size=256) for of in SHAPES}
    of_shapes = {of: 0.0 if isinstance(finding, Reason) else finding.effect.value for of, finding in found.items()}
    return {**effects_of_kinds(scores, sample), APART: sample.class_separation, **of_shapes}


def main() -> None:
    """Print effects and limits."""
    arguments = parser(__doc__)
    arguments.add_argument("--domain", choices=(*DOMAINS, *NATURAL), required=True)
    arguments.add_argument("--networks", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=0, help="added to the seeds of networks")
    arguments.add_argument("--trained", action="store_true", help="in training images, by networks of both sizes")
    arguments.add_argument("--small", action="store_true", help="of networks of both sizes, the small ones alone")
    arguments.add_argument("--folder", type=Path, default=Path("bank"), help="folder of the effects")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    path = given.folder / f"kinds-{given.domain}{'-trained' if given.trained else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    whole = pool((DOMAINS | NATURAL)[given.domain])
    if given.trained:
        whole = replace(whole, sizes=(whole.sizes[0], 0, whole.sizes[2]))
    kinds = (*ARCHITECTURES, *(USUAL if given.trained else ()))
    networks = bank(given.networks, 0, 0, column=False, seed=given.seed, kinds=kinds)
    networks = [network for network in networks if not (given.small and network.architecture in USUAL)]
    for network in sorted(networks, key=lambda network: network.architecture in USUAL):
        if network.name not in known:
            known[network.name] = effects(network, whole, given.trained)
            path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(network.name, {kind: round(value, 2) for kind, value in known[network.name].items()}, flush=True)
    rows = list(known.values())
    of_shapes = {of: round(limit_from_effects(of, [row.pop(of) for row in rows]), 4) for of in SHAPES}
    distances = [row.pop(APART) for row in rows]
    shares = {
        kind: [row[kind] / (distance - row[kind]) for row, distance in zip(rows, distances, strict=True)]
        for kind in rows[0]
    }
    limits = {kind: round(value, 4) for kind, value in limits_of_kinds(shares, LEAST_SHARE).items()}
    print(json.dumps({"networks": len(rows), "kinds": {**of_shapes, **document_of_kinds(rows)}, "shares": limits}))


if __name__ == "__main__":
    main()
