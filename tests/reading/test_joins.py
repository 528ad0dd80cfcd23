"""Joining tables, images and masks."""

from __future__ import annotations
