"""Match the names of two sides one to one, such as images and rows of a table, and say what is left over."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from assay.core.errors import DataError, key_text, shorten
from assay.core.files import fill_names, is_file, sha256
from assay.data.files.first_line import ENDINGS
from assay.data.files.table import shown, spellings
from assay.spec.schema import DataSpec

MOST_LOST = 0.1
"""Share of the images that may find no partner and be left out."""
FEWEST = 5
"""With fewer rows left out nothing is said of their classes."""
UNEQUAL = 0.01
"""The p-value under which the shares left out of each class count as unequal."""
NAMED = 3
"""Names that a sentence lists of each side."""
Unmatched = Literal["refuse", "drop"]

# What of a name is ignored, the mildest first: a later rule is tried where the earlier ones find no partner.

_END = rf"\.(?:{'|'.join(ENDINGS)})(?:\.gz)?$"
_ENDING = re.compile(rf"(?<=[^/.]){_END}", re.IGNORECASE)
_CHANNEL = re.compile(rf"(?<=[^/])_0000(?=$|{_END})", re.IGNORECASE)
_SUBJECT = re.compile(r"(?:(?<=/)|^)sub-(?=\w[^/]*$)", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"^([0-9]+)\.0+$")
_LAST = re.compile(r"(?<!_0)(_0)+$")
"""What a channel may have become of which zeros were taken: `case_0000` may be `case` or `case_0`."""
_ZEROS = re.compile(r"(?<![0-9.])0+(?=[0-9])")


def _plain(name: str) -> str:
    """Return a path in one Unicode form with plain slashes."""
    text = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return posixpath.normpath(text).lstrip("/") if text else ""


def without_ending(name: str) -> str:
    """Return a name without the ending of an image, which may have two parts such as `.nii.gz`."""
    return _ENDING.sub("", name)


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, in one Unicode form."""
    return unicodedata.normalize("NFC", without_ending(path.name))


_REQUESTS = ("run.json", "study.json", "audit.json", "request.json")


_OF_CACHE = re.compile(r".+-[0-9a-f]{24}(?:-hashes)?\.sha256")
"""Name of the checksum that the cache keeps of an array of images."""


def is_output(folder: Path) -> bool:
    """Return whether Assay wrote a folder: that of a run, also of one that works, of images that it prepared, the
    cache, or of such folders alone.
    """
    run = any((folder / name).exists() for name in ("tables", ".lock"))
    if run and any((folder / name).is_file() for name in _REQUESTS):
        return True
    inside = list(folder.iterdir())
    if (folder / "prepared.json").is_file() or any(_OF_CACHE.fullmatch(path.name) for path in inside):
        return True
    return bool(inside) and all(directory.is_dir() and is_output(directory) for directory in inside)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders of a folder in sorted order, without hidden ones and those that Assay wrote."""
    inside = (path for path in _listed(folder) if path.is_dir() and _is_visible(path.name))
    return sorted(path for path in inside if not is_output(path))


def _listed(folder: Path) -> list[Path]:
    """Return what a folder holds. Raises DataError for a name that no table can hold, or only as several lines."""
    inside = list(folder.iterdir())
    if broken := next((path.name for path in inside if "\n" in path.name), ""):
        raise DataError(f"{folder}: the name {shown(broken)} has a line break; rename it")
    if foreign := next((path.name for path in inside if re.search("[\ud800-\udfff]", path.name)), ""):
        raise DataError(f"{folder}: the name {shown(foreign)} is no UTF-8; rename it")
    return inside


def _walk_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all in it, as `folders_in` returns them."""
    yield folder
    for inside in folders_in(folder):
        if not inside.is_symlink():
            yield from _walk_below(inside)


_OF_SYSTEMS = frozenset({"__macosx"})
"""Names of folders that other systems write into archives, in small letters: they hold copies of names, no images."""


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _OF_SYSTEMS


_ASIDE = frozenset({
    "thumbnails", "thumbnail", "thumbs", "thumb", "previews", "preview", "masks", "mask", "overlays", "overlay",
    "segmentations", "annotations", "heatmaps",
})  # fmt: skip
"""Names of folders that hold no images of a class, in small letters."""


