from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants, file_download
from tests.models.weights.networks import network, recipe_of
from tests.models.weights.server import Behavior, serving
from tests.worlds.environments import part

from assay.models import weight_files
from assay.models.weight_files import cached_path, fetch, reachable
from assay.plugin import WeightsError, build_network

CONTENT = bytes(range(256)) * 8000
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Small limits of the client, which keeps whole pieces of 10 MB, waits for 10 seconds and pauses between tries."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))


def only(folder, path):
    """Nothing lies in the folder but the file and its lock."""
    return {item.name for item in folder.iterdir()} == {path.name, f"{path.name}.lock"}


def test_a_file_is_fetched_once(tmp_path):
    behavior = Behavior(CONTENT)
    with serving(behavior) as url:
        path = fetch(url, SUM, tmp_path, size=len(CONTENT))
        assert fetch(url, SUM, tmp_path) == path
    assert fetch(url, SUM, tmp_path) == path  # the server is gone
    assert path == cached_path(url, SUM, tmp_path) == tmp_path / f"{SUM[:12]}-weights_v1.pth"
    assert path.read_bytes() == CONTENT
    assert only(tmp_path, path)
    assert behavior.requests == [None]


def test_a_cut_download_goes_on_where_it_stopped(tmp_path):
    behavior = Behavior(CONTENT, cut=700_000, cuts=2)
    with serving(behavior) as url:
        path = fetch(url, SUM, tmp_path)
    assert path.read_bytes() == CONTENT
    assert behavior.requests == [None, "bytes=700000-", "bytes=1400000-"]
    assert behavior.served == len(CONTENT)


def test_a_server_without_ranges_is_asked_for_all_again(tmp_path):
    behavior = Behavior(CONTENT, cut=700_000, cuts=1, ranges=False)
    with serving(behavior) as url:
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT
    assert behavior.requests == [None, "bytes=700000-"]


def test_a_server_that_only_ever_cuts_is_given_up(tmp_path):
    behavior = Behavior(CONTENT, cut=0, cuts=100)
    with (
        serving(behavior) as url,
        pytest.raises(
            WeightsError, match=r"stopped: peer closed connection .*\. Or download it manually and put it at "
        ),
    ):
        fetch(url, SUM, tmp_path)
    assert len(behavior.requests) == 6


def test_a_server_that_stalls_is_given_up_and_what_came_is_kept(tmp_path):
    behavior = Behavior(CONTENT, stall=300_000)
    begun = time.monotonic()
    with serving(behavior) as url:
        with pytest.raises(WeightsError) as error:
            fetch(url, SUM, tmp_path)
        assert time.monotonic() - begun < 5
        assert str(error.value) == (
            f"download of {url} stopped: timed out. 300,000 bytes are kept, and the same command "
            "continues from there. Or download it manually and put it at "
            f"{cached_path(url, SUM, tmp_path)} (SHA-256 {SUM}); "
            "or give its path with initialization: {file: {path: ...}}"
        )
        behavior.stall = None
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT
    assert behavior.requests[0] is None
    assert behavior.requests[-1] == "bytes=300000-"


