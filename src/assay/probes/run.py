"""Several probes on one model: their requests are gathered, each environment is read once, then each measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.core.types import Measurement
from assay.probes.probe import Model, Probe, Read
from assay.probes.reading import ModelReading
from assay.shifts.environment import Scene


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """measurements: probe name -> what it found. reads: environment name -> what the trained network said of it."""

    measurements: dict[str, list[Measurement]]
    reads: dict[str, Read]


def run_probes(
    model: Model, scene: Scene, probes: Mapping[str, Probe], known: Mapping[str, Read] | None = None
) -> ProbeResult:
    """Read a model once on all that the probes ask for, and measure.

    known: answers of this model kept earlier, by environment name; what they cover is not read again.
    """
    requests = [request for probe in probes.values() for request in probe.requests(model, scene)]
    reading = ModelReading(model, requests, known)
    measurements = {name: probe.measure(reading, scene) for name, probe in probes.items()}
    return ProbeResult(measurements, reading.answered())
