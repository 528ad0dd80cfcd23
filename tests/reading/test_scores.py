"""Scores and outputs of models."""

from __future__ import annotations
