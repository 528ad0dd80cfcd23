"""Classes, and which one is positive."""

from __future__ import annotations
