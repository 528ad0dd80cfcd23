"""A preview tells what there will be, in text, in JSON and on a page of its own."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.execution.small import write_spec


@pytest.fixture
def spec(tmp_path: Path, study_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    return write_spec(tmp_path, question="Is 1 < 2 & 3 > 2?")


class Seen(HTMLParser):
    """Counts tags, and gathers addresses and table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.numbers: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["td"]:
            self.numbers += [int(data)] if data.strip().isdigit() else []


def test_text_json_and_page_tell_the_same(ask: Asking, spec: Path) -> None:
    text = ask("preview", spec)
    assert text.code == 0
    facts = json.loads(ask("preview", spec, "--json", "--workers", "2").out)
    assert (facts["trials"], facts["to_train"], facts["workers"]) == (6, 6, 2)
    assert [row["environment"] for row in facts["environments"]] == ["train", "same", "reversed"]
    ties = [tie for row in facts["environments"] for tie in row["achieved"]]
    for row in facts["environments"]:
        for tie in row["achieved"]:
            assert sum(cell["rows"] for cell in tie["counts"]) == row["images"] == tie["kept"]
            assert tie["low"] <= tie["strength"] <= tie["high"]
            assert f"asked {tie['asked']:+.2f}, achieved {tie['strength']:+.2f}" in text.out
    (power,) = facts["power"]
    assert f"  {power['statement']}: {power['detectable']}" in text.out
    assert re.search(r"6 trials, of which 6 are to be trained: about .+ with \d+ workers?", text.out)
    assert all(Path(picture).is_file() for picture in facts["pictures"])

    page = Path(facts["preview"]).read_text()
    assert text.out.splitlines()[-1] == f"preview: {facts['preview']}"
    assert "Is 1 &lt; 2 &amp; 3 &gt; 2?" in page
    seen = Seen(page)
    assert seen.tags.count("img") == len(facts["pictures"])
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert sorted(seen.numbers) == sorted(cell["rows"] for tie in ties for cell in tie["counts"])
    assert not (spec.parent / "runs" / "small" / "study.json").exists()


def test_nothing_is_to_be_trained_in_a_finished_run(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    assert "6 trials, all done: nothing to train" in ask("preview", write_spec(tmp_path)).out
