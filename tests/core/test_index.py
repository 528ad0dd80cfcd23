"""The index of components says what their code says, and no check of a spec imports the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import assay
from assay.core.index import index_text
from assay.plugin import entries, lookup


def test_the_index_is_that_of_the_code() -> None:
    index = Path(assay.__file__).with_name("index.json")
    assert index.read_text(encoding="utf-8") == index_text(), "components changed: run `make index` and commit it"


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: f"{entry.kind} {entry.name}")
def test_arguments_from_the_index_are_those_of_the_code(entry) -> None:
    indexed, complete = entry.params, entry.complete().model
    assert list(indexed.model_fields) == list(complete.model_fields)
    for name, field in indexed.model_fields.items():
        own = complete.model_fields[name]
        assert field.description == own.description
        assert field.description, f"{entry.name}: {name} has no description"
        assert field.is_required() == own.is_required()
        assert field.default == own.default
        assert type(field.default) is type(own.default)
    assert indexed.roles == complete.roles


@pytest.mark.slow
def test_wrong_arguments_are_refused_without_code_and_contradictions_with_it() -> None:
    program = (
        "import sys\nfrom assay.core.registry import lookup\nentry = lookup('loss', 'triplet')\n"
        "entry.params.model_validate({'soft': True, 'margin': 0.5})\n"
        "for given in ({'margin': 0}, {'mining': 'easy'}, {'soft': 'perhaps'}, {'marging': 1}):\n"
        "    try:\n        entry.params.model_validate(given)\n"
        "    except ValueError:\n        print('refused', 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["refused False"] * 4
    with pytest.raises(ValidationError, match=r"margin: 0\.5 has no effect with soft: true"):
        lookup("loss", "triplet").validate({"soft": True, "margin": 0.5})
