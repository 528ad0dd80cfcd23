"""Errors of Assay, the wording of unknown names, and counts of repeated problems."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

# Errors of the user's input: they state the given value, the allowed ones and the remedy.


_KEY = re.compile("\x02([^\x02\x03]*)\x03([^\x02\x03]*)\x03")


def key_text(name: str, value: object = "") -> str:
    """Return a key of a request in the text of an error, which whoever shows it spells as its reader writes it.

    Args:
        name: Of the command line, such as `--fit`, or of a study, such as `data.fit`.
        value: The value to give; True for a flag.
    """
    return f"\x02{name}\x03{value}\x03"


def as_written(name: str, value: str) -> str:
    """Spell a key as it is named: `--fit pad`, or `data.fit: pad`."""
    if value in ("", "True"):
        return name
    return f"{name} {value}" if name.startswith("--") else f"{name}: {value}"


class AssayError(Exception):
    """A request that cannot be carried out. The command line prints the text and ends with the exit code.

    Attributes:
        spell: Returns a key with its value as the reader writes them.

    Examples:
        >>> import assay
        >>> try:
        ...     assay.load({"name": "study", "data": {"phantom": "nodul"}})
        ... except AssayError as error:
        ...     print("nodule" in str(error))
        True
    """

    exit_code = 2
    spell: Callable[[str, str], str] = staticmethod(as_written)

    def __str__(self) -> str:
        """Return the text, with its keys spelled."""
        # Not `super()`: the text of a KeyError would be in quotes.
        return _KEY.sub(lambda key: self.spell(key[1], key[2]), Exception.__str__(self))

    @classmethod
    @contextmanager
    def spelled(cls, spell: Callable[[str, str], str]) -> Generator[None]:
        """Spell the keys of errors that are raised in this block, for the reader of one front end."""
        try:
            yield
        except cls as error:
            error.spell = spell
            raise


class SpecError(AssayError):
    """A study spec is wrong.

    The text gives the place, the given value, the allowed values, and the nearest valid name.

    Examples:
        >>> import assay
        >>> try:
        ...     assay.load("nodule-loss", scale="quick").set("seeds", 0).spec
        ... except SpecError as error:
        ...     print("seeds" in str(error))
        True
    """


class CodeError(AssayError):
    """A folder names code from outside Assay that this user has not run on this machine, and has not allowed."""


class UnfitError(SpecError):
    """Interventions that the images cannot carry.

    Args:
        refused: Name in the study -> its arguments as written, and why, by which `locate_errors` finds the line of
            each.
    """

    def __init__(self, refused: Mapping[str, tuple[Mapping[str, Any], str]]) -> None:
        super().__init__("\n".join(f"'{name}': {why}" for name, (_, why) in refused.items()))
        self.refused = refused


class ReadingError(AssayError):
    """A model that cannot be read: logits of a wrong shape, not finite, or a layer that is not there."""


class DataError(AssayError):
    """Images or their table are wrong. Every bad row is listed at once."""


class AssociationError(AssayError):
    """An association that the rows at hand cannot have. Names the cell that is short and its count."""


class WeightsError(AssayError):
    """A weights file that does not fit: missing, unexpected and wrong-shaped keys are listed.

    Args:
        given: Its path or address as the spec holds it, by which `locate_errors` finds the line; empty where unknown.
    """

    def __init__(self, text: str, given: str = "") -> None:
        super().__init__(text)
        self.given = given


class StoreError(AssayError):
    """A run folder cannot be read or written. Earlier content is undamaged."""


class NoTableError(StoreError, KeyError):
    """A run folder has no table of this name: for `in` and `get` of its tables a key that is missing."""

    __str__ = AssayError.__str__


class ExtraError(AssayError, ImportError):
    """A library of an optional extra is not installed. The text has the line that installs it.

    Examples:
        >>> try:
        ...     with extra("monai"):
        ...         raise ModuleNotFoundError("No module named 'monai'", name="monai")
        ... except ExtraError as error:
        ...     print("pip install 'assay-imaging[monai]'" in str(error))
        True
    """


DISTRIBUTION = "assay-imaging"
"""Name on package indexes; `assay` is another project there."""


@contextmanager
def extra(name: str) -> Generator[None]:
    """Import libraries of an optional extra of the distribution in this block.

    Args:
        name: The extra, as in pyproject.toml.

    Raises:
        ExtraError: If one of them is not installed.
    """
    try:
        if name == "monai":  # which imports OpenCV
            __import__("assay.core.opencv")
        yield
    except ModuleNotFoundError as error:
        raise _of_extra(error, name) from error


def _of_extra(error: ModuleNotFoundError, name: str) -> ExtraError:
    return ExtraError(
        f"this needs the library '{error.name}', which is not installed: pip install '{DISTRIBUTION}[{name}]'"
    )


_TRAIN = ("huggingface_hub", "numba", "pytorch_metric_learning", "timm", "torch", "torchvision")
"""Libraries of the extra `train`."""


def without_networks(error: ModuleNotFoundError) -> ExtraError | None:
    """Return the error of a command that needs a library of the extra `train`; None for any other library."""
    library = (error.name or "").partition(".")[0]
    return _of_extra(error, "train") if library in _TRAIN else None


class FullError(StoreError):
    """Nothing more can be written: the disk or the quota is full, or the file system is read-only. A run ends."""

    exit_code = 74  # EX_IOERR of sysexits.h


class PolicyError(AssayError):
    """Results that do not meet a policy. The text has a line for each rule that they break."""

    exit_code = 3


def require_met(broken: Sequence[str]) -> None:
    """Raise PolicyError where a rule of a policy is broken."""
    if broken:
        raise PolicyError("\n".join(f"policy: {rule}" for rule in broken))


_SYNONYMS = {
    "auc": "auroc", "ce": "cross-entropy", "confounder": "intervention",
    "fine-tuning": "finetuning", "kappa": "quadratic-weighted-kappa", "lp-ft": "probe-then-full",
    "qwk": "quadratic-weighted-kappa", "simclr": "nt-xent",
}  # fmt: skip
"""Synonyms of our names."""


_LONGEST = 200
"""Characters of a name that are compared with others."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that a mistyped or another name most likely meant, or None when nothing is near.

    Examples:
        >>> nearest("supconn", ["supcon", "triplet"])
        'supcon'
        >>> nearest("xray", ["gray", "chest-xray"]), nearest("isic", ["mimic", "isic-seg"])  # a part of a name
        ('chest-xray', 'isic-seg')
        >>> nearest("chest", ["chest-xray14", "chest-xray"])  # of several the shortest
        'chest-xray'
        >>> nearest("loses", ["loss", "closest-losses"])  # unless another one is very near
        'loss'
        >>> nearest("ct", ["mimic-ct", "mr"]) is None  # two letters are a part of many names
        True
    """
    names = list(allowed)
    ours = _SYNONYMS.get(word.lower())
    if ours in names:
        return ours
    matches = difflib.get_close_matches(word[:_LONGEST], names, n=1, cutoff=0.76)
    parts = [name for name in names if len(word) > 2 and word.lower().replace("-", "") in name.replace("-", "")]
    if not matches and parts:
        return min(parts, key=len)
    matches = matches or difflib.get_close_matches(word[:_LONGEST], names, n=1, cutoff=0.6)
    return matches[0] if matches else None


def shorten(text: str, longest: int = 60) -> str:
    """Return a text of the user's on one line, its end left out where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


