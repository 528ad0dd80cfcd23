"""Starts that a study trains itself: trained once, shared by runs, named by all that decides them, lost by no kill."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.worlds.studies import FURTHER, LARGE, STUDY, TRAIN, WORKING, prepared, run, source, study

from assay.core.files import file_lock
from assay.core.types import Inputs
from assay.execution import jobs
from assay.execution.jobs import network_of
from assay.execution.sources import SourceJob, start_id
from assay.execution.tasks import Stopped
from assay.execution.workspace import Workspace
from assay.plugin import (
    ArrayCache,
    Component,
    DataSpec,
    RunFolder,
    SpecError,
    WeightsError,
    default_cache_root,
    empty_network,
    load_weights,
)
from assay.shifts.phantom_rows import PhantomPopulation
from assay.shifts.sources import open_population
from assay.spec.environments import images_seed
from assay.spec.parse import parse_study
from assay.spec.schema import EnvironmentSpec, StudySpec
from assay.study.records import stored_study, unnamed_units
from assay.study.run import prepare

WEIGHTS_FILE = "weights.safetensors"


def phantom(name: str, **arguments: Any) -> Component:
    return Component(kind="phantom", name=name, params=arguments)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def ids(prepared: Any) -> list[str]:
    return [source.id for source in prepared.plan.sources]


def weights_of(source: Any) -> Path:
    return RunFolder(default_cache_root()).unit("sources", source.id) / WEIGHTS_FILE


def test_a_source_of_chests_has_none_of_the_bodies_that_its_trials_train_on():
    """Bodies follow from the seed of their row: two images of one body are alike whatever else is drawn."""
    shared: dict[str, Any] = {"size": 64, "train": 40, "validation": 2, "test": 2}
    cache = ArrayCache(default_cache_root())
    kinds = DataSpec(phantom=phantom("radiology", anatomy="chest"), target="kind", core="kind", **shared)
    masses = DataSpec(phantom=phantom("chest"), target="mass", core="mass", **shared)

    def pixels(data: DataSpec, seed: int) -> np.ndarray:
        made, _ = open_population(data, cache).training(EnvironmentSpec(), seed)
        flat = made.images.read(np.arange(40)).flatten(1).numpy()
        return flat - flat.mean(axis=0)

    def alike(seed: int) -> float:
        both = np.corrcoef(pixels(kinds, seed), pixels(masses, 7))[:40, 40:]
        return float(np.diag(both).mean())

    assert alike(7) > 0.3
    assert alike(images_seed(7)) < 0.15


def test_a_source_is_trained_once_before_what_starts_from_it(tmp_path: Path):
    first = run(tmp_path)
    (kept,) = RunFolder(first).table("sources")
    assert (kept["name"], kept["seed"], kept["status"], kept["images"]) == ("large", 0, "done", 64)
    elsewhere = prepared(tmp_path / "other", seeds=2)
    (again, new) = elsewhere.plan.sources
    assert again.id == kept["source"] != new.id  # one a seed, the same in every run
    assert elsewhere.new_sources == 2  # the other run folder lacks the record of both
    modified = weights_of(again).stat().st_mtime_ns
    SourceJob(elsewhere.workspace, again)(WORKING)
    assert weights_of(again).stat().st_mtime_ns == modified
    assert elsewhere.workspace.folder.record("sources", again.id)["status"] == "done"


def test_trials_begin_with_the_trunk_of_their_source_and_a_head_of_their_own(tmp_path: Path):
    folder = run(tmp_path)
    plan = stored_study(folder).plan
    random, started = sorted(plan.trials, key=lambda trial: start_id(trial.training.recipe))
    (source,) = plan.sources
    assert start_id(started.training.recipe) == source.id
    own, taken = (
        network_of(trial.training.recipe, trial.training.seed, Inputs(1, 32, 2)) for trial in (random, started)
    )
    trained = empty_network(source.training.recipe, channels=1, size=32, classes=2)
    load_weights(trained, weights_of(source))
    for name, value in trained.state_dict().items():
        ours = taken.state_dict()[name]
        assert torch.equal(ours, own.state_dict()[name] if name.startswith("head") else value), name


def test_of_a_source_a_start_can_take_the_means_and_variances_alone(tmp_path: Path):
    statistics = {"random-statistics": {"source": "large"}}
    folder = run(tmp_path, recipe={**STUDY["recipe"], "initialization": ["large", statistics]})
    plan = stored_study(folder).plan
    (source,) = plan.sources
    assert {start_id(trial.training.recipe) for trial in plan.trials} == {source.id}
    assert len({trial.id for trial in plan.trials}) == 2
    own, drawn = sorted(plan.trials, key=lambda trial: "statistics" in trial.training.recipe.initialization.params)
    redrawn_start = drawn.point.coordinates["initialization"]
    assert (own.point.coordinates["initialization"], "statistics" in redrawn_start) == ("large", True)
    taken, redrawn = (
        network_of(trial.training.recipe, trial.training.seed, Inputs(1, 32, 2)).state_dict() for trial in (own, drawn)
    )
    large = [name for name, value in taken.items() if name.startswith("trunk") and value.numel() >= 1000]
    for name in large:
        ours, theirs = redrawn[name].double(), taken[name].double()
        assert not torch.allclose(ours, theirs)
        assert abs(ours.mean() - theirs.mean()) < 5 * theirs.std() / theirs.numel() ** 0.5
        assert 0.8 < ours.std() / theirs.std() < 1.25
    assert len(large) > 1
    assert all(not value.any() for name, value in redrawn.items() if name.endswith("running_mean"))
    told = {row["start"]: row for row in RunFolder(folder).table("starts")}
    assert told["large"]["steps"] > 0
    anew = told[redrawn_start]  # learned nothing, so that no AUROC is its own
    assert (anew["data"], anew["statistics"]) == ("", "large")
    assert np.isnan([anew["value"], anew["steps"]]).all()


def test_a_sources_name_covers_all_that_decides_it_and_a_trials_name_its_source(tmp_path: Path):
    plain = prepared(tmp_path)
    images = {**LARGE, "data": {**LARGE["data"], "train": 96}}
    changed = [
        prepared(tmp_path, sources=source(epochs=7)),
        prepared(tmp_path, sources={"large": images}),
        prepared(tmp_path, sources={"large": {**LARGE, "environment": {"where": {"contrast": {"min": 700}}}}}),
        prepared(tmp_path, first_seed=1),
    ]
    names = [ids(plain)[0], *(ids(one)[0] for one in changed)]
    assert len(set(names)) == len(names)
    trials = {trial.id for one in (plain, *changed[:3]) for trial in one.plan.trials}
    assert len(trials) == 1 + 4  # the one from random weights is the same in all
    called = parse_study(study(sources={"other": LARGE}, recipe={**STUDY["recipe"], "initialization": "other"}))
    assert ids(prepare(called, tmp_path)) == ids(plain)  # what it is called decides nothing


def test_a_source_may_start_from_a_source(tmp_path: Path):
    recipe = {**STUDY["recipe"], "initialization": "further"}
    folder = run(tmp_path, sources={"large": LARGE, "further": FURTHER}, recipe=recipe)
    first, second = stored_study(folder).plan.sources
    assert (first.name, second.name, second.start) == ("large", "further", first.id)
    assert [row["status"] for row in RunFolder(folder).table("sources")] == ["done", "done"]


def test_a_finished_study_is_read_and_cleaned_with_its_sources(tmp_path: Path):
    folder = run(tmp_path)
    assert unnamed_units(folder) == []
    assert isinstance(stored_study(folder).plan.spec, StudySpec)
    changed = run(tmp_path, sources=source(epochs=7))
    assert {path.parent.name for path in unnamed_units(changed)} == {"sources", "trials", "readings", "probes"}


def test_a_source_and_a_trial_that_are_trained_alike_have_names_of_their_own(tmp_path: Path):
    same = {**LARGE, "recipe": {"epochs": 1, "batch_size": 16}, "data": STUDY["data"], "environment": TRAIN}
    one = prepared(tmp_path, sources={"large": same})
    assert not set(ids(one)) & {trial.id for trial in one.plan.trials}


def test_sources_on_files_are_refused(tmp_path: Path):
    for kind in ("well", "ill"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((32, 32), 20 * number + (kind == "ill"), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{number}.png")
    with pytest.raises(SpecError, match="source 'large' is trained on images from files, which may be the study's own"):
        prepared(tmp_path, sources={"large": {"data": {"classes": str(tmp_path / "images"), "size": 32}}})


def test_a_source_whose_weights_alone_are_gone_is_trained_again(tmp_path: Path):
    folder = run(tmp_path)
    (source,) = stored_study(folder).plan.sources
    before = weights_of(source).read_bytes()
    weights_of(source).unlink()
    again = prepared(folder, recipe={**STUDY["recipe"], "epochs": 2})
    assert again.new_sources == 1
    SourceJob(again.workspace, source)(WORKING)
    assert weights_of(source).read_bytes() == before


def test_weights_that_left_the_cache_are_trained_again_or_asked_for(tmp_path: Path):
    folder = run(tmp_path)
    plan = stored_study(folder).plan
    started = next(trial for trial in plan.trials if start_id(trial.training.recipe))
    cached = weights_of(plan.sources[0])
    before = cached.read_bytes()
    for path in cached.parent.iterdir():
        path.unlink()
    with pytest.raises(WeightsError, match=f"source {plan.sources[0].id} is not in .*: run its study again"):
        network_of(started.training.recipe, started.training.seed, Inputs(1, 32, 2))
    assert prepared(folder).new_sources == 0  # nothing is to be trained that starts from it
    again = prepared(folder, recipe={**STUDY["recipe"], "epochs": 2})
    assert again.new_sources == 1
    SourceJob(again.workspace, again.plan.sources[0])(WORKING)
    assert cached.read_bytes() == before


def _train(place: Workspace, source: Any) -> None:
    SourceJob(place, source)(WORKING)


@pytest.mark.acceptance
def test_two_processes_that_want_one_source_train_it_once(tmp_path: Path):
    ready = [prepared(tmp_path / name) for name in ("one", "two")]
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_train, args=(one.workspace, one.plan.sources[0])) for one in ready]
    for process in both:
        process.start()
    for process in both:
        process.join(600)
    assert [process.exitcode for process in both] == [0, 0]
    cache = RunFolder(default_cache_root())
    assert list(cache.ids("sources")) == ids(ready[0])
    assert all(list(one.workspace.folder.ids("sources")) == ids(one) for one in ready)


def test_who_waits_for_a_source_can_be_stopped(tmp_path: Path):
    one = prepared(tmp_path)
    (source,) = one.plan.sources
    lock = RunFolder(default_cache_root()).unit("sources", source.id) / ".lock"
    stopping = replace(WORKING, should_stop=lambda: True)
    with file_lock(lock), pytest.raises(Stopped):
        SourceJob(one.workspace, source)(stopping)
    SourceJob(one.workspace, source)(WORKING)


def test_what_a_killed_pretraining_left_half_written_is_removed(tmp_path: Path) -> None:
    one = prepared(tmp_path)
    (source,) = one.plan.sources
    left = weights_of(source).with_name(".checkpoint.pt.host-7-0a.partial")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    SourceJob(one.workspace, source)(WORKING)
    assert weights_of(source).is_file() or RunFolder(default_cache_root()).complete("sources", source.id)
    assert not left.exists()


def _goes_on_alike(begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (wanted,) = begun.plan.sources
    SourceJob(begun.workspace, wanted)(WORKING)
    continued = weights_of(wanted).read_bytes()
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "fresh"))
    fresh = prepared(tmp_path / "again", sources=source(epochs=7))
    SourceJob(fresh.workspace, fresh.plan.sources[0])(WORKING)
    assert weights_of(wanted).read_bytes() == continued


def test_a_stopped_pretraining_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    longer = prepared(tmp_path, sources=source(epochs=7))
    (wanted,) = longer.plan.sources
    looks = iter([False, False, True])
    with pytest.raises(Stopped):
        SourceJob(longer.workspace, wanted)(replace(WORKING, should_stop=lambda: next(looks)))
    assert (weights_of(wanted).parent / "checkpoint.pt").is_file()
    _goes_on_alike(longer, tmp_path, monkeypatch)


@pytest.mark.acceptance
def test_a_pretraining_that_is_killed_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By SIGKILL, after a few steps: nothing in it can tidy up."""
    killed = prepared(tmp_path, sources=source(epochs=7))
    (wanted,) = killed.plan.sources
    begun = multiprocessing.get_context("spawn").Event()
    process = multiprocessing.get_context("spawn").Process(
        target=_train_and_tell, args=(killed.workspace, wanted, begun)
    )
    process.start()
    assert begun.wait(600)
    process.kill()
    process.join(60)
    assert (weights_of(wanted).parent / "checkpoint.pt").is_file()
    assert not weights_of(wanted).is_file()
    _goes_on_alike(killed, tmp_path, monkeypatch)