def test_a_server_that_never_answers_is_given_up(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pth"
        with pytest.raises(WeightsError, match=r"stopped: timed out\. Or download it manually and put it at "):
            fetch(url, SUM, tmp_path)


def test_other_content_is_refused_and_removed(tmp_path):
    other = CONTENT[:-1] + b"!"
    with serving(Behavior(other)) as url:
        with pytest.raises(WeightsError) as error:
            fetch(url, SUM, tmp_path)
        assert str(error.value) == (
            f"the file from {url} has SHA-256 {hashlib.sha256(other).hexdigest()}, expected {SUM}: refused and "
            "removed. Either it is another file, such as a web page, or it was changed on the way"
        )
        assert [item.suffix for item in tmp_path.iterdir()] == [".lock"]
        with pytest.raises(WeightsError, match="the server sends more than 5 bytes: the file has no more"):
            fetch(url, SUM, tmp_path, size=5)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_download_is_written_behind_no_link(link, tmp_path):
    (tmp_path / "mine.txt").write_bytes(CONTENT[:100])
    with serving(Behavior(CONTENT)) as url:
        part = tmp_path / f"{cached_path(url, SUM, tmp_path).name}.part"
        link(tmp_path / "mine.txt", part)
        with pytest.raises(
            WeightsError, match=r"\.part is a link, and a download is not written behind one: remove it"
        ):
            fetch(url, SUM, tmp_path)
        assert (tmp_path / "mine.txt").read_bytes() == CONTENT[:100]
        part.unlink()
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT


def test_a_part_that_becomes_a_link_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_bytes(CONTENT[:100])
    opened = os.open

    def swap(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(path).endswith(".part"):
            Path(path).unlink(missing_ok=True)
            os.link(tmp_path / "mine.txt", path)
        return opened(path, flags, *more, **named)

    with serving(Behavior(CONTENT)) as url, monkeypatch.context() as patch:
        patch.setattr("os.open", swap)
        with pytest.raises(WeightsError, match="is a link, and a download is not written behind one"):
            fetch(url, SUM, tmp_path)
    assert (tmp_path / "mine.txt").read_bytes() == CONTENT[:100]


def test_a_part_of_another_file_is_not_built_upon(tmp_path):
    with serving(Behavior(CONTENT)) as url:
        part = tmp_path / f"{cached_path(url, SUM, tmp_path).name}.part"
        part.write_bytes(b"x" * (len(CONTENT) + 5))  # longer than the file: the server answers 416
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT
        part.write_bytes(b"x" * 100)
        cached_path(url, SUM, tmp_path).unlink()
        with pytest.raises(WeightsError, match="refused and removed"):
            fetch(url, SUM, tmp_path)
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path):
    with serving(Behavior(CONTENT)) as url:
        path = fetch(url, SUM, tmp_path)
        path.write_bytes(CONTENT[:1000])
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT


def test_a_file_of_unknown_length_is_judged_by_its_checksum(tmp_path):
    with serving(Behavior(CONTENT, length=False)) as url:
        assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT


def test_an_answer_that_is_no_file_is_said(tmp_path):
    with serving(Behavior(b"", status=404)) as url, pytest.raises(WeightsError) as error:
        fetch(url, SUM, tmp_path)
    assert f"stopped: Client error '404 Not Found' for url '{url}'. Or download it manually" in str(error.value)


def test_a_server_that_sends_more_than_the_file_has_is_stopped(tmp_path):
    behavior = Behavior(CONTENT)
    with serving(behavior) as url, pytest.raises(WeightsError, match="the server sends more than 5 bytes"):
        fetch(url, SUM, tmp_path, size=5)
    assert [item.suffix for item in tmp_path.iterdir()] == [".lock"]


def test_a_server_that_sends_bytes_without_end_is_stopped_where_no_size_is_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "MOST_BYTES", 5)
    behavior = Behavior(CONTENT, length=False)
    with serving(behavior) as url, pytest.raises(WeightsError, match="more than 5 bytes: no size is stated"):
        fetch(url, SUM, tmp_path)
    assert [item.suffix for item in tmp_path.iterdir()] == [".lock"]


def test_without_a_connection_it_is_said_at_once_what_to_do(tmp_path, monkeypatch):
    def slow(*_args, **_options):
        time.sleep(3)
        raise OSError

    monkeypatch.setattr(weight_files.socket, "create_connection", slow)
    begun = time.monotonic()
    with pytest.raises(WeightsError) as error:
        fetch("https://example.org/models/net.pth", SUM, tmp_path)
    assert time.monotonic() - begun < 2
    assert str(error.value) == (
        "cannot reach example.org. Fetch https://example.org/models/net.pth manually on a machine that can, and put "
        f"it at {tmp_path / f'{SUM[:12]}-net.pth'} (SHA-256 {SUM}); or give its path with "
        "initialization: {file: {path: ...}}"
    )


