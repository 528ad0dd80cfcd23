"""The run folder passes the conformance suite of stores, and stores that are not atomic do not."""

from __future__ import annotations

import pytest
from tests.store.stores import StoreConformance

pytestmark = pytest.mark.slow


class TestRunFolder(StoreConformance):
    pass
