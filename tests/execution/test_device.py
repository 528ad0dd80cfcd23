"""Where a run computes: chosen beside the spec, carried to every job, noted beside the records, and part of no name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from tests.worlds.studies import TINY, run_tiny

from assay.execution.jobs import ProbeJob, TrainJob
from assay.execution.local import choose_device, computing_on, default_workers, device_name
from assay.plugin import RecipeSpec, RunFolder, SpecError
from assay.spec.parse import parse_study
from assay.store.files import read_json
from assay.study.run import prepare
from assay.training.loop import training_numerics


def with_gpus(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Torch as it is where these GPUs are."""
    patch.setattr(torch.cuda, "is_available", lambda: bool(names))
    patch.setattr(torch.cuda, "device_count", lambda: len(names))
    patch.setattr(torch.cuda, "get_device_name", lambda n: names[int(str(n).removeprefix("cuda:"))])


def test_auto_is_the_first_gpu_and_the_processor_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch)
    assert [choose_device(asked) for asked in ("auto", "cpu")] == ["cpu", "cpu"]
    with_gpus(monkeypatch, "One", "Two")
    assert [choose_device(asked) for asked in ("auto", "cpu", "cuda", "cuda:1")] == [
        "cuda:0",
        "cpu",
        "cuda:0",
        "cuda:1",
    ]
    assert (device_name("cpu"), device_name("cuda:1")) == ("cpu", "cuda:1 (Two)")


def test_a_device_that_is_not_there_is_refused_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch)
    with pytest.raises(SpecError) as none:
        choose_device("cuda")
    seen = f"torch {torch.__version__} sees cpu"
    assert str(none.value) == f"device 'cuda' is not there: {seen}; choose one of these, or auto"
    with_gpus(monkeypatch, "One")
    with pytest.raises(SpecError, match=r"device 'cuda:3' is not there: torch \S+ sees cpu, cuda:0 \(One\)"):
        choose_device("cuda:3")
    with pytest.raises(SpecError, match=r"device 'mps': expected auto, cpu, cuda or cuda:N"):
        choose_device("mps")


def test_a_gpu_takes_few_workers() -> None:
    assert default_workers("cuda:0") == min(default_workers("cpu"), 4)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that counts two GPUs; planning touches none of them."""
    monkeypatch.setattr("assay.execution.local._gpus", lambda: ["A", "B"])


def test_where_no_gpu_is_jobs_get_the_device_and_planning_the_processor(tmp_path: Path) -> None:
    there = prepare(parse_study(TINY), tmp_path, device="cuda:1")
    assert {pickle.loads(pickle.dumps(task.job)).job.device for task in there.tasks} == {"cuda:1"}
    assert there.population.renderer.device == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_every_job_and_the_phantom_get_the_device_and_no_name_holds_it(tmp_path: Path) -> None:
    spec = parse_study(TINY)
    here, there = (prepare(spec, tmp_path, device=device) for device in ("cpu", "cuda:1"))
    jobs = [pickle.loads(pickle.dumps(task.job)).job for task in there.tasks]  # within their leases
    assert {type(job) for job in jobs} == {TrainJob, ProbeJob}
    assert {job.device for job in jobs} == {"cuda:1"}
    assert there.population.renderer.device == "cuda:1"
    assert list(there.plan.ids()) == list(here.plan.ids())


@pytest.mark.usefixtures("two_gpus")
def test_what_a_gpu_renders_is_kept_apart(tmp_path: Path) -> None:
    images = [
        prepare(parse_study(TINY), tmp_path, device=device).population.scene({}, 0).sobol(4).images
        for device in ("cpu", "cuda:0", "cuda:1")
    ]
    here, first, second = (found.renderer.key("phantom", found.rows) for found in images)
    assert here == first.replace("phantom-cuda-", "phantom-")
    assert here != first == second


def test_a_gpu_computes_in_float32_and_chooses_the_same_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn = torch.backends.cudnn

    def state() -> tuple[object, ...]:
        precision = torch.get_float32_matmul_precision()
        return (
            cudnn.allow_tf32,
            cudnn.deterministic,
            cudnn.benchmark,
            precision,
            torch.are_deterministic_algorithms_enabled(),
        )

    before = state()
    with computing_on("cpu"):
        assert state() == before
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with computing_on("cuda:0"):
        assert state() == (False, True, False, "highest", True)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert state() == before


@pytest.mark.parametrize(
    ("fields", "tf32", "deterministic"),
    [({}, False, False), ({"precision": "tf32"}, True, False), ({"precision": "bfloat16"}, False, False),
     ({"precision": "tf32", "deterministic": True}, True, True)],
)  # fmt: skip
def test_on_a_gpu_a_recipe_chooses_precision_and_kernels(
    fields: dict[str, object], tf32: bool, deterministic: bool
) -> None:
    cudnn = torch.backends.cudnn

    def state() -> tuple[object, ...]:
        enabled = torch.are_deterministic_algorithms_enabled()
        matmul = torch.get_float32_matmul_precision()
        return cudnn.allow_tf32, matmul, cudnn.deterministic, enabled, cudnn.benchmark

    before, recipe = state(), RecipeSpec.model_validate(fields)
    with training_numerics(recipe, 0, "cuda:0"):
        matmul = "high" if tf32 else "highest"
        assert state() == (tf32, matmul, deterministic, deterministic, not deterministic)
    with training_numerics(recipe, 0, "cpu"):
        assert state() == (*before[:3], True, before[4])
    assert state() == before


def test_the_record_of_a_trial_says_where_it_was_trained(tmp_path: Path) -> None:
    run_tiny(tmp_path)
    (trial,) = RunFolder(tmp_path).ids("trials")
    assert read_json(tmp_path / "trials" / trial / "provenance.json")["device"] == "cpu"
    assert "device" not in read_json(tmp_path / "trials" / trial / "record.json")
    facts = {row["key"]: row["value"] for row in RunFolder(tmp_path).table("provenance")}
    assert facts["device"] == "cpu"
