"""Warnings of libraries that read images are counted, and said once."""

from __future__ import annotations

import logging

import pytest

from assay.data.files.readers import CountedWarnings


def test_the_first_warning_of_a_library_is_said_and_the_others_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    counted = CountedWarnings()
    for name in ("lib.pages", "lib.tags", "other"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(counted)
        for number in range(1500 if name != "other" else 1):
            logger.warning("circular page %d\nand more", number)
        logger.removeHandler(counted)
    counted.close()
    said = capsys.readouterr().err.splitlines()
    assert said == ["lib: circular page 0 and more", "other: circular page 0 and more", "lib warned 3,000 times"]
