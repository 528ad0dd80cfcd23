"""A weights file matched to a trunk: its layout and prefix found, every key accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from assay.core.errors import WeightsError
from assay.recipes.weights.files import WeightsFile
from assay.recipes.weights.layouts import LAYOUTS, SLUGS, Layout
from assay.recipes.weights.likeness import looks_like
from assay.recipes.weights.positions import fitted_positions
from assay.recipes.weights.words import shape, some

_KNOWN_PARTS = frozenset(
    {
        *("fc", "classifier", "head", "heads", "linear_classifier", "online_classifier"),
        *("projector", "projection", "projection_head", "predictor", "prediction", "prediction_head"),
        *("student_head", "teacher_head", "queue", "queue_ptr", "memory_bank", "criterion"),
    }
)
_SECOND = ("momentum", "encoder_k")


@dataclass(frozen=True, slots=True)
class Match:
    """Tensors by the trunk's own keys.

    left_out: names of what the file holds beside the trunk, each with its number of tensors when it is a group.
    positions: as `fitted_positions` says it.
    """

    tensors: Mapping[str, Tensor]
    layout: Layout
    prefix: str
    left_out: tuple[str, ...]
    positions: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A layout and a prefix under which a file may hold the trunk. tensors: by renamed key, values as in the file."""

    layout: Layout
    prefix: str
    tensors: Mapping[str, Tensor]

    def covers(self, wanted: Iterable[str]) -> int:
        return sum(key in self.tensors for key in wanted)


def match(
    trunk: nn.Module,
    file: WeightsFile,
    *,
    heads: Sequence[str] = (),
    prefix: str | None = None,
    layout: str = "auto",
    leave_out: Sequence[str] = (),
    architecture: str = "",
) -> Match:
    """The tensors of a file under the trunk's keys.

    heads: names of the layers on top that the trunk does without. prefix, layout: taken as given unless None or
    `auto`. leave_out: names of parts that the file may hold beside, over those that are known (heads, projections,
    momentum copies, queues). architecture: what the recipe calls the trunk's network. Counters of batch-norm batches
    may be missing: they decide nothing.
    Raises WeightsError that lists every missing, unexpected and wrong-shaped key, and what network the file looks like.
    """
    if prefix and not prefix.endswith("."):
        prefix = f"{prefix}."
    state = trunk.state_dict()
    wanted = [key for key in state if not key.endswith("num_batches_tracked")]
    found = _candidates(file, wanted, layout)
    whole = [candidate for candidate in found if candidate.covers(wanted) == len(wanted)]
    chosen = _choose(file, whole, prefix) or _nearest(file, found, wanted, prefix)
    converted = _converted(file, chosen)
    folded = chosen.tensors.keys() - converted.keys()
    copies = tuple(candidate for candidate in whole if candidate.prefix != chosen.prefix)
    parts = _Parts((*chosen.layout.heads, *heads), copies, frozenset(state), tuple(leave_out))
    left_out, unexpected = _beside(file, chosen, state.keys() | folded, parts)
    tensors, positions = fitted_positions(trunk, {key: value for key, value in converted.items() if key in state})
    refuse_misfit(file, state, tensors, unexpected, architecture)
    return Match(tensors, chosen.layout, chosen.prefix, (*left_out, *file.beside), positions)


def _candidates(file: WeightsFile, wanted: Sequence[str], layout: str) -> list[_Candidate]:
    """Every layout whose mark is in the file, under every prefix that it has there; the surest layout first."""
    allowed = [one for one in LAYOUTS if (one.name == SLUGS.get(layout) if layout != "auto" else not one.by_name)]
    found: list[_Candidate] = []
    for one in allowed:
        mark = one.mark or wanted[0]
        ends = [key.removesuffix(mark) for key in file.tensors if key == mark or key.endswith(f".{mark}")]
        found += [_Candidate(one, prefix, _renamed(file, one, prefix)) for prefix in ends]
    return found


def _renamed(file: WeightsFile, layout: Layout, prefix: str) -> dict[str, Tensor]:
    under = ((key.removeprefix(prefix), value) for key, value in file.tensors.items() if key.startswith(prefix))
    return {layout.rename(key): value for key, value in under}


def _choose(file: WeightsFile, whole: Sequence[_Candidate], prefix: str | None) -> _Candidate | None:
    """The candidate that holds the whole trunk; of a momentum encoder and the one it follows, the latter."""
    by_prefix: dict[str, _Candidate] = {}
    for candidate in whole:
        if prefix in (None, candidate.prefix):
            by_prefix.setdefault(candidate.prefix, candidate)
    firsts = {name: one for name, one in by_prefix.items() if not any(second in name for second in _SECOND)}
    chosen = list((firsts or by_prefix).values())
    if len(chosen) > 1:
        names = ", ".join(f"'{candidate.prefix}'" for candidate in chosen)
        raise WeightsError(
            f"weights file '{file.path}' holds this network {len(chosen)} times, under the prefixes {names}; "
            "choose one with prefix"
        )
    return chosen[0] if chosen else None


