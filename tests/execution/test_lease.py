from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.execution.executors import Touch

from assay.execution import lease as lease_module
from assay.execution.lease import LeasedJob, is_held, lease
from assay.execution.tasks import Context, Stopped
from assay.plugin import StoreError


def never() -> None:
    raise AssertionError("a free lease needs no wait")


def gives_up() -> None:
    raise TimeoutError


def old(path: Path, seconds: float = 100) -> None:
    """Leave a lease of a writer that died."""
    path.write_text(json.dumps({"host": "gone", "pid": 1, "token": "dead"}), encoding="utf-8")
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_lease_names_its_writer_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "leases" / "unit"
    with lease(path, never):
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["pid"] == os.getpid()
        assert is_held(path)
    assert list(path.parent.iterdir()) == []


def test_a_second_writer_waits(tmp_path: Path) -> None:
    with lease(tmp_path / "unit", never), pytest.raises(TimeoutError), lease(tmp_path / "unit", gives_up):
        pass


def test_a_lease_without_heartbeat_is_taken_over(tmp_path: Path) -> None:
    old(tmp_path / "unit")
    assert not is_held(tmp_path / "unit")
    with lease(tmp_path / "unit", never):
        assert is_held(tmp_path / "unit")


def test_a_lease_from_the_future_is_taken_over_unless_clocks_may_differ_as_much(tmp_path: Path) -> None:
    old(tmp_path / "unit", -30)
    assert is_held(tmp_path / "unit")
    old(tmp_path / "unit", -(10**9))
    assert not is_held(tmp_path / "unit")
    with lease(tmp_path / "unit", never):
        assert is_held(tmp_path / "unit")


def test_a_lease_of_a_killed_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_dies_with, args=(tmp_path / "unit",))
    process.start()
    process.join()
    assert (tmp_path / "unit").exists()
    assert not is_held(tmp_path / "unit")
    with lease(tmp_path / "unit", never):
        pass


def test_a_process_id_of_another_machine_means_nothing_here(tmp_path: Path) -> None:
    with lease(tmp_path / "unit", never):
        found = json.loads((tmp_path / "unit").read_text(encoding="utf-8"))
    (tmp_path / "unit").write_text(json.dumps({**found, "space": "elsewhere", "pid": 2**22 + 1}), encoding="utf-8")
    assert is_held(tmp_path / "unit")


def _dies_with(path: Path) -> None:
    with lease(path, never):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_heartbeat_keeps_a_lease(tmp_path: Path) -> None:
    with lease(tmp_path / "unit", never, beat=0.05):
        old_time = (tmp_path / "unit").stat().st_mtime - 100
        os.utime(tmp_path / "unit", (old_time, old_time))
        end = time.monotonic() + 5
        while not is_held(tmp_path / "unit") and time.monotonic() < end:
            time.sleep(0.01)
        assert is_held(tmp_path / "unit")


def test_a_writer_that_slept_too_long_learns_that_it_lost_its_lease(tmp_path: Path) -> None:
    with lease(tmp_path / "unit", never, beat=0.05) as lost:
        old(tmp_path / "unit", 0)  # another token, as after a takeover
        assert lost.wait(5)
    assert (tmp_path / "unit").exists(), "that of the other writer stays"


def test_of_many_that_find_a_stale_lease_one_has_it_at_a_time(tmp_path: Path) -> None:
    old(tmp_path / "unit")
    inside, most = [0], [0]
    guard = threading.Lock()

    def enter() -> None:
        with lease(tmp_path / "unit", lambda: time.sleep(0.001)):
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.005)
            with guard:
                inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1]
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuses)
    with lease(tmp_path / "unit", never), pytest.raises(TimeoutError), lease(tmp_path / "unit", gives_up):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_lease_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"), lease(tmp_path / "file" / "unit", never):
        pass


@pytest.mark.parametrize(("stops", "wrote"), [(True, False), (False, True)])
def test_a_job_waits_for_the_other_writer_or_stops(stops: bool, wrote: bool, tmp_path: Path) -> None:
    job = LeasedJob(Touch(tmp_path / "made"), tmp_path / "unit")
    ended = threading.Event()

    def other() -> None:
        with lease(tmp_path / "unit", never):
            began.set()
            ended.wait(1 if not stops else 10)

    began = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    told: list[str] = []
    report: Callable[[float, str], None] = lambda _, text: told.append(text)  # noqa: E731
    context = Context(report, lambda: stops)
    if stops:
        with pytest.raises(Stopped):
            job(context)
    else:
        job(context)
        assert told[0] == "another process works on it"
    ended.set()
    thread.join()
    assert (tmp_path / "made").exists() == wrote


def test_a_lease_taken_since_it_was_judged_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at the lease of a dead writer and its removal, another process has taken it over."""
    path = tmp_path / "unit"
    old(path)
    judged = lease_module._is_over  # pyright: ignore[reportPrivateUsage]

    def overtaken(*arguments: Any) -> bool:
        found = judged(*arguments)
        if "dead" in path.read_text(encoding="utf-8"):
            path.write_text(json.dumps({"host": "other", "pid": 1, "token": "new"}), encoding="utf-8")
        return found

    monkeypatch.setattr(lease_module, "_is_over", overtaken)
    with pytest.raises(TimeoutError), lease(path, gives_up):
        pass
    assert json.loads(path.read_text(encoding="utf-8"))["token"] == "new"


def test_a_heartbeat_that_fails_loses_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes
    looks: list[Path] = []

    def stale_handle(path: Path) -> bytes:
        looks.append(path)
        if len(looks) < 4:
            raise OSError(errno.ESTALE, "stale file handle")
        return read(path)

    path = tmp_path / "unit"
    with lease(path, never, beat=0.02) as lost:
        monkeypatch.setattr(Path, "read_bytes", stale_handle)
        end = time.monotonic() + 10
        while len(looks) < 6 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(looks) >= 6
        assert not lost.is_set()


def test_a_job_that_lost_its_lease_waits_for_the_other_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_POLL", 0.01)
    monkeypatch.setattr(lease_module, "lease", partial(lease, beat=0.02))
    path = tmp_path / "unit"
    calls: list[int] = []
    waits: list[str] = []

    def work(context: Context) -> None:
        calls.append(1)
        if len(calls) == 1:
            old(path, 0)  # another writer took over while this machine slept
            while not context.should_stop():
                time.sleep(0.01)
            raise Stopped

    def report(_: float, text: str) -> None:
        waits.append(text)
        path.unlink()  # the other one ends

    LeasedJob(work, path)(Context(report, lambda: False))
    assert (len(calls), waits) == (2, ["another process works on it"])


def test_leases_of_a_folder_that_may_only_be_read_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    old(tmp_path / "dead")
    old(tmp_path / "alive", 0)
    monkeypatch.setattr(Path, "touch", refuses)
    assert (is_held(tmp_path / "dead"), is_held(tmp_path / "alive")) == (False, True)