def test_another_file_put_there_by_hand_is_told_and_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "reachable", lambda url: False)
    url = "https://example.org/models/net.pth"
    path = cached_path(url, SUM, tmp_path)
    path.write_bytes(b"another")
    with pytest.raises(WeightsError) as error:
        fetch(url, SUM, tmp_path)
    found = hashlib.sha256(b"another").hexdigest()
    assert str(error.value).endswith(f"{{path: ...}}}}. The file that lies there has SHA-256 {found}")
    assert path.read_bytes() == b"another"


def test_a_file_put_there_by_hand_needs_no_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "reachable", lambda url: False)
    url = "https://example.org/models/net.pth"
    cached_path(url, SUM, tmp_path).write_bytes(CONTENT)
    assert fetch(url, SUM, tmp_path).read_bytes() == CONTENT


def test_a_cut_is_seen_where_the_study_alone_knows_the_length(tmp_path):
    behavior = Behavior(CONTENT, cut=700_000, cuts=1, length=False)
    with serving(behavior) as url:
        with pytest.raises(WeightsError, match=r"has size 700000.* 700,000 bytes are kept, and the same command"):
            fetch(url, SUM, tmp_path, size=len(CONTENT))
        assert fetch(url, SUM, tmp_path, size=len(CONTENT)).read_bytes() == CONTENT
    assert behavior.requests == [None, "bytes=700000-"]


def test_a_line_that_is_lost_keeps_what_came(tmp_path, monkeypatch):
    def lost(*_args, **_options):
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(weight_files, "reachable", lambda url: True)
    monkeypatch.setattr(weight_files, "http_get", lost)
    (tmp_path / f"{SUM[:12]}-net.pth.part").write_bytes(CONTENT[:1000])
    text = (
        r"stopped: \[Errno 113\] No route to host\. 1,000 bytes are kept, and the same command continues from there\."
    )
    with pytest.raises(WeightsError, match=text):
        fetch("https://example.org/net.pth", SUM, tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http:///net.pth", "https://example.org:port/net.pth"])
def test_other_kinds_of_addresses_are_refused(tmp_path, url):
    with pytest.raises(WeightsError, match=f"'{url}' is no address to download from; expected https:// or http://, a"):
        fetch(url, SUM, tmp_path)


def test_a_proxy_is_knocked_at_in_place_of_the_host(monkeypatch):
    knocked = []

    def connect(address, timeout):
        knocked.append(address)
        raise OSError

    monkeypatch.setattr(weight_files.socket, "create_connection", connect)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    begun = time.monotonic()
    assert not reachable("https://example.org/x")
    assert not reachable("https://inside.example/x")
    monkeypatch.setenv("https_proxy", "proxy.example:3129")  # as urllib takes it too
    assert not reachable("https://example.org/x")
    assert knocked == [("proxy.example", 3128), ("inside.example", 443), ("proxy.example", 3129)]
    monkeypatch.setenv("https_proxy", "http://proxy.example:99999")  # no port that there is
    assert not reachable("https://example.org/x")
    assert time.monotonic() - begun < 1  # a refusal is not waited out


def _fetch(url, folder, queue):
    queue.put(fetch(url, SUM, folder).read_bytes() == CONTENT)


def test_two_processes_fetch_it_once(tmp_path):
    behavior = Behavior(CONTENT)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with serving(behavior) as url:
        workers = [context.Process(target=_fetch, args=(url, tmp_path, queue)) for _ in range(2)]
        for worker in workers:
            worker.start()
        assert [queue.get(timeout=30) for _ in workers] == [True, True]
        for worker in workers:
            worker.join()
    assert behavior.requests == [None]


def test_a_network_starts_from_an_address(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    theirs = network(seed=1).trunk.state_dict()
    torch.save(theirs, tmp_path / "file.pth")
    content = (tmp_path / "file.pth").read_bytes()
    with serving(Behavior(content)) as url:
        begun = part(
            "initialization", "download", url=url, sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        )
        loaded = build_network(recipe_of("resnet18", begun), channels=3, size=32, classes=2, seed=0)
    assert all(torch.equal(value, theirs[key]) for key, value in loaded.trunk.state_dict().items())
    assert [item.suffix for item in (tmp_path / "weights").glob("*.pth")] == [".pth"]
