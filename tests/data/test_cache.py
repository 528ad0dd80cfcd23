"""The cache builds an array once, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import pwd
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import assay
from assay.data.cache import ArrayImages, ArrayMasks, damaged_notes
from assay.plugin import ArrayCache, Images, Masks, StoreError, default_cache_root

SHAPE = (3, 1, 2, 2)


def _seven(array: np.ndarray) -> None:
    array[:] = 7


def _never(array: np.ndarray) -> None:
    raise AssertionError("built a second time")


def test_an_array_is_built_once_and_read_only(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "deep" / "cache")
    assert (cache.get("a", SHAPE, np.uint8, _seven) == 7).all()
    again = cache.get("a", SHAPE, np.uint8, _never)
    assert (again == 7).all()
    assert not again.flags.writeable
    assert isinstance(again, np.memmap)


def test_a_new_array_starts_as_zeros(tmp_path: Path) -> None:
    assert not ArrayCache(tmp_path).get("a", SHAPE, np.uint16, lambda array: None).any()


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other type", "other shape", "pickle"])
def test_a_truncated_or_foreign_file_is_built_again(tmp_path: Path, damage: str) -> None:
    cache = ArrayCache(tmp_path)
    cache.get("a", SHAPE, np.uint8, _seven)
    path = tmp_path / "a.npy"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not an array")
    elif damage == "other type":
        np.save(path, np.zeros(SHAPE, dtype=np.uint16))
    elif damage == "other shape":
        np.save(path, np.zeros((1, *SHAPE[1:]), dtype=np.uint8))
    else:
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert (cache.get("a", SHAPE, np.uint8, _seven) == 7).all()


def test_a_failed_build_leaves_nothing_and_passes_the_error_on(tmp_path: Path) -> None:
    def half(array: np.ndarray) -> None:
        array[0] = 1
        raise PermissionError(errno.EACCES, "an image that may not be read")

    with pytest.raises(PermissionError, match="an image that may not be read"):
        ArrayCache(tmp_path).get("a", SHAPE, np.uint8, half)
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError) as caught:
        ArrayCache(tmp_path).get("a", SHAPE, np.uint8, _seven)
    assert str(caught.value) == (
        f"cannot write a.npy to the cache {tmp_path}: the disk is full; "
        "make room there, or let ASSAY_CACHE name another folder"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]


def test_a_read_only_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"new/a\.lock: Read-only file system; make room there, or let ASSAY"):
        ArrayCache(tmp_path / "new").get("a", SHAPE, np.uint8, _seven)


@pytest.mark.parametrize(("place", "said"), [("file/cache", "Not a directory"), ("cache", "Is a directory")])
def test_a_cache_that_cannot_be_is_one_sentence(place: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "cache" / "key.npy").mkdir(parents=True)
    with pytest.raises(StoreError, match=rf"key\.(npy|lock): {said}; .*let ASSAY_CACHE name another folder"):
        ArrayCache(tmp_path / place).get("key", (2,), np.uint8, lambda array: None)


def test_a_key_is_a_file_name_and_never_a_path(tmp_path: Path) -> None:
    for key in ("../a", "a/b", "", "a\0", ".hidden"):
        with pytest.raises(ValueError, match="a cache key is up to 120 letters"):
            ArrayCache(tmp_path).get(key, SHAPE, np.uint8, _seven)


NOTES = {"version": 1, "files": {"a.png": [[1, 2], {"digest": "00ff", "what": "è", "deep": False}]}, "no": None}


def test_notes_come_back(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    for value in (NOTES, [], True, [[0, 1, 0.1 + 0.2]]):
        cache.write_notes("n.json", value)
        assert cache.read_notes("n.json") == value
        assert json.loads((tmp_path / "n.json").read_bytes())["value"] == value
    assert damaged_notes(tmp_path) == (1, [])


def test_notes_with_a_turned_bit_do_not_count(tmp_path: Path) -> None:
    cache, path = ArrayCache(tmp_path), tmp_path / "n.json"
    cache.write_notes("n.json", NOTES)
    kept = path.read_bytes()
    for at in range(8 * len(kept)):
        content = bytearray(kept)
        content[at // 8] ^= 1 << at % 8
        path.write_bytes(content)
        assert cache.read_notes("n.json") is None
    count, (said,) = damaged_notes(tmp_path)
    assert count == 1
    assert said.startswith(f"cannot read {path}: it is damaged")
    for content in (b"", b"{}", kept[:-1], kept + b"\n", b'{"version":1,"files":{}}'):
        path.write_bytes(content)
        assert cache.read_notes("n.json") is None


def test_an_array_whose_notes_are_damaged_is_built_again(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)

    def fill(array: np.ndarray) -> None:
        array[:] = 7
        cache.write_notes("a.notes.json", {"failures": {}})

    cache.get("a", SHAPE, np.uint8, fill, "a.notes.json")
    path = tmp_path / "a.notes.json"
    path.write_bytes(path.read_bytes().replace(b"failures", b"nailures"))
    with pytest.raises(AssertionError, match="built a second time"):
        cache.get("a", SHAPE, np.uint8, _never, "a.notes.json")
    cache.get("a", SHAPE, np.uint8, fill, "a.notes.json")
    assert cache.read_notes("a.notes.json") == {"failures": {}}


def _build_slowly(root: str, log: str) -> None:
    def fill(array: np.ndarray) -> None:
        with Path(log).open("a") as handle:
            handle.write("built\n")
        time.sleep(0.4)
        array[:] = 7

    assert (ArrayCache(Path(root)).get("a", SHAPE, np.uint8, fill) == 7).all()


def test_two_processes_build_one_key_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    both = [context.Process(target=_build_slowly, args=(str(tmp_path / "cache"), str(log))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert log.read_text() == "built\n"


def _build_for_ever(root: str, started: str) -> None:
    def fill(array: np.ndarray) -> None:
        array[:] = 3
        Path(started).touch()
        time.sleep(60)

    ArrayCache(Path(root)).get("a", SHAPE, np.uint8, fill)


def test_a_killed_builder_frees_its_lock_and_its_half_array_is_not_used(tmp_path: Path) -> None:
    root, started = tmp_path / "cache", tmp_path / "started"
    process = multiprocessing.get_context("fork").Process(target=_build_for_ever, args=(str(root), str(started)))
    process.start()
    while not started.exists():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert list(root.glob(".a.npy.*.partial"))
    assert (ArrayCache(root).get("a", SHAPE, np.uint8, _seven) == 7).all()
    assert not list(root.glob(".a.npy.*.partial"))


def test_what_a_process_elsewhere_may_be_building_stays(tmp_path: Path) -> None:
    """Locks do not keep it apart on every file system."""
    (building := tmp_path / ".a.npy.elsewhere-1-00000000.partial").touch()
    (old := tmp_path / ".a.npy.elsewhere-2-00000000.partial").touch()
    os.utime(old, (0, 0))
    assert (ArrayCache(tmp_path).get("a", SHAPE, np.uint8, _seven) == 7).all()
    assert (building.exists(), old.exists()) == (True, False)


@pytest.mark.parametrize("name", ["a.partial", "a.lock", "a.sha256", "a.npy", "notes.json"])
def test_no_file_behind_a_link_in_a_cache_is_written_to(name: str, tmp_path: Path) -> None:
    thesis, root = tmp_path / "thesis.txt", tmp_path / "cache"
    thesis.write_text("mine")
    root.mkdir()
    (root / name).symlink_to(thesis)
    with suppress(StoreError):
        ArrayCache(root).get("a", SHAPE, np.uint8, _seven)
        ArrayCache(root).write_notes("notes.json", {"a": 1})
    assert thesis.read_text() == "mine"
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to(tmp_path / "new")
    with suppress(StoreError):
        ArrayCache(root).get("b", SHAPE, np.uint8, _seven)
    assert not (tmp_path / "new").exists()


def test_no_folder_behind_a_link_in_a_cache_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    (default_cache_root() / "in-memory").symlink_to(tmp_path / "home")
    with pytest.raises(StoreError, match="is a link, and a cache has none: put there the folder itself"):
        assay.validate([{"image": str(row), "target": row % 2, "score": row / 40} for row in range(40)])
    assert not list((tmp_path / "home").iterdir())


def test_the_root_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "mine"))
    assert default_cache_root() == tmp_path / "mine"
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700  # it holds images and names of files
    monkeypatch.delenv("ASSAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_root() == tmp_path / "xdg" / "assay"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_root() == tmp_path / ".cache" / "assay"

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(StoreError, match="no home folder: let ASSAY_CACHE name"):
        default_cache_root()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_span_zero_to_one_exactly(dtype: type) -> None:
    largest = np.iinfo(dtype).max
    array = np.array([0, 1, largest - 1, largest], dtype=dtype).reshape(2, 1, 1, 2)
    images = ArrayImages(array)
    assert isinstance(images, Images)
    assert images.shape == (1, 1, 2)
    read = images.read(np.array([1, 0, 1]))
    assert read.dtype == torch.float32
    # Every stored level is read as the float nearest to level / maximum, the ends as 0 and 1 themselves.
    expected = (array.astype(np.float64) / largest).astype(np.float32)
    np.testing.assert_array_equal(read.numpy(), expected[[1, 0, 1]])


def test_rows_choose_and_order_images_and_masks() -> None:
    array = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    images, masks = ArrayImages(array, np.array([3, 1])), ArrayMasks(array, np.array([0, 2]))
    assert len(images) == len(masks) == 2
    assert (images.read(np.array([0, 1])).flatten() * 255).round().tolist() == [3, 1]
    assert isinstance(masks, Masks)
    assert masks.read(np.array([1, 0])).flatten().tolist() == [2, 0]
    assert ArrayMasks(array > 1).read(np.arange(4)).flatten().tolist() == [0, 0, 1, 1]
    assert masks.read(np.array([1])).dtype == torch.uint8


def test_arrays_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 or uint16 \[n, c, h, w\], given float64"):
        ArrayImages(np.zeros((1, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"expected bool or uint8 \[n, 1, h, w\], given uint8 \(1, 3, 2, 2\)"):
        ArrayMasks(np.zeros((1, 3, 2, 2), dtype=np.uint8))


def test_who_may_write_to_a_cache_decides_what_is_read(tmp_path: Path) -> None:
    """SECURITY.md says so. Where this fails, more is held than it says."""
    cache = ArrayCache(tmp_path)
    cache.get("a", SHAPE, np.uint8, _seven)
    np.save(tmp_path / "of-another.npy", np.full(SHAPE, 9, dtype=np.uint8))
    (tmp_path / "a.npy").unlink()
    (tmp_path / "a.npy").symlink_to(tmp_path / "of-another.npy")
    assert (cache.get("a", SHAPE, np.uint8, _never) == 9).all()
    (tmp_path / "a.npy").unlink()  # or every run of this process finds it damaged


def test_pipes_in_a_cache_are_never_waited_for(tmp_path: Path) -> None:
    """As somebody can put there who may write to it."""
    cache = ArrayCache(tmp_path)
    for name in ("a.npy", "a.sha256", "notes.json"):
        os.mkfifo(tmp_path / name)
    assert cache.read_notes("notes.json") is None
    assert (cache.get("a", SHAPE, np.uint8, _seven) == 7).all()
    assert damaged_notes(tmp_path)[0] == 1
    assert (ArrayCache(tmp_path).get("a", SHAPE, np.uint8, _never) == 7).all()


def test_who_waits_for_the_lock_of_another_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    monkeypatch.setattr("assay.core.files.SILENT_WAIT", 0.0)
    monkeypatch.setattr("warnings.warn", lambda text, *_, **__: told.append(text))
    with (tmp_path / "a.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with ThreadPoolExecutor(1) as pool:
            array = pool.submit(ArrayCache(tmp_path).get, "a", SHAPE, np.uint8, _seven)
            while not told:
                time.sleep(0.01)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert (array.result() == 7).all()
    assert "waiting for another process that has" in told[0]
    assert "a.lock" in told[0]