# Text for a terminal or a page: control characters as escapes, so that a name changes nothing around it.

FORMAT = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that are not seen (Default_Ignorable_Code_Point of Unicode, and blanks), for regular expressions."""
_FORMAT = re.compile(f"[{FORMAT}]")
_CONTROL = re.compile(f"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{FORMAT}\u2028\u2029\ud800-\udfff]|\r(?!\n)")


def visible(text: str) -> str:
    r"""Return a text with characters that are not seen, such as controls, as escapes; tabs and ends of lines stay.

    Examples:
        >>> print(visible("a\x1b[2Jb"))
        a\x1b[2Jb
    """
    return _CONTROL.sub(lambda character: character[0].encode("unicode_escape").decode(), text)


def remove_unseen(text: str) -> str:
    r"""Return a text without characters that are not seen and space around it, as names of columns are compared.

    Examples:
        >>> remove_unseen("\ufefftar\u200bget ")
        'target'
    """
    return (text if text.isascii() else _FORMAT.sub("", text)).strip()


def first_line(error: BaseException) -> str:
    """Return the first line of an error of another library, its end left out where it is long; else its kind."""
    return shorten(next(iter(str(error).splitlines()), type(error).__name__), 200)


def unknown_name(what: str, word: str, allowed: Sequence[str]) -> str:
    """One sentence for an unknown name, with the nearest valid one or, failing that, the allowed values.

    Examples:
        >>> unknown_name("loss", "tripplet", ["triplet", "dice"]), unknown_name("loss", "xyz", ["triplet", "dice"])
        ("unknown loss 'tripplet': did you mean 'triplet'?", "unknown loss 'xyz': allowed: dice, triplet")

        A long word is cut, and stays on one line:

        >>> texts = [unknown_name("loss", word, ["triplet"]) for word in ("x" * 70_000, "a\\nb" * 9)]
        >>> [len(text) < 150 and "\\n" not in text for text in texts], "…" in texts[0]
        ([True, True], True)
    """
    return f"unknown {what} '{shorten(word)}': {nearest_of(word, allowed)}"


def nearest_of(word: str, allowed: Sequence[str]) -> str:
    """Return the nearest valid name as a question or, failing that, all that are allowed."""
    near = nearest(word, allowed)
    return f"did you mean '{near}'?" if near else f"allowed: {', '.join(sorted(allowed))}"


def unknown_of_few(what: str, word: str, allowed: Sequence[str]) -> str:
    """As `unknown_name`, with all that is allowed in any case: of few names the nearest need not be the one meant."""
    sentence = unknown_name(what, word, allowed)
    return f"{sentence} Allowed: {', '.join(sorted(allowed))}" if nearest(word, allowed) else sentence


def with_alternative(sentence: str, also: str) -> str:
    """Return a sentence and an alternative, whether or not the sentence ends in a question."""
    return f"{sentence} {also[0].upper()}{also[1:]}" if sentence.endswith("?") else f"{sentence}; {also}"


# Counts of many classes in short: the most frequent by name, the rest as one number.

MOST = 12
"""Number of classes that are listed one by one; the rest share one entry."""


def foremost(rows: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes to tell by name, in their own order, and those that are listed together.

    Args:
        rows: Class -> how many rows it has. Up to `MOST` classes are all named. Of more it is `MOST` - 1: the last,
            since associations are stated for it against the rest, and the most frequent, of equals the first.
    """
    names = list(rows)
    if len(names) <= MOST:
        return tuple(names), ()
    frequent = sorted(names[:-1], key=lambda name: -rows[name])[: MOST - 2]
    named = {*frequent, names[-1]}
    return tuple(name for name in names if name in named), tuple(name for name in names if name not in named)


def others(names: tuple[str, ...]) -> str:
    """Name of classes that are listed together: `49 others`.

    Examples:
        >>> others(("pacemaker", "drain"))
        '2 others'
    """
    return f"{len(names)} others"
