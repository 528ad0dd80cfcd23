"""The run folder passes the conformance suite of stores, and stores that are not atomic do not."""

from __future__ import annotations

from assay.testing.store import StoreConformance


class TestRunFolder(StoreConformance):
    pass
