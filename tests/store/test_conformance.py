"""The run folder passes the conformance suite of stores, and stores that are not atomic do not."""

from __future__ import annotations

import pytest

from assay.testing.store import StoreConformance

pytestmark = pytest.mark.slow


class TestRunFolder(StoreConformance):
    pass
