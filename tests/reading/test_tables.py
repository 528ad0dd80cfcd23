"""Tables and their columns."""

from __future__ import annotations
