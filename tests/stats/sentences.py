"""Rows of a made-up study, and the sentences that a verdict makes of rows."""

from __future__ import annotations

import json
import math
from typing import Any

from assay.report.sentences.reasons import reason_words
from assay.stats.doubts import study_findings
from assay.stats.findings import finding_row, parse_finding


def verdict(*args: Any, **more: Any) -> list[dict[str, str]]:
    """The cautions and limits of a page, each with its light and evidence, of findings that were written and read."""
    found = [parse_finding(finding_row(one)) for one in study_findings(*args, **more)]
    return [
        {
            "part": "limit" if one.kind == "limit" else "doubt",
            "text": reason_words(one.reason),
            "light": one.light,
            "evidence": one.row or one.table,
            "id": one.id,
        }
        for one in found
    ]


def estimate(
    loss: str, measure: str, value: float, half: float, environment: str = "", factor: str = ""
) -> dict[str, Any]:
    coordinates = json.dumps({"loss": loss, "epochs": "20"})
    low, high = value - half, value + half
    return {
        "recipe": loss,
        "coordinates": coordinates,
        "measure": measure,
        "environment": environment,
        "factor": factor,
        "layer": "",
        "group": "",
        "unit": "",
        "value": value,
        "low": low,
        "high": high,
    }


def contrast(**changes: Any) -> dict[str, Any]:
    row = {
        "id": "c1", "axis": "loss", "a": "arcface", "b": "cross-entropy", "at": "equal-budget", "measure": "auroc",
        "environment": "reversed", "factor": "", "layer": "", "where": '{"epochs": "20"}', "value": -0.22, "low": -0.33,
        "high": -0.11, "standard_error": 0.04, "p": 0.003, "p_holm": 0.01, "seeds": 5, "margin": None,
        "equivalence_level": 0.9, "decision": "lower", "detectable": 0.12, "exploratory": False, "reason": "",
    }  # fmt: skip
    return {**row, **changes}


ESTIMATES = [
    estimate("arcface", "auroc", 0.48, 0.05, "reversed"),
    estimate("cross-entropy", "auroc", 0.70, 0.11, "reversed"),
    estimate("arcface", "sobol-total", 0.68, 0.07, factor="texture"),
    estimate("arcface", "sobol-total", 0.10, 0.05, factor="margin"),
    estimate("cross-entropy", "sobol-total", 0.55, 0.07, factor="margin"),
    estimate("cross-entropy", "sobol-total", 0.50, 0.07, factor="texture"),
]
DOSED = contrast(
    at="dose-response",
    where='{"confounder": "tag"}',
    plain_p=0.002,
    probit_p=0.003,
    p=0.003,
    value=-0.12,
    low=-0.2,
    high=-0.04,
)


def at_dose(loss: str, p: str, value: float) -> dict[str, Any]:
    row = estimate(loss, "auroc", value, 0.02, "reversed")
    return {**row, "recipe": f"{loss} {p}", "coordinates": json.dumps({"loss": loss, "confounder": "tag", "p": p})}


def paired(estimates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Contrasts of each recipe's greatest factor with the others: shown just where the intervals lie apart."""
    rows: list[dict[str, Any]] = []
    for recipe, measure in dict.fromkeys((row["recipe"], row["measure"]) for row in estimates if not row["group"]):
        own = [
            row for row in estimates if (row["recipe"], row["measure"]) == (recipe, measure) and not row.get("group")
        ]
        first, *others = sorted(own, key=lambda row: -row["value"] if row["value"] == row["value"] else math.inf)
        for row in others:
            apart = (first["value"] if math.isnan(first["low"] or math.nan) else first["low"]) > (
                row["value"] if math.isnan(row["high"] or math.nan) else row["high"]
            )
            rows.append(
                {
                    "recipe": recipe,
                    "measure": measure,
                    "factor": first["factor"],
                    "against": row["factor"],
                    "value": first["value"] - row["value"],
                    "p_holm": 0.001 if apart else 0.5,
                    "reason": "",
                }
            )
    return rows


def texts(part: str, contrasts: Any, estimates: Any, *args: Any) -> list[str]:
    rows = verdict(contrasts, estimates, *args, paired=paired(estimates))
    return [row["text"] for row in rows if row["part"] == part]
