"""Rows of a made-up dose-response: its contrasts, half-doses of every kind, and what each confounder took."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from tests.report.made import NAN, Made

from assay.store.files import Row


def dosed(made: Made) -> Iterator[Row]:
    """A dose-response of every loss and confounder; each conclusion once at least."""
    conclusions = itertools.cycle(("lower", "depends on the scale", "not shown", "undefined"))
    for confounder, loss in itertools.product(dict(made.more)["confounder"], made.losses[1:]):
        conclusion, where = next(conclusions), {"confounder": confounder}
        lost = conclusion == "undefined"
        p = {"lower": (0.001, 0.002), "depends on the scale": (0.001, 0.4)}.get(conclusion, (0.3, 0.4))
        plain, probit = (NAN, NAN) if lost else p
        yield {
            "id": f"d05e-{confounder}-{loss}", "axis": "loss", "a": loss, "b": made.losses[0], "at": "dose-response",
            "statement": f"{loss} against {made.losses[0]}: change in AUROC from p = 0 in reversed, "
            f"confounder {confounder}",
            "measure": "auroc", "environment": "reversed", "factor": "", "layer": "", "where": json.dumps(where),
            "value": NAN if lost else -0.1, "low": NAN if lost else -0.16, "high": NAN if lost else -0.04,
            "standard_error": 0.02, "df": 5.0, "p": max(plain, probit), "plain_p": plain, "probit_p": probit,
            "p_holm": max(plain, probit), "family": "stated", "seeds": made.seeds, "left_out": 0, "patients": 1000,
            "paired_patients": 1000, "sign_flip_p": 0.0625, "sign_flip_min_p": 0.0625, "margin": NAN,
            "equivalence_p": NAN, "equivalence_level": NAN, "equivalence_low": NAN, "equivalence_high": NAN,
            "noninferiority_p": NAN, "conclusion": conclusion, "detectable": 0.11,
            "exploratory": False, "exhausted": "", "reason": "no seed was kept" if lost else "",
        }  # fmt: skip


HALF_DOSES = (
    {"value": 0.43, "low": 0.31, "high": 0.6, "beyond": "", "text": ".43 [.31, .60]"},
    {"value": 0.8, "low": 0.62, "high": NAN, "beyond": "high", "text": ".80 [.62, > 1]"},
    {"value": NAN, "low": 0.91, "high": NAN, "beyond": "value", "text": "> 1 [.91, > 1]"},
    {"value": NAN, "low": NAN, "high": NAN, "beyond": "low", "text": "> 1"},
    {"value": NAN, "low": NAN, "high": NAN, "beyond": "", "text": "undefined",
     "reason": "the value at p = 0, .51 [.47, .55], is not clear of chance (.50)"},
)  # fmt: skip


def half_doses(made: Made) -> Iterator[Row]:
    """One of every kind, in turn."""
    if "p" not in dict(made.more):
        return
    kinds = itertools.cycle(HALF_DOSES)
    confounders = dict(made.more)["confounder"]
    for environment, loss, confounder in itertools.product(made.environments, made.losses, confounders):
        yield {
            "recipe": f"{loss} · {confounder}", "coordinates": json.dumps({"loss": loss, "confounder": confounder}),
            "axis": "p", "measure": "auroc", "environment": environment, "greatest": 1.0, "margin": 0.4,
            "chance": 0.5, "seeds": made.seeds, "patients": 1000, "reason": "", **next(kinds),
        }  # fmt: skip


def dose_changes(made: Made) -> Iterator[Row]:
    """The tag takes .2, the other confounder nothing."""
    if "p" not in dict(made.more):
        return
    confounders = dict(made.more)["confounder"]
    for environment, loss, confounder in itertools.product(made.environments, made.losses, confounders):
        value = -0.2 if confounder == "tag" else 0.01
        yield {
            "recipe": f"{loss} · {confounder}", "coordinates": json.dumps({"loss": loss, "confounder": confounder}),
            "axis": "p", "doses": json.dumps([float(p) for p in dict(made.more)["p"] if float(p)]), "measure": "auroc",
            "environment": environment, "value": value, "low": value - 0.1,
            "high": value + 0.1, "seeds": 3, "patients": 1000, "reason": "",
            "per_seed": json.dumps({seed: value + 0.03 * (seed - 1) for seed in range(3)}),
        }  # fmt: skip


def dose_counts(made: Made) -> Iterator[Row]:
    """A tag on exactly a share of 150, and another confounder that is drawn."""
    for confounder in dict(made.more).get("confounder", ()) if "p" in dict(made.more) else ():
        for p in dict(made.more)["p"]:
            for name, share in (("benign", 0.0), ("malignant", float(p))):
                exact = round(150 * share)
                around = 0 if confounder == "tag" or not exact else 4
                at = {"loss": made.losses[0], "confounder": confounder, "p": p}
                yield {
                    "recipe": " · ".join(at.values()), "coordinates": json.dumps(at), "factor": confounder,
                    "target": name, "least": exact - around, "most": exact, "fewest_images": 150, "most_images": 150,
                }  # fmt: skip