_OF_ANOTHER = re.compile(r"[ _-](?:masks?|seg|segmentation|annotation)(?:[ _-]?[0-9]+)?$", re.IGNORECASE)
"""The end of the name of a mask that lies beside its image."""
SMALLER = re.compile(r"[ _.-](?:thumb|thumbs|thumbnail|small|preview|icon|tn|lowres|low[_-]res)$", re.IGNORECASE)
"""The end of the name of a smaller copy that lies beside its image."""


def mark_of_masks(folder: Path) -> str:
    """Return the end that the names of all masks of a folder have, such as `_segmentation`; empty without one."""
    ends = {end and end[0].casefold() for end in map(_OF_ANOTHER.search, map(stem_of, image_files(folder)[0]))}
    return ends.pop() or "" if len(ends) == 1 else ""


def class_folders(folder: Path) -> list[Path]:
    """Return the folders of a folder that may be classes: none of copies, such as `thumbnails`, or of masks."""
    return [directory for directory in folders_in(folder) if not _aside(Path(directory.name))]


def _aside(path: Path) -> bool:
    return any(part.casefold() in _ASIDE for part in path.parts)


def _without_masks(files: Sequence[Path]) -> list[Path]:
    """Return the files without those that are named as the mask or a smaller copy of another one, such as `a_mask.png`
    and `a_thumb.png` beside `a.png`.
    """
    stems = {path.parent / stem_of(path) for path in files}
    names = [(path, SMALLER.sub("", _OF_ANOTHER.sub("", stem_of(path)))) for path in files]
    return [path for path, name in names if name == stem_of(path) or path.parent / name not in stems]


def class_images(folder: Path) -> tuple[dict[Path, list[Path]], dict[Path, int], tuple[str, ...]]:
    """Return the images below each folder that may be a class, and how many other files are there.

    A sentence says how many copies and masks are left out.
    """
    listed = {directory: image_files(directory, deep=True) for directory in folders_in(folder)}
    classes = {
        directory: _without_masks([file for file in listed[directory][0] if not _aside(file.relative_to(folder))])
        for directory in class_folders(folder)
    }
    skipped = sum(len(files) for files, _ in listed.values()) - sum(map(len, classes.values()))
    where = "in folders of thumbnails, masks and the like, or named as the mask or thumbnail of another one,"
    sentences = (f"{skipped:,} images {where} are left out",) if skipped else ()
    return classes, {directory: listed[directory][1] for directory in classes}, sentences


def classes_said(labels: Sequence[str]) -> str:
    """Return a sentence on the classes that folders name."""
    spelled = spellings(labels)
    counts = Counter(spelled[label] for label in labels if label in spelled)
    return shorten(
        f"{len(counts)} classes by folder: {', '.join(f'{name} ({n:,})' for name, n in counts.items())}", 300
    )


def outputs_in(folder: Path) -> tuple[str, ...]:
    """Return a sentence on the folders in any depth that Assay wrote, which are skipped."""
    count = sum(path.is_dir() and is_output(path) for place in _walk_below(folder) for path in place.iterdir())
    folders = "1 folder with what Assay wrote is" if count == 1 else f"{count:,} folders with what Assay wrote are"
    return (f"{folders} skipped",) if count else ()


def image_files(folder: Path, deep: bool = False) -> tuple[list[Path], int]:
    """Image files in sorted order, hidden ones and what Assay wrote left out, and how many other files there are.

    A file without the ending of an image is one where its content is DICOM.
    """
    from assay.data.files.readers import holds_dicom

    files = [
        path for place in (_walk_below(folder) if deep else (folder,)) for path in _listed(place) if path.is_file()
    ]
    visible = [path for path in files if not path.name.startswith(".")]
    images = sorted(path for path in visible if _ENDING.search(path.name) or holds_dicom(path))
    return images, len(visible) - len(images)


def files_named_as_images(folder: Path) -> list[Path]:
    """Return the files in any depth that have the ending of an image. None is opened, and odd names are no error.

    It serves to look around in folders that nobody named; those that cannot be listed, hidden ones and links are left
    out.
    """
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = filter(_is_visible, folders)
        files += [Path(place, name) for name in names if not name.startswith(".") and _ENDING.search(name)]
    return files


