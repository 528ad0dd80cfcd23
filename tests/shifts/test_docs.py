"""The page on interventions says what the catalog has."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from assay.core.registry import build, entries, lookup
from assay.core.seeds import row_uniform
from assay.shifts.intervention import draw

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/interventions.md").read_text(encoding="utf-8")
MARKED = np.ones(3, dtype=bool)
NAMES = [entry.name for entry in entries("intervention")]
MARKS = PAGE.split("\n## Marks\n", 1)[1].split("\n### ", 1)[0]
SHARED = {name: row for name, *row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", MARKS, flags=re.MULTILINE)}


def told(value):
    """A default as the tables write it."""
    if isinstance(value, tuple):
        return f"[{', '.join(f'{part:g}' for part in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(schema):
    """What an argument takes, as the tables write it."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        return f"{schema['minItems']} to {schema['maxItems']} values"
    if schema["type"] == "string":
        return f"{schema['minLength']} to {schema['maxLength']} characters"
    whole = "whole, " if schema["type"] == "integer" else ""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{whole}{low:g} to {high:g}"
    ends = [("from", low), ("above", schema.get("exclusiveMinimum"))]
    ends += [("to", high), ("below", schema.get("exclusiveMaximum"))]
    return whole + ", ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def test_the_page_has_every_intervention_once():
    assert sorted(re.findall(r"^### `([\w-]+)`$", PAGE, flags=re.MULTILINE)) == NAMES


def test_the_table_of_the_taxonomy_is_that_of_the_traits():
    section = PAGE.split("## Local or global, patient or environment\n", 1)[1].split("\n## ", 1)[0]
    rows = dict(re.findall(r"^\| (patient|environment) \| (.+) \|$", section, flags=re.MULTILINE))
    written = {
        (extent, origin): re.findall(r"`([\w-]+)`", cell)
        for origin, row in rows.items()
        for extent, cell in zip(("local", "global"), row.split(" | "), strict=True)
    }
    held = {places: [] for places in written}
    for entry in entries("intervention"):
        held[entry.traits.extent, entry.traits.origin].append(entry.name)
    assert written == held
    assert sum(map(len, written.values())) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_global_intervention_may_change_every_pixel_and_a_local_one_may_not(name):
    drawn = draw(name, build("intervention", name, {}), MARKED, np.arange(3), 0, (3, 96, 96))
    everywhere = bool(drawn.mask(np.arange(3)).all())
    assert everywhere == (lookup("intervention", name).traits.extent == "global")


@pytest.mark.parametrize("name", [entry.name for entry in entries("distortion")])
def test_every_distortion_has_its_place_in_the_taxonomy(name):
    traits = lookup("distortion", name).traits
    assert (traits.extent in ("local", "global"), traits.origin in ("patient", "environment")) == (True, True)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_stands_with_its_default_what_it_takes_and_what_it_means(name):
    section = PAGE.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$", section, flags=re.MULTILINE)
    for given in re.findall(r"^\[Shared\]\(#marks\): (.+)\.$", section, flags=re.MULTILINE):
        rows += [(argument, default, *SHARED[argument]) for argument, default in re.findall(r"`(\w+)` ([^,]+)", given)]
    params = lookup("intervention", name).params
    fields, schema = params.model_fields, params.model_json_schema()["properties"]
    assert sorted(rows) == sorted(
        (argument, told(field.default), allowed(schema[argument]), field.description)
        for argument, field in fields.items()
    )


def test_the_sheet_is_there_and_light():
    file = ROOT / "docs/images/interventions.png"
    assert file.stat().st_size < 400_000
    with Image.open(file) as sheet:
        assert sheet.width >= 1000


def test_the_function_of_the_how_to_does_what_it_says(tmp_path, monkeypatch):
    page = (ROOT / "docs/how-to/add-an-intervention.md").read_text(encoding="utf-8")
    block = re.search(r'^```python\n("""my_fog.py""".*?)^```$', page, flags=re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "my_fog.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    fog = draw("fog", build("intervention", "my_fog:fog", {"most": 0.3}), MARKED, np.arange(3), 0, (1, 16, 16))
    out = fog.apply(torch.zeros(3, 1, 16, 16), np.arange(3))
    assert out[:, 0, 5, 5].tolist() == pytest.approx((0.3 * 0.7 * row_uniform(0, "fog:amount", np.arange(3))).tolist())
