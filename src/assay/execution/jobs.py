"""The two jobs of a study: train one trial, probe one trained model. Each leaves records; run again, it continues."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.core.hashing import canonical_json
from assay.core.registry import build
from assay.core.spec import Component, DataSpec, EnvironmentSpec, TrainingSpec
from assay.data.cache import ArrayCache
from assay.execution.tasks import Context, Stopped
from assay.recipes.initialisation import initialised_network
from assay.recipes.train import Diverged, Fitted, ProgressReport, fit
from assay.store.files import write_json, write_parquet
from assay.store.folder import RunFolder
from assay.shifts.population import Population, open_population

LIBRARIES = ("assay", "torch", "numpy", "scipy", "timm", "pytorch-metric-learning", "scikit-learn", "duckdb")