def _without_zeros(name: str) -> str:
    return _ZEROS.sub("", _WHOLE_NUMBER.sub(r"\1", name) if "." in name else name)


_RULES: Mapping[str, Callable[[str], str]] = {
    "slashes and Unicode form": _plain,
    "endings": without_ending,
    "folders": posixpath.basename,
    "upper and lower case": str.casefold,
    "marks _0000 and sub-": lambda name: _CHANNEL.sub("", _SUBJECT.sub("", name)),
    "leading zeros": _without_zeros,
}


def same_id(name: str) -> str:
    """Return an identifier, such as a patient's, without what tables change: blanks, case, zeros before, `.0` after."""
    return _without_zeros("".join(unicodedata.normalize("NFKC", name).casefold().split()))


# Match.


@dataclass(frozen=True, slots=True)
class MatchedNames:
    """The names of two sides, matched one to one.

    Attributes:
        left: Names of images, or of what else has to find a partner.
        right: Names of rows, masks and so on.
        pairs: Position on the left -> on the right.
        ignored: What was ignored to find a partner -> names that have one only so.
        rivals: Names on the left and on the right that fit each other, but not one to one.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    pairs: Mapping[int, int]
    ignored: Mapping[str, int] = field(default_factory=dict[str, int])
    rivals: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()

    @property
    def left_over(self) -> list[int]:
        """Positions on the left without a partner."""
        return [at for at in range(len(self.left)) if at not in self.pairs]

    @property
    def right_over(self) -> list[int]:
        """Positions on the right without a partner."""
        used = set(self.pairs.values())
        return [at for at in range(len(self.right)) if at not in used]

    def strays(self, rows: str, image: str) -> tuple[str, ...]:
        """Return a sentence for names on the right without a partner."""
        lone = len(self.right_over)
        return (f"{lone:,} of {len(self.right):,} {rows} fit no {image}",) if lone else ()

    def ignoring(self) -> tuple[str, ...]:
        """Return a sentence for what was ignored in names."""
        counts: dict[int, list[str]] = {}
        for rule, count in self.ignored.items():
            counts.setdefault(count, []).append(rule)
        return tuple(
            f"{count:,} of {len(self.left):,} names match only where {', '.join(rules)} are ignored"
            for count, rules in counts.items()
        )


def match(left: Sequence[str], right: Sequence[str]) -> MatchedNames:
    """Match names one to one: equal ones first, then those that are equal where more and more is ignored.

    A rule matches two names only if no other name of either side is equal to them under it, those with a partner
    included. Blank names have no partner.
    """
    alike: dict[str, tuple[dict[int, str], dict[int, str]]] = {}
    for side, names in enumerate((left, right)):
        for at, name in enumerate(names):
            if name.strip():
                alike.setdefault(_LAST.sub("", _key(name, _RULES, 1)), ({}, {}))[side][at] = name
    pairs: dict[int, int] = {}
    ignored: Counter[str] = Counter()
    rivals: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for left_names, right_names in alike.values():
        matches = list(_pairs(left_names, right_names)) if left_names and right_names else []
        pairs |= {first: other for first, other, _ in matches}
        ignored.update(rule for _, _, rules in matches for rule in rules)
        partners = {other for _, other, _ in matches}
        lone = [name for at, name in left_names.items() if at not in pairs]
        others = [name for at, name in right_names.items() if at not in partners]
        if lone and others:
            rivals.append((tuple(lone), tuple(others)))
    order = {rule: ignored[rule] for rule in _RULES if rule in ignored}
    return MatchedNames(tuple(left), tuple(right), dict(sorted(pairs.items())), order, tuple(rivals))


def _pairs(left: Mapping[int, str], right: Mapping[int, str]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield pairs of positions among names that are alike, with what was ignored."""
    lone, others = set(left), set(right)
    deepest = max(1 + _plain(name).count("/") for side in (left, right) for name in side.values())
    left_by, right_by = _Keys(left), _Keys(right)
    for rules, depth in _ways(deepest):
        left_keys, right_keys = left_by.positions(rules, depth), right_by.positions(rules, depth)
        for key, positions in left_keys.items():
            if (
                len(positions) == len(right_keys.get(key, ())) == 1
                and positions[0] in lone
                and right_keys[key][0] in others
                and _agree(left[positions[0]], right[right_keys[key][0]], rules)
            ):
                lone.remove(positions[0])
                others.remove(right_keys[key][0])
                yield positions[0], right_keys[key][0], rules
        if not lone or not others:
            return


