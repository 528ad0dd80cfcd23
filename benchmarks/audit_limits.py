"""Limits of whole-image changes by kind, and of shapes at changing places, from clean networks of a domain.

    python benchmarks/audit_limits.py --domain chest-xray --seed 200000

The networks are the clean ones of `audit_bank.py` that set the limits of a domain, with the same seeds. Every kind of
change is exchanged on all searched images; nothing is chosen, so no half is held out. A kind's limit is its largest
effect, or the least that is reported, times one excess for all kinds: the most by which any network is beyond all
others in a kind. A further clean network is beyond the limit of any kind with a probability of at most 1 in n + 1.
Prints a network per line and then the limits; some seconds of a core a network. It goes on where it was cut off.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _shared import parser
from audit_bank import DOMAINS, Network, Pool, answers, bank, parts, pool, trained

from assay.audit.references import limit_of, limits_of_kinds
from assay.audit.search.regions import candidates
from assay.audit.search.search import DONORS, CountedModel, SearchSample, exchange
from assay.audit.search.shapes import lead_shape
from assay.core.reasons import Reason

SHAPE = "shape"


def effects(network: Network, whole: Pool) -> dict[str, float]:
    """Train a clean network and return the effect of every kind of change, and of a shape."""
    draws = np.random.default_rng(network.seed)
    train, search, _ = parts(whole, network, draws)
    model = trained(network.architecture, whole.images[train], whole.target[train], network.seed)
    scores, images = partial(answers, model), whole.images[search]
    sample = SearchSample(images, whole.target[search], whole.patient[search], scores(images), network.seed)
    kinds, rows = candidates("whole"), np.arange(len(search))
    found = exchange(CountedModel(scores, 256), sample, kinds, rows, DONORS).mean(axis=1)
    shape = lead_shape(scores, sample, at_once=256)
    return {**{kind.key: float(value) for kind, value in zip(kinds, found, strict=True)},
            SHAPE: 0.0 if isinstance(shape, Reason) else shape.effect.value}  # fmt: skip


def main() -> None:
    """Print effects and limits."""
    arguments = parser(__doc__)
    arguments.add_argument("--domain", choices=tuple(DOMAINS), required=True)
    arguments.add_argument("--networks", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=0, help="added to the seeds of networks")
    arguments.add_argument("--folder", type=Path, default=Path("bank"), help="folder of the effects")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    path = given.folder / f"kinds-{given.domain}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    whole = pool(DOMAINS[given.domain])
    for network in bank(given.networks, 0, 0, column=False, seed=given.seed):
        if network.name not in known:
            known[network.name] = effects(network, whole)
            path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(network.name, {kind: round(value, 2) for kind, value in known[network.name].items()}, flush=True)
    by_kind = {kind: [row[kind] for row in known.values()] for kind in next(iter(known.values()))}
    shape = limit_of(SHAPE, by_kind.pop(SHAPE))
    print(json.dumps({SHAPE: round(shape, 4), **{k: round(v, 4) for k, v in limits_of_kinds(by_kind).items()}}))


if __name__ == "__main__":
    main()
