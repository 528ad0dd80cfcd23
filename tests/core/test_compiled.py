"""Loops are compiled where nothing can be kept, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import pytest

from assay.core.compiled import compiled


@pytest.mark.slow
def test_a_loop_is_compiled_where_there_is_no_place_to_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = numba.njit

    def homeless(*given: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'doubled': no locator available for file")
        return real(*given, **options)

    monkeypatch.setattr(numba, "njit", homeless)

    def doubled(number: int) -> int:
        return 2 * number

    assert compiled(doubled)(21) == 42
