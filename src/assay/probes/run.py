"""Several probes on one model: their requests are gathered, each environment is read once, then each measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.core.types import Measurement
from assay.probes.probe import Keeping, Model, Probe, Read, Sampled
from assay.probes.reading import ModelReading
from assay.shifts.environment import Scene


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """measurements: probe name -> what it found. reads: environment name -> what the trained network said of it.

    sampled: probe name -> the activations that it keeps, of probes that keep any.
    """

    measurements: dict[str, list[Measurement]]
    reads: dict[str, Read]
    sampled: dict[str, Sampled]


def run_probes(
    model: Model, scene: Scene, probes: Mapping[str, Probe], known: Mapping[str, Read] | None = None
) -> ProbeResult:
    """Read a model once on all that the probes ask for, and measure.

    known: answers of this model kept earlier, by environment name; what they cover is not read again.
    """
    requests = [request for probe in probes.values() for request in probe.requests(model, scene)]
    reading = ModelReading(model, requests, known)
    measurements = {name: probe.measure(reading, scene) for name, probe in probes.items()}
    kept = {name: probe.kept(reading, scene) for name, probe in probes.items() if isinstance(probe, Keeping)}
    sampled = {name: found for name, found in kept.items() if found is not None}
    return ProbeResult(measurements, reading.answered(), sampled)