def _train_and_tell(place: Workspace, source: Any, begun: Any) -> None:
    """Leaves a checkpoint at each of three steps and is then at rest, in the middle of its training."""
    jobs.fit = partial(jobs.fit, checkpoint_every=0.0)
    looks = iter(range(3))

    def stop() -> bool:
        if next(looks, None) is None:
            begun.set()
            time.sleep(600)
        return False

    SourceJob(place, source)(replace(WORKING, should_stop=stop))


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "a start that is no source": (
        {"recipe": {"initialization": "larg"}},
        "unknown initialization 'larg': did you mean the source 'large'?",
    ),
    "the registered name": (
        {"recipe": {"initialization": {"source": {"name": "large"}}}},
        "a source is named like any other start: large",
    ),
    "the statistics of no source": (
        {"recipe": {"initialization": {"random-statistics": {"source": "larg"}}}},
        "unknown source 'larg': did you mean 'large'?",
    ),
    "the statistics of a source and of a file": (
        {"recipe": {"initialization": {"random-statistics": {"source": "large", "prefix": "model."}}}},
        "a source defines prefix itself; leave it out, or `source`",
    ),
    "the name of an initialization": (
        {"sources": {"random": LARGE}},
        "'random' is the name of an initialization already; call the source something else",
    ),
    "an architecture of its own": (
        {"sources": source(architecture="resnet18")},
        "a source has the architecture of the recipe that starts from it; leave this out",
    ),
    "unknown key": ({"sources": {"large": {**LARGE, "seeds": 3}}}, "unknown key 'seeds' in sources.large"),
    "no images": ({"sources": {"large": {"recipe": {}}}}, "nothing says where images come from"),
    "a circle": (
        {"sources": source(initialization="large")},
        "sources start from each other in a circle: large -> large",
    ),
    "an axis": ({"sources": source(epochs=[1, 2])}, "a list is an axis only in recipe and environments.train"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_sources_are_refused(case: str):
    changes, text = WRONG[case]
    with pytest.raises(SpecError) as refused:
        parse_study(study(**changes))
    assert text in str(refused.value)


def test_a_source_with_other_channels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):

    channels = property(lambda self: 3 if self.data.core == "size" else 1)
    monkeypatch.setattr(PhantomPopulation, "channels", channels)
    with pytest.raises(SpecError, match=r"source 'large' has images of 3 channel\(s\), the study's have 1"):
        prepared(tmp_path)