def _agree(first: str, other: str, rules: Sequence[str]) -> bool:
    """Return whether a path is the end of the other, a name without folders included."""
    plain = [rule for rule in rules if rule != "folders"]
    parts = [_key(_plain(name), plain, 0).split("/") for name in (first, other)]
    short, long = sorted(parts, key=len)
    return long[-len(short) :] == short


def _ways(deepest: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield sets of rules, the mildest first, and how many parts of a path are kept."""
    for chosen in range(1 << len(_RULES)):
        rules = tuple(rule for at, rule in enumerate(_RULES) if chosen >> at & 1)
        yield from ((rules, depth) for depth in (range(deepest - 1, 0, -1) if "folders" in rules else (deepest,)))


class _Keys:
    """Names by what is left of them under sets of rules; a rule that changes none of them is applied once."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._positions, self._names = list(names), list(names.values())
        self._results: dict[tuple[str, int, int], list[str]] = {}
        self._grouped: dict[int, dict[str, list[int]]] = {}

    def positions(self, rules: Sequence[str], depth: int) -> Mapping[str, list[int]]:
        """Return the positions of the names of each key."""
        keys = self._names
        for rule in rules:
            way = (rule, depth if rule == "folders" else 0, id(keys))  # kept lists keep their id
            if way not in self._results:
                after = [_key(name, (rule,), depth) for name in keys]
                self._results[way] = keys if after == keys else after
            keys = self._results[way]
        if id(keys) not in self._grouped:
            grouped = self._grouped[id(keys)] = dict[str, list[int]]()
            for at, key in zip(self._positions, keys, strict=True):
                grouped.setdefault(key, []).append(at)
        return self._grouped[id(keys)]


def _key(name: str, rules: Iterable[str], depth: int) -> str:
    for rule in rules:
        name = "/".join(name.split("/")[-depth:]) if rule == "folders" else _RULES[rule](name)
    return name


# Say or refuse what is left over.


def require_matched(
    matched: MatchedNames,
    where: str,
    image: str = "image",
    row: str = "row",
    *,
    unmatched: Unmatched = "refuse",
    classes: Sequence[str] = (),
    row_classes: Sequence[str] = (),
    lines: Sequence[int] = (),
    private: bool = False,
) -> tuple[str, ...]:
    """Return sentences on what is left over, and on what was ignored in names.

    They are kept in run folders and shown on pages: they have counts and lines, and no name. Errors name files.

    Args:
        matched: Images on the left, rows on the right.
        where: The table or folder on the right.
        image: Word for a name on the left.
        row: Word for one on the right.
        unmatched: Whether too many images without a row are refused, or left out.
        classes: Class of each image, where it is known before.
        row_classes: Class of each row. Rows left over count as lost images if no more rows than images are left over.
        lines: Number of each row's line.
        private: Whether names of rows identify persons: errors have their lines.

    Raises:
        DataError: Over a tenth of the images have no row, the classes lose unequally, or names fit several.
    """
    lone, others = matched.left_over, matched.right_over
    places = [f"line {lines[at]}" for at in others] if lines else []
    unmatched_names = such(shown(matched.left[at]) for at in lone)
    stray_names = such(places if private else (shown(matched.right[at]) for at in others))
    rows = f"{len(others):,} of {len(matched.right):,} {row}s in {where} fit no {image}" if others else ""
    none = f"{len(lone):,} of {len(matched.left):,} {image}s have no {row} in {where}" if lone else ""
    why = ""
    if matched.rivals:
        left_rival, right_rival = matched.rivals[0]
        why = f"{_either(right_rival)} fits {_either(left_rival)}, and names do not show which is meant"
    elif len(lone) > MOST_LOST * len(matched.left):
        why = "so many are rarely omitted on purpose"
    else:
        of_rows = row_classes if len(others) <= len(lone) else ()
        why = _unequal(classes, lone, matched.pairs) or _unequal(of_rows, others, matched.pairs.values())
    if why and unmatched == "refuse":
        summary = "; ".join(filter(None, (none and none + unmatched_names, rows and rows + stray_names)))
        raise DataError(
            f"{summary}: {why}; correct the names, or leave out what fits nothing with "
            f"{key_text('--unmatched', 'drop')} (in a study, data: {{unmatched: drop}})"
        )
    return (*filter(None, (none, rows and rows + (such(places) if places else ""))), *matched.ignoring())


def uneven(remaining: np.ndarray, dropped: np.ndarray) -> bool:
    """Return whether the classes lose different shares of their rows (chi-squared test).

    Args:
        remaining: Rows of each class that are left, int64 [classes].
        dropped: Those that are lost.
    """
    occurs = remaining + dropped > 0
    if dropped.sum() < FEWEST or occurs.sum() < 2 or not remaining.any():
        return False
    from scipy.stats import chi2_contingency  # here, since importing it takes a second

    return float(chi2_contingency(np.stack([remaining, dropped])[:, occurs]).pvalue) < UNEQUAL


def _unequal(classes: Sequence[str], dropped: Iterable[int], remaining: Iterable[int]) -> str:
    if not classes:
        return ""
    names = sorted(set(classes))
    dropped_counts, remaining_counts = (Counter(classes[at] for at in part) for part in (dropped, remaining))
    counts = [np.array([part[name] for name in names], dtype=np.int64) for part in (remaining_counts, dropped_counts)]
    each = ", ".join(
        f"{dropped_counts[name]:,} of {dropped_counts[name] + remaining_counts[name]:,} '{name}'" for name in names
    )
    return f"the classes lose unequally ({each}), so the rest is a biased sample" if uneven(*counts) else ""


def such(names: Iterable[str]) -> str:
    """Return the first names, for a sentence."""
    return ", such as " + ", ".join(islice(names, NAMED))


def _either(names: Sequence[str]) -> str:
    return " and ".join(map(shown, names[:2]))


# The table that `assay init` joins with files, which may change later.

JOINED_TABLE = "-images.csv"
"""End of the name of a table that `assay init` writes: a user's table joined with the files."""


def joined_record(folder: Path, source: str, by: str) -> dict[str, str]:
    """Return `data.joined_from` of a study: a table, as a path from the folder of images, and its checksum."""
    return {"table": source, "sha256": sha256(folder / source), **({"by": by} if by else {})}


def changed_since_joined(data: DataSpec) -> Iterator[tuple[str, str]]:
    """Yield that the source of a joined table has changed or is gone, and the command that joins again.

    Args:
        data: Images of a study, or of a set to test on.
    """
    if data.joined_from:
        source = fill_names(data.folder) / data.joined_from.get("table", "")
        rows = f"{Path(data.table).name} has its earlier rows, which are used"
        try:
            checksum = sha256(source) if is_file(source) else ""
        except OSError:
            yield f"{source.name} cannot be read any more: {rows}", ""
            return
        if not checksum:
            yield f"{source.name} is no longer where it was joined from: {rows}", ""
        elif checksum != data.joined_from.get("sha256"):
            changed = f"{source.name} has changed since it was joined with the files: {rows}"
            yield changed, _line_of_join(data, source)


def _line_of_join(data: DataSpec, source: Path) -> str:
    """Return the command that joins a table with the files again, into a study and a table of new names."""
    is_bids = source.name == "participants.tsv"
    named = {"target": data.target, "positive": data.positive[0] if len(data.positive) == 1 else ""}
    if not is_bids:
        named |= {"patient": data.patient, "image": data.joined_from.get("by", "")}
    options = "".join(f" --{name} {shlex.quote(value)}" for name, value in named.items() if value)
    stem, number = Path(data.table).name.removesuffix(JOINED_TABLE), 2
    while any(Path(f"{stem}-{number}{end}").exists() for end in (".yaml", JOINED_TABLE)):
        number += 1
    place = os.path.relpath(source.parent if is_bids else source)
    return f"assay init {shlex.quote(place)}{options} --out {shlex.quote(f'{stem}-{number}.yaml')}"
