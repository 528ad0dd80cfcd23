"""Would several readings of one training, after its last epochs, save seeds?

    python benchmarks/late_readings.py RUN [--recipes cross-entropy arcface]

Trains two losses of a finished run again, with the seeds of the run, and reads each network after every one of its last
epochs in the environment of the first comparison. Printed is the variance over seeds of the paired difference of means
over the last 2, 4 and 8 epochs, over that of the last epoch alone: 0.5 would save half of the seeds. Losses that train
no head get one fitted at each reading, as at the end of a training. Some seconds of a core a training.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from _shared import Page, parser
from torch import Tensor, nn

from assay.core.files import default_cache_root
from assay.execution.jobs import population_of
from assay.execution.workspace import Workspace
from assay.models.initialization import to_training
from assay.models.networks import as_network, fit_head
from assay.shifts.environment import Environment
from assay.spec.environments import stream_seed
from assay.stats.metrics import accuracy, auroc, log_losses
from assay.study.records import stored_study
from assay.training.feed import make_feed, read_all
from assay.training.loop import fit
from assay.training.state import TrainingState

LAST = (1, 2, 4, 8)
"""Epochs whose readings are averaged."""
MEASURES = ("auroc", "accuracy", "log-loss")


def values(logits: np.ndarray, target: np.ndarray) -> list[float]:
    """Return the measures of a reading."""
    score = logits[:, 1] - logits[:, 0]
    called = (score > 0).astype(np.int64)
    return [auroc(score, target).value, accuracy(called, target).value, float(log_losses(logits, target).mean())]


def read(run: TrainingState, tested: Environment) -> list[float]:
    """Return the measures of a network under training."""
    run.network.eval()
    network, batch = as_network(run.network), run.recipe.batch_size
    seen = read_all(run.network, make_feed(tested, run.device, masks=False), batch)
    logits: Tensor = seen.logits
    if not run.objective.trains_head:
        head = copy.deepcopy(cast(nn.Linear, network.head))
        features = read_all(run.network, run.training, batch).features
        fit_head(features, run.training.target, head.out_features).fold_into(head)
        logits = head(seen.features)
    to_training(run.network)
    return values(logits.detach().double().numpy(), np.asarray(tested.table.target))


def readings(trial: Any, population: Any, environment: str) -> list[list[float]]:
    """Train a trial, and return the measures after each of its last epochs."""
    recipe, seed = trial.training.recipe, trial.training.seed
    tested = population.scene(trial.point.tests, seed, 0).environment(environment)
    training, validation = population.training(trial.training.environment, seed, 0)
    found: list[list[float]] = []
    closed = TrainingState.end_epoch

    def end_epoch(run: TrainingState) -> None:
        closed(run)
        if len(run.curve) > run.epochs - max(LAST):
            found.append(read(run, tested))

    with patch.object(TrainingState, "end_epoch", end_epoch), tempfile.TemporaryDirectory() as folder:
        streams = stream_seed(recipe, seed)
        fit(recipe, training, validation, classes=len(population.classes), seed=streams, folder=Path(folder))
    return found


def ratios(differences: np.ndarray) -> Sequence[float]:
    """Return variances over seeds of means over the last epochs, over that of the last; of [seeds, epochs]."""
    means = [differences[:, -count:].mean(axis=1) for count in LAST]
    return [float(one.var(ddof=1) / means[0].var(ddof=1)) for one in means]


def main() -> None:
    """Print a row for each measure; a line per training goes before."""
    made = parser(__doc__)
    made.add_argument("run", type=Path, help="folder of a finished study")
    made.add_argument("--recipes", nargs=2, default=("cross-entropy", "arcface"), help="two losses")
    given = made.parse_args()
    torch.set_num_threads(1)
    study = stored_study(given.run)
    spec = study.plan.spec
    population = population_of(spec.data, Workspace(given.run, default_cache_root(), study.skip_bad_rows))
    stated = spec.contrasts[0]
    found: dict[str, list[np.ndarray]] = {loss: [] for loss in given.recipes}
    for trial in sorted(study.plan.trials, key=lambda one: one.training.seed):
        place = trial.point.coordinates
        if place["loss"] in found and all(place[axis] == str(value) for axis, value in stated.where.items()):
            found[place["loss"]].append(np.array(readings(trial, population, stated.environment)))
            print(place["loss"], trial.training.seed, f"AUROC {found[place['loss']][-1][-1, 0]:.3f}", flush=True)
    first, second = (np.stack(found[loss]) for loss in given.recipes)  # [seeds, epochs, measures]
    page = Page((f"mean over the last epochs: {stated.environment}", *map(str, LAST)), given.out)
    for at, measure in enumerate(MEASURES):
        page.row(measure, *(f"{one:.2f}" for one in ratios((second - first)[..., at])))
    page.close()


if __name__ == "__main__":
    main()