def _nearest(file: WeightsFile, found: Sequence[_Candidate], wanted: Sequence[str], prefix: str | None) -> _Candidate:
    """What to compare the trunk with when nothing fits, so that the misfit is short."""
    if prefix and not any(key.startswith(prefix) for key in file.tensors):
        raise WeightsError(
            f"weights file '{file.path}': no key begins with '{prefix}'; the first is '{next(iter(file.tensors), '')}'"
        )
    plain = _Candidate(LAYOUTS[-1], prefix or "", _renamed(file, LAYOUTS[-1], prefix or ""))
    return max((plain, *(one for one in found if prefix in (None, one.prefix))), key=lambda one: one.covers(wanted))


def _converted(file: WeightsFile, chosen: _Candidate) -> dict[str, Tensor]:
    try:
        return chosen.layout.convert(chosen.tensors)
    except WeightsError as error:
        what = f"weights file '{file.path}' ({chosen.layout.name}): {error}"
        raise WeightsError("; ".join([what, *_like(file)])) from error


@dataclass(frozen=True, slots=True)
class _Parts:
    """What may stand beside the trunk: heads by their timm names, other copies of it, what the user names.

    own: the trunk's keys, which a copy has too.
    """

    heads: tuple[str, ...]
    copies: tuple[_Candidate, ...]
    own: frozenset[str]
    named: tuple[str, ...]

    def may_go(self, key: str, part: str, renamed: str) -> bool:
        last = part.rpartition(".")[2]
        known = last in _KNOWN_PARTS or any(second in last for second in _SECOND)
        named = any(f"{key}.".startswith(f"{name.rstrip('.')}.") for name in self.named)
        return known or self._of_head(renamed) or named or any(self._of_copy(key, copy) for copy in self.copies)

    def _of_head(self, renamed: str) -> bool:
        return any(f"{renamed}.".startswith(f"{head}.") for head in self.heads)

    def _of_copy(self, key: str, copy: _Candidate) -> bool:
        renamed = copy.layout.rename(key.removeprefix(copy.prefix))
        return key.startswith(copy.prefix) and (renamed in self.own or self._of_head(renamed))


def _beside(
    file: WeightsFile, chosen: _Candidate, accounted: Iterable[str], parts: _Parts
) -> tuple[tuple[str, ...], list[str]]:
    """Parts of the file that are known and left out, with their numbers of tensors; keys that nobody expects."""
    accounted, counts, unexpected = set(accounted), dict[str, int](), list[str]()
    for key in file.tensors:
        inside = key.startswith(chosen.prefix)
        renamed = chosen.layout.rename(key.removeprefix(chosen.prefix)) if inside else ""
        if renamed in accounted:
            continue
        part = _departure(key, chosen.prefix)
        if parts.may_go(key, part, renamed):
            counts[part] = counts.get(part, 0) + 1
        else:
            unexpected.append(key)
    return tuple(part if count == 1 else f"{part} ({count} tensors)" for part, count in counts.items()), unexpected


def _departure(key: str, prefix: str) -> str:
    """A key up to the first name by which it leaves the prefix: `module.queue` of `module.encoder_q.`."""
    names, along = key.split("."), prefix.split(".")
    shared = next((i for i, name in enumerate(names) if i >= len(along) or name != along[i]), len(names) - 1)
    return ".".join(names[: shared + 1])


def refuse_misfit(
    file: WeightsFile,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    unexpected: Sequence[str],
    architecture: str = "",
) -> None:
    """Raises WeightsError, with every fault listed, unless `tensors` are those of a module's state, shapes and all."""
    missing = [key for key in state if key not in tensors and not key.endswith("num_batches_tracked")]
    misshapen = [key for key, value in tensors.items() if key in state and value.shape != state[key].shape]
    wrong = [f"{key} is {shape(tensors[key])}, expected {shape(state[key])}" for key in misshapen]
    if not missing and not unexpected and not wrong:
        _refuse_whole_numbers(file, state, tensors)
        return
    called = f" '{architecture}'" if architecture else ""
    parts = [f"weights file '{file.path}' does not fit the architecture{called}"]
    for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", wrong)):
        if keys:
            parts.append(f"{len(keys)} {what}: {some(keys)}")
    if not missing and not unexpected and all(_hangs_on_size(key) for key in misshapen):
        raise WeightsError("; ".join([*parts, "they hang on the image size: set data.size to that of the file"]))
    parts += _like(file)
    if architecture:
        parts.append("name the architecture of the file in recipe.architecture, or give a file of this one")
    if architecture and not missing and not wrong:
        parts.append("parts of the file that are not wanted go into leave_out")
    raise WeightsError("; ".join(parts))


def _like(file: WeightsFile) -> tuple[str, ...]:
    """What network the file looks like, as half a sentence; nothing when it cannot be known."""
    likeness = looks_like(file.tensors)
    return (f"the file looks like {likeness}",) if likeness else ()


def _refuse_whole_numbers(file: WeightsFile, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Quantised weights mean nothing without their scales."""
    whole = [
        key
        for key, value in tensors.items()
        if key in state and state[key].is_floating_point() and not value.is_floating_point()
    ]
    if whole:
        raise WeightsError(
            f"weights file '{file.path}' holds whole numbers where weights are: {some(whole)}; save them as floats"
        )


def _hangs_on_size(key: str) -> bool:
    """Whether a tensor has one value a place of the image: position embeddings, absolute or relative."""
    return "pos_embed" in key or "relative_position" in key or "rel_pos" in key
