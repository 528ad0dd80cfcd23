from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from assay.plugin import SpecError
from assay.spec.yaml import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # the examples of YAML 1.2.2, section 10.3.2, and what YAML 1.1 reads otherwise
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("~", None),
        ("null", None),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("0.5", 0.5),
        ("1.", 1.0),
        ("-0.25", -0.25),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("5mm", "5mm"),
        ("1e", "1e"),
        ("=", "="),
        ("<<", "<<"),
        ("0b1", "0b1"),
        (".5e3", 500.0),
        ("!!str 5", "5"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found, _ = parse_yaml(f"a: {text}", "f")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab :#-é{"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(plain_values)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    # An independent writer: whatever it quotes or not, the values come back (it writes floats with a point).
    assert parse_yaml(pyyaml.safe_dump({"v": value}), "f")[0] == {"v": value}


def test_every_value_has_its_line() -> None:
    _, places = parse_yaml("a:\n  - x\n  - b: 1\n    c:\n      2\n", "f.yaml")
    assert places[("a",)] == "f.yaml:1"
    assert places[("a", 0)] == "f.yaml:2"
    assert places[("a", 1, "b")] == "f.yaml:3"
    assert places[("a", 1, "c")] == "f.yaml:4"


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(
        SpecError, match=r"^f:\d: aliases make this value endless or larger than 20000 values; write it"
    ):
        parse_yaml("\n".join(lines), "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\nb: 4", "f:3: key 'a' appears twice, first at f:1; keep one of the two\n"
                                   "f:4: key 'b' appears twice, first at f:2; keep one of the two"),
        ("a:\n\t- b", "f:2: a tab indents this line; YAML allows spaces only: replace the tab by spaces"),
        ("[a]: b", "f:1: a list or mapping cannot be a key; write `key: value`"),
        ("a: !!str [b]", "f:1: tag 'tag:yaml.org,2002:str' is not allowed: a study holds plain values only"),
        ("a: !!binary aGk=", "f:1: tag 'tag:yaml.org,2002:binary' is not allowed: a study holds plain values only"),
        ("a: !!map b", "f:1: tag 'tag:yaml.org,2002:map' is not allowed: a study holds plain values only"),
        ("a: !mine b", "f:1: tag '!mine' is not allowed: a study holds plain values only"),
        ("a: *b", "f:1: found undefined alias 'b'; a text that begins with * or & needs quotes"),
        ("a: 1\nb: " + "[" * 3000, "f:2: nested too deeply; a study needs fewer than 20 levels"),
        (f"a: !<{'x' * 900_000}> 1", "f: over 1,000 characters without a blank after '!', as no tag has"),
        ("[" * 60 + "]" * 60, "f:1: nested too deeply; a study needs fewer than 20 levels"),
        ("a: [" + "1," * 50_000 + "]", "f:1: over 20,000 values, more than a study file has"),
        ("a: !!int b", "f:1: 'b' has the tag of another kind: leave the tag out"),
        ("a: !!float b", "f:1: 'b' has the tag of another kind: leave the tag out"),
        ("a: !!bool b", "f:1: 'b' has the tag of another kind: leave the tag out"),
        ('a: "\\ud800"', "f:1: U+D800 is half a character: write the whole one"),
        ('"\\udfff": b', "f:1: U+DFFF is half a character: write the whole one"),
        ('a: "\\U0011ffff"', "f: holds what YAML forbids: chr() arg not in range(0x110000)"),
        ("x" * 1_000_001, "f: over 1,000,000 characters, more than a study file has"),
    ],
)  # fmt: skip
def test_texts(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value) == said


@pytest.mark.parametrize("text", [f"%YAML 1.{'9' * 5000}\n---\na: 1", f"a: *{'b' * 5000}", f"a: !{'b' * 5000} c"])
def test_a_refusal_is_short(text: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_yaml(text, "f")
    assert len(str(refused.value)) < 300


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    (tmp_path / "nul.yaml").write_bytes(b"a: \x00")
    for name, said in (
        ("latin.yaml", "not UTF-8 text (byte 3); save the file as UTF-8"),
        ("nul.yaml", "holds what YAML forbids: unacceptable character #x0000: special characters are not"),
        ("", "cannot be read: Is a directory"),
    ):
        with pytest.raises(SpecError) as caught:
            read_yaml(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {said}")


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: a\r\nseeds: 3\r\n")
    assert read_yaml(tmp_path / "a.yaml").values == {"name": "a", "seeds": 3}
