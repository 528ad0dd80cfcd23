"""English of pictures: captions made from the facts in a row of `schema.PICTURES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assay.core.errors import others
from assay.report.sentences.reasons import ISSUES, row_words
from assay.stats.format import count, in_words, join_words, number
from assay.stats.rows import Row, json_object

Facts = Mapping[str, Any]


def caption(row: Row, head: str = "") -> str:
    """Return the caption of a picture, also its description for readers who do not see it.

    Args:
        row: A row of `schema.PICTURES`.
        head: What a sheet is of, in words; the name in its facts where empty.
    """
    facts = json_object(row["facts"])
    return CAPTIONS[row["kind"]](row, {**facts, "head": head} if head else facts)


def _sheet(row: Row, facts: Facts) -> str:
    rows_shown, images = facts["rows"], facts["images"]
    of = f"{in_words(facts['target'])} " if all(label.isdigit() for label in rows_shown) else ""
    counts = [f"{n} of {label}" if label.isdigit() else f"{n} {label}" for label, n in facts["counts"].items()]
    if facts["rest"]:
        counts.append(f"{sum(facts['rest'].values())} of {others(tuple(facts['rest']))}")
    text = f"{facts['head']}: rows are {of}{', then '.join(rows_shown)}. {images} images ({', '.join(counts)})."
    text += "".join(_describe_marks(facts["marks"]))
    text += f" These are the images of the first of {facts['folds']} folds." if facts["folds"] > 1 else ""
    return text + (" White: the outline of the mask." if facts["masks"] else "")


def _describe_marks(marks: Mapping[str, Mapping[str, Sequence[bool]]]) -> Iterator[str]:
    """Return for each mark ` From the left, tag is on none of absent and on 1 and 3 of present.`"""
    for name, by_class in marks.items():
        every = [on_image for on in by_class.values() for on_image in on]
        alike = "every image" if all(every) else "no image"
        of_each = ", ".join(f"{_which(on)} of {label}" for label, on in by_class.items())
        yield f" From the left, {name} is on {alike if len(set(every)) == 1 else of_each}."


def _which(on: Sequence[bool]) -> str:
    """Return `none`, `all`, `1, 3 and 4`."""
    numbers = [str(i) for i, is_on in enumerate(on, start=1) if is_on]
    return "none" if not numbers else "all" if len(numbers) == len(on) else join_words(numbers)


def _source(row: Row, facts: Facts) -> str:
    return (
        f"{row['environment']}: {facts['images']:,} images of {facts['classes']} classes, {facts['epochs']} epochs; "
        f"one image each of {facts['shown']}."
    )


def _copies_caption(row: Row, facts: Facts) -> str:
    contradicting, framed = facts["contradicting"], facts["framed"]
    of = f"{count(facts['pictures'], 'picture')} that several files hold"
    of += f" ({contradicting:,} with contradicting labels)" if contradicting else ""
    part = f"{facts['first']} to {facts['first'] + len(framed) - 1} of " if len(framed) < facts["pictures"] else ""
    text = f"{part}{of}: two of the files, one above the other"
    return text + (f"; from the left, labels contradict in {_which(framed)} (framed)." if any(framed) else ".")


def _confounder_caption(row: Row, facts: Facts) -> str:
    return f"{row['factor']}: the same {facts['images']} test images without it, with it, and {_difference(facts)}."


def _mark_caption(row: Row, facts: Facts) -> str:
    name = in_words(row["factor"]).replace("-", " ")
    return f"{name}: {facts['images']} images without it (left) and with it (right)."


def _pair_caption(row: Row, facts: Facts) -> str:
    ends = f"{facts['low']}, {facts['high']}"
    return f"{in_words(row['factor'])}: {ends}, and {_difference(facts)}. All else is the same."


def pair_ends(row: Row) -> str:
    """Return the two ends of a pair in short: `0.1 → 0.9; difference × 2`."""
    facts = json_object(row["facts"])
    return f"{facts['low']} → {facts['high']}; difference × {facts['times']:g}"


def _difference(facts: Facts) -> str:
    return f"the difference × {facts['times']:g} (mid-gray: none, lighter: brighter)"


def _outline_caption(row: Row, facts: Facts) -> str:
    example = f"{'lesion' if facts['lesion'] else 'no lesion'}, {facts['example']}"
    recipes = "; ".join(f"{recipe} {_describe_call(call)}" for recipe, call in facts["recipes"].items())
    return f"{row['environment']}, {example}: the image, then {recipes}. White: truth; orange: called."


def _describe_call(facts_of: Facts) -> str:
    """Return `Dice 0.81` of a lesion; of none the share of the image that is called, or `nothing`."""
    if "dice" in facts_of:
        return f"Dice {number(facts_of['dice'])}"
    return f"{number(100 * facts_of['called'], 1)}% called" if facts_of["called"] else "nothing"


def _heat_map(row: Row, facts: Facts) -> str:
    recipes = "; ".join(f"{recipe} {_lesion_share_words(on_lesion)}" for recipe, on_lesion in facts["recipes"].items())
    return (
        f"{row['factor']}, {row['environment']}, image {facts['image']}: with the lesion's outline, then {recipes}. "
        f"Black is 0, the lightest {number(facts['times'], 0)} times the map's mean, for all alike."
    )


def _lesion_share_words(facts_of: Facts) -> str:
    """Return `0.43 of it on the lesion (chance 0.05; fails the sanity check)`."""
    if not facts_of:
        return "without a map"
    failed = "; fails the sanity check" if facts_of["fails"] else ""
    return f"{number(facts_of['mass'])} of it on the lesion (chance {number(facts_of['area'])}{failed})"


def _case(row: Row, facts: Facts) -> str:
    head = f"{row_words([str(facts['row'])], *_words_for_rows(facts))}: " if "row" in facts else ""
    head += "" if "area" in facts else f"{in_words(facts['truth'])}, predicted "
    after = f"; with the mark {_answer(facts['marked'])}" if "marked" in facts else ""
    return f"{head}{_answer(facts)}{after}"


def _answer(facts: Facts) -> str:
    """Return `benign (0.93)`, or what is predicted of a mask."""
    if "area" not in facts:
        return f"{in_words(facts['called'])} ({number(facts['probability'])})"
    predicted = f"{100 * facts['area']:.3g}% predicted"
    if facts["dice"] is None:
        return f"no lesion, {predicted}"
    true = f", {100 * facts['lesion']:.3g}% true" if "lesion" in facts else ""
    return f"Dice {number(facts['dice'])}; of the image {predicted}{true}"


def _describe_suspects(row: Row, facts: Facts) -> str:
    side = "from the left, " if len(facts["rows"]) > 1 else ""
    rows_text = row_words([f"{row:,}" for row in facts["rows"]], *_words_for_rows(facts))
    cue = f"; {facts['against']} of them contradict a simple cue" if "against" in facts else ""
    return f"{count(facts['images'], 'image')}: {ISSUES[facts['kind']]}{cue}; {side}{rows_text}."


def _cue_caption(row: Row, facts: Facts) -> str:
    half = len(facts["rows"]) // 2
    most, least = (
        row_words([f"{at:,}" for at in some], *_words_for_rows(facts))
        for some in (facts["rows"][:half], facts["rows"][half:])
    )
    ends = f"the images with most (first row: {most}) and least (second row: {least})"
    return f"{facts['cue']}: {ends}. Orange: the pixels that it counts."


def _words_for_rows(facts: Facts) -> tuple[str, str]:
    """Return the word for a row of the images, and what counts them."""
    return facts.get("word", ""), facts.get("where", "")


def _masks_caption(row: Row, facts: Facts) -> str:
    return f"{count(len(facts['rows']), 'image')} with the outline of the mask (white), in the order of the rows."


CAPTIONS: Mapping[str, Callable[[Row, Facts], str]] = {
    "sheet": _sheet,
    "source": _source,
    "copies": _copies_caption,
    "found": _describe_suspects,
    "masks": _masks_caption,
    "cue": _cue_caption,
    "confounder": _confounder_caption,
    "mark": _mark_caption,
    "pair": _pair_caption,
    "outline": _outline_caption,
    "heat-map": _heat_map,
    "case": _case,
}
"""Kind of picture -> its caption from its row and facts."""
