"""The title of a study is the effect that all recipes share, then the decisions on what was asked; on tables."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from tests.report.test_words import row as comparison

from assay.plugin import Code, Reason
from assay.report.blocks import cell
from assay.report.context import PageContext
from assay.report.words import comparison_line, headline
from assay.stats.format import number
from assay.store.kinds import kinds

Row = dict[str, Any]
LOSSES = ("cross-entropy", "triplet", "arcface")
STRENGTHS = {"train": 0.9, "same": 0.9, "neutral": 0.0, "reversed": -0.9}
CLEAN = {"same": (0.98, 0.97, 0.98), "neutral": (0.72, 0.7, 0.71)}


def estimate(loss: str, measure: str, environment: str, value: float, half: float = 0.05, **more: Any) -> Row:
    place = {"factor": "", "level": "", "layer": "", "group": "", "reason": ""}
    return {
        "recipe": loss,
        "coordinates": json.dumps({"loss": loss}),
        "measure": measure,
        "environment": environment,
        "value": value,
        "low": value - half,
        "high": value + half,
        "seeds": 12,
        **place,
        **more,
    }


def study(
    values: dict[str, tuple[float, ...]],
    contrasts: list[Row] | None = None,
    losses: tuple[str, ...] = LOSSES,
    measure: str = "auroc",
    more: tuple[Row, ...] = (),
    half: float = 0.05,
    sets: dict[str, str] | None = None,
) -> PageContext:
    environments = [
        {
            "environment": name,
            "recipe": "",
            "factor": "texture",
            "target": "malignant",
            "asked": strength,
            "held": "",
            "strength": strength,
            "set": (sets or {}).get(name, ""),
        }
        for name, strength in STRENGTHS.items()
    ]
    trials = [
        {"recipe": loss, "seed": seed, "status": "done", "coordinates": json.dumps({"loss": loss})}
        for loss in losses
        for seed in range(12)
    ]
    estimates = [
        estimate(loss, measure, name, value, half)
        for name, each in values.items()
        for loss, value in zip(losses, each, strict=True)
    ]
    asked = [{"id": str(at), **row} for at, row in enumerate(contrasts or [])]
    tables = {"environments": environments, "trials": trials, "estimates": [*estimates, *more],
              "contrasts": asked, "provenance": [], "added": []}  # fmt: skip
    return PageContext(tables, Path("study"), kinds()["study"])


EQUAL = comparison("equivalent", a="arcface")
DECODED = comparison("higher", a="triplet", measure="decodability", factor="position_x", layer="trunk", environment="")
MARKED = comparison("lower", a="triplet", measure="dice-one", environment="neutral")
OVERLAP = tuple(estimate(loss, "dice", "neutral", 0.7) for loss in LOSSES)
RELIED = tuple(estimate(loss, "flip-rate", "", 0.3, factor="texture") for loss in LOSSES)
STUDIES: dict[str, tuple[PageContext, str]] = {
    "fall": (study({**CLEAN, "reversed": (0.36, 0.32, 0.34)}, [DECODED, EQUAL]),
             "With all three losses AUROC fell from between 0.97 and 0.98 to between 0.32 and 0.36 when texture was "
             "reversed."),
    "reliance": (study({**CLEAN, "reversed": (0.36, 0.32, 0.34)}, [EQUAL], more=RELIED),
                 "With all three losses networks rely on texture: AUROC fell from between 0.97 and 0.98 to between "
                 "0.32 and 0.36 when texture was reversed."),
    "reliance of some": (study({**CLEAN, "reversed": (0.36, 0.32, 0.34)}, more=RELIED[:1]),
                         "With all three losses AUROC fell from between 0.97 and 0.98 to between 0.32 and 0.36 when "
                         "texture was reversed."),
    "worst of two": (study({**CLEAN, "reversed": (0.6, 0.6, 0.6), "neutral": (0.5, 0.5, 0.5)}),
                     "With all three losses AUROC fell from between 0.97 and 0.98 to 0.50 when texture was "
                     "uninformative."),
    "not all": (study({"same": CLEAN["same"], "reversed": (0.96, 0.32, 0.34)}, [EQUAL]),
                "ArcFace and cross-entropy are equivalent in AUROC with texture reversed, within 0.05."),
    "two equal to one base": (
        study({"same": CLEAN["same"]}, [EQUAL, comparison("equivalent", a="triplet")]),
        "ArcFace and triplet are each equivalent to cross-entropy in AUROC with texture reversed, within 0.05."),
    "left empty": (
        study({"neutral": (0.4, 0.6, 0.6)}, [MARKED], measure="left-empty"),
        "Fewer lesion-free images are left empty with triplet than with cross-entropy."),
    "overlap and left empty": (
        study({"neutral": (0.4, 0.6, 0.6)}, [MARKED], measure="left-empty", more=OVERLAP),
        "Dice with empty pairs scored 1 with texture uninformative is lower with triplet than with cross-entropy."),
    "equal in another condition": (
        study({"same": CLEAN["same"]}, [EQUAL, comparison("equivalent", a="triplet", environment="same")]),
        "ArcFace and cross-entropy are equivalent in AUROC with texture reversed, within 0.05."),
    "one of two decided": (
        study({"same": CLEAN["same"]}, [EQUAL, comparison("inconclusive", a="triplet")]),
        "ArcFace and cross-entropy are equivalent in AUROC with texture reversed, within 0.05."),
    "wide intervals": (study({"same": CLEAN["same"], "reversed": (0.8, 0.8, 0.8)}, [EQUAL], half=0.1),
                       "ArcFace and cross-entropy are equivalent in AUROC with texture reversed, within 0.05."),
    "decided on what layers hold": (
        study({"same": CLEAN["same"]}, [DECODED, comparison("inconclusive")]),
        "Whether SupCon differs from cross-entropy in AUROC with texture reversed is inconclusive."),
    "asked of layers alone": (study({"same": CLEAN["same"]}, [DECODED]),
                              "Decodability of position x at trunk is higher with triplet than with cross-entropy."),
    "one recipe": (study({"same": (0.9,), "reversed": (0.4,)}, losses=("cross-entropy",)),
                   "AUROC fell from 0.90 to 0.40 when texture was reversed."),
    "one recipe, and nothing asked": (study({"same": (0.9,)}, losses=("cross-entropy",)),
                                      "AUROC was 0.90 [0.85, 0.95] with texture as in training."),
    "segmentation": (study({"same": (0.8, 0.8, 0.8), "reversed": (0.2, 0.3, 0.25)}, measure="dice"),
                     "With all three losses Dice fell from 0.80 to between 0.20 and 0.30 when texture was reversed."),
}  # fmt: skip


def answers(context: PageContext) -> list[str]:
    account = context.page.text(context)
    return [account.verdict, *account.opening.more]


@pytest.mark.parametrize("name", STUDIES)
def test_the_title_is_the_shared_effect_then_a_decision_on_what_networks_do(name: str) -> None:
    context, title = STUDIES[name]
    assert answers(context)[0] == title


NONE = math.nan


@pytest.mark.parametrize(
    ("there", "half", "answer"),
    [
        ((0.60, 0.70), 0.05, "Networks did worse in site b: AUROC of cross-entropy was 0.60 [0.55, 0.65] in site b, "
         "and 0.98 [0.93, 1.03] in held-out images of the training set (difference: -0.38 [-0.45, -0.31])."),
        ((0.97, 0.99), 0.01, "Networks did as well in site b, within 0.05: AUROC of cross-entropy was"),
        ((0.97, 0.60), 0.01, "Whether networks do as well in site b cannot be said: AUROC"),
        ((0.60, 0.60), NONE, "Whether networks do as well in site b cannot be said: AUROC"),
        ((0.95, 0.95), 0.04, "Whether networks do as well in site b cannot be said: AUROC"),
        ((0.90, 0.90), 0.04, "Networks did worse in site b, perhaps by less than 0.05: AUROC"),
    ],
    ids=["worse", "as well", "recipes differ", "no interval", "too wide", "perhaps little"],
)  # fmt: skip
def test_a_study_with_another_set_answers_whether_networks_work_there(
    there: tuple[float, float], half: float, answer: str
) -> None:
    values = {"same": (0.98, 0.98), "neutral": there}
    context = study(values, losses=LOSSES[:2], half=half, sets={"neutral": "site b"})
    assert answers(context)[0].startswith(answer)


@pytest.mark.parametrize("seed", range(10))
def test_the_worst_condition_and_group_of_any_study_are_on_its_first_screen(seed: int) -> None:
    """Worst is found here from the estimates alone: the lowest mean over recipes, and the lowest group."""
    draw = random.Random(seed)
    conditions = {
        name: tuple(draw.uniform(low, low + 0.1) for _ in LOSSES)
        for name, low in {"same": 0.85, "neutral": draw.uniform(0.2, 0.8), "reversed": draw.uniform(0.2, 0.8)}.items()
    }
    where = str(Reason.of(Code.WORST_GROUP_PLACE, factor="texture", level="part-solid", target=""))
    groups = [
        estimate(loss, "auroc", "same", draw.uniform(0.4, 0.8), group="worst group", where=where) for loss in LOSSES
    ]
    context = study(conditions, [EQUAL], more=tuple(groups))
    opening = context.page.text(context).opening
    worst = min(conditions, key=lambda name: sum(conditions[name]))
    figures = [tile.name for tile in opening.tiles]
    assert any(name.endswith(context.names.in_condition(worst)) for name in figures), figures
    lowest = number(min(row["value"] for row in groups))
    lines = [(line.decision, line.numbers) for line in opening.lines]
    assert any("texture part-solid" in name and lowest in numbers for name, numbers in lines), lines


def test_the_decisions_follow_and_a_failed_control_lets_nothing_lead() -> None:
    fall = {**CLEAN, "reversed": (0.36, 0.32, 0.34)}
    said = answers(study(fall, [DECODED, EQUAL]))
    assert said[1] == "ArcFace and cross-entropy are equivalent in AUROC with texture reversed, within 0.05."
    failed = comparison("undetected", role="positive-control", axis="epochs", a="3", b="20")
    assert answers(study(fall, [EQUAL, failed]))[0].startswith("No difference is claimed")


def test_networks_that_failed_stand_with_an_equivalence_in_title_line_and_table() -> None:
    counted = {"failed_a": 1, "trained_a": 12, "failure_limit_a": 0.34, "failed_b": 0, "trained_b": 12,
               "failure_limit_b": 0.22}  # fmt: skip
    failed = "failed networks: 1 of 12 and 0 of 12 (with 95% confidence at most 34% and 22% fail)"
    context = study({**CLEAN, "reversed": (0.36, 0.32, 0.34)}, [{**EQUAL, **counted}])
    (row,) = context.tables["contrasts"]
    assert failed in headline([row])
    assert failed in comparison_line(row)
    assert failed in cell("contrasts", "decision", row, context).text


def test_tiles_have_the_usual_condition_the_worst_one_and_the_networks() -> None:
    context = study({**CLEAN, "reversed": (0.36, 0.32, 0.34)}, [EQUAL])
    tiles = context.page.text(context).opening.tiles
    assert [tile.value for tile in tiles] == ["0.97 to 0.98", "0.32 to 0.36", "36"]


@pytest.mark.parametrize(
    ("published", "title", "columns"),
    [(0.9, "As published, and in this run", ("published", "value")),
     (math.nan, "Layout of Ma 2021; all values from this run", ("value",))],
)  # fmt: skip
def test_a_table_without_published_figures_is_of_this_run_alone(
    published: float, title: str, columns: tuple[str, ...]
) -> None:
    rows = [{"source": "Ma 2021", "published": published, "value": 0.8}] * 2
    context = study({})
    sections = context.page.sections({**context.tables, "published": rows})
    block, order = next(section for section in sections if section.id == "published").blocks
    assert (order.table, "same" in order.columns) == ("published_orders", True)
    assert (block.title, block.columns[3:-5]) == (title, columns)
    assert bool(block.note) == (published == published), "figures are copied only where there are some"


def test_a_segmentation_on_another_set_speaks_of_dice_lesions_and_false_marks() -> None:
    found = [("dice", "same", 0.74), ("lesion-sensitivity", "same", 0.8), ("dice", "reversed", 0.31),
             ("lesion-sensitivity", "reversed", 0.45), ("false-positive-rate", "neutral", 0.3),
             ("auroc", "reversed", math.nan), ("auroc", "same", 0.98)]  # fmt: skip
    rows = tuple(estimate("cross-entropy", name, place, value) for name, place, value in found)
    sets = {"reversed": "endotect", "neutral": "endotect"}
    context = study({}, losses=("cross-entropy",), more=rows, sets=sets)
    assert answers(context)[0] == (
        "Dice 0.31, 45% of lesions found and 30% of lesion-free images falsely marked in endotect; Dice 0.74 and "
        "80% of lesions found in held-out images of the training set."
    )


# What comes next.

NEEDED = comparison("inconclusive", a="triplet") | {"seeds_needed": 24.0, "patients_needed": math.nan}
RUN = "assay run my/study.yaml"
NEXT: dict[str, tuple[list[Row], dict[str, str], str]] = {
    "quick": ([EQUAL], {"command": "assay run nodule-loss --scale quick"},
              "this was a quick part; run the whole study: assay run nodule-loss"),
    "decided": ([EQUAL], {}, "repeat it with fresh seeds: assay replicate runs/x"),
    "open": ([EQUAL, NEEDED], {"command": RUN},
             "24 fresh seeds, which would decide every primary comparison: assay replicate runs/x --seeds 24"),
    "open, some without a number": ([NEEDED, NEEDED | {"seeds_needed": math.nan}], {"command": RUN},
                                    "24 fresh seeds, which would decide 1 of 2 open comparisons: assay replicate "
                                    "runs/x --seeds 24"),
    "too few patients for some": ([NEEDED | {"seeds_needed": needed, "patients_needed": patients}
                                   for needed, patients in ((24, math.nan), (300, math.nan), (math.nan, 1200))], {},
                                  "add patients. With 1,200, 40 seeds would decide 2 of 3 open comparisons."),
    "too few patients": ([NEEDED | {"seeds_needed": math.nan, "patients_needed": 1200.0}], {},
                         "add patients. With 1,200, 40 seeds would decide every primary comparison."),
    "repeated already": ([EQUAL], {"replication of": "x"}, ""),
    "trained elsewhere": ([EQUAL], {"models": "12"}, ""),
    "nothing compared, many seeds": ([], {"command": RUN}, ""),
}  # fmt: skip


def after(contrasts: list[Row], facts: dict[str, str], root: str = "runs/x", **change: str) -> str:
    context = study({"same": CLEAN["same"]}, contrasts)
    trials = [{**row, **change} for row in context.tables["trials"]]
    provenance = [{"key": key, "value": value} for key, value in facts.items()]
    context = replace(
        context, tables={**context.tables, "trials": trials, "provenance": provenance}, root=Path(root).expanduser()
    )
    return context.page.text(context).opening.next


@pytest.mark.parametrize("name", NEXT)
def test_the_next_step_is_possible_and_was_not_done(name: str) -> None:
    contrasts, facts, step = NEXT[name]
    assert after(contrasts, facts).removeprefix("Next: ") == step


def test_predictions_of_fresh_seeds_are_asked_for_in_any_order_of_the_comparisons() -> None:
    facts = {"predictions": "yes", "command": "assay compare p.csv --by model", "path": "p.csv"}
    decided, unknown = (one | {"seeds_needed": math.nan} for one in (comparison("higher"), NEEDED))
    for rows in ([decided, NEEDED], [NEEDED, decided]):
        assert "About 24 of each would decide what is open: " in after(rows, facts)
    assert "About 24 of each would decide 1 of 2 open comparisons: " in after([unknown, NEEDED], facts)


def test_the_next_step_has_the_folder_and_the_file_of_the_user() -> None:
    assert after([EQUAL], {}, "~/out/x") == "Next: repeat it with fresh seeds: assay replicate ~/out/x --out ~/out"
    again = f"Next: train the failed runs again: {RUN} --out out"
    assert after([EQUAL], {"command": RUN}, "out/x", status="failed") == again
    assert not after([EQUAL], {}, status="failed"), "a study from Python has no command"
    longer = "Next: train longer, or with a lower learning rate"
    spec = json.dumps({"points": [{"recipe": {"epochs": 15}, "tests": {}}]})
    twice = f"{longer}, such as twice as long: {RUN} --set recipe.epochs=30"
    assert after([EQUAL], {"command": RUN, "spec": spec}, status="collapsed") == twice
    assert after([EQUAL], {"command": RUN}, status="collapsed") == f"{longer}."
    few = NEEDED | {"seeds_needed": math.nan, "patients_needed": 1200.0}
    assert after([few], {"command": RUN}).endswith(f"so run it again with both: {RUN} --seeds 40")
    undecided = NEEDED | {"seeds_needed": math.nan}
    assert (
        after([undecided], {"command": RUN}, seed="1")
        == f"Next: train more seeds, since few can be decided with 1 seed: {RUN} --seeds 10"
    )
    assert after([], {"command": RUN}, seed="1") == f"Next: intervals, from 10 seeds: {RUN} --seeds 10"
    assert (
        after([], {"command": f"{RUN} --seeds 1 --set recipe.epochs=2"}, seed="1")
        == f"Next: intervals, from 10 seeds: {RUN} --set recipe.epochs=2 --seeds 10"
    )


def of_one_recipe(value: float, half: float, losses: tuple[float, float] = (0.66, 0.7)) -> PageContext:
    row = estimate("cross-entropy", "auroc", "same", value, half, chance=0.5)
    context = study({}, losses=("cross-entropy",), more=(row,))
    trained = dict(zip(("train_loss", "validation_loss"), losses, strict=True))
    facts = {"command": RUN, "spec": json.dumps({"points": [{"recipe": {"epochs": 12}, "tests": {}, "train": {}}]})}
    provenance = [{"key": key, "value": text} for key, text in facts.items()]
    trials = [{**trial, **trained} for trial in context.tables["trials"]]
    return replace(context, tables={**context.tables, "trials": trials, "provenance": provenance})


@pytest.mark.parametrize(
    ("value", "half", "text"), [(0.9871, 0.0019, ("0.987", "[0.985, 0.989]")), (0.85, 0.05, ("0.85", "[0.80, 0.90]"))]
)
def test_a_figure_and_its_interval_have_as_many_places(value: float, half: float, text: tuple[str, str]) -> None:
    context = of_one_recipe(value, half)
    figure = context.page.text(context).opening.tiles[0]
    assert (figure.value, figure.interval) == text


def test_networks_at_chance_are_said_to_be_and_trained_longer() -> None:
    context = of_one_recipe(0.52, 0.05)
    assert answers(context)[0].startswith("Networks were not shown to predict the target better than chance: AUROC ")
    step = context.page.text(context).opening.next
    assert step.endswith(f"such as for 48 epochs: {RUN} --set recipe.epochs=48")
    unsure = of_one_recipe(0.75, 0.3)
    assert "chance" not in answers(unsure)[0], "a wide interval does not show that networks are at chance"
    by_heart = of_one_recipe(0.52, 0.05, (0.1, 0.9))
    assert by_heart.page.text(by_heart).opening.next.startswith("Next: add images")


def changed(
    value: float, half: float, strength: float = 0.0, reason: str = "", more: tuple[str, ...] = ()
) -> PageContext:
    """A study of one recipe, whose AUROC changes by so much where texture does not predict the target."""
    context = study({"same": (0.9,)}, losses=("cross-entropy",), half=0.02)
    row = {"recipe": "cross-entropy", "factor": "texture", "environment": "neutral", "against": "same",
           "measure": "auroc", "value": value, "low": value - half, "high": value + half, "margin": 0.05, "seeds": 3,
           "patients": 100, "reason": reason}  # fmt: skip
    environments = [
        {**one, "strength": strength if one["environment"] == "train" else one["strength"]}
        for one in context.tables["environments"]
    ]
    rows = [{**row, "factor": name} for name in ("texture", *more)]
    return replace(context, tables={**context.tables, "environments": environments, "condition_changes": rows})


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (changed(0.002, 0.01, strength=0.6),
         "No shortcut by texture was found: AUROC changed by +0.002 [-0.008, 0.012] with texture uninformative, less "
         "than 0.05 either way."),
        (changed(0.02, 0.04, strength=0.6),
         "Evidence on a shortcut by texture is insufficient: AUROC changed by +0.02 [-0.02, 0.06] with texture "
         "uninformative, and 0.05 would matter."),
        (changed(-0.2, 0.04, strength=0.6),
         "AUROC changed by -0.20 [-0.24, -0.16] with texture uninformative: networks use texture as a shortcut, or "
         "something associated with it."),
        (changed(0.2, 0.04, strength=0.6),
         "AUROC rose by 0.20 [0.16, 0.24] with texture uninformative: a shortcut by texture would lower it."),
        (changed(-0.2, 0.04, strength=0.6, more=("view",)),
         "AUROC changed by -0.20 [-0.24, -0.16] with texture uninformative and -0.20 [-0.24, -0.16] with texture "
         "uninformative: networks use texture and view as a shortcut"),
        (changed(-0.04, math.nan, 0.6, str(Reason.of(Code.FEW_SEEDS, seeds=2, least=3)), more=("view",)),
         "is insufficient: AUROC changed by -0.04 with texture uninformative and -0.04 with texture uninformative "
         "(2 seeds: no interval is computed with fewer than 3), and 0.05 would matter."),
        (changed(0.0, 0.01, strength=-0.02), "the association with the target was weak (Somers' D -0.02 for texture)"),
    ],
)  # fmt: skip
def test_a_study_without_comparisons_answers_whether_a_column_is_a_shortcut(context: PageContext, said: str) -> None:
    assert said in " ".join(answers(context))


def test_more_seeds_are_the_next_step_only_where_they_would_narrow_an_interval() -> None:
    facts = {"command": "assay run s/eyes.yaml", "study": "eyes",
             "study file": json.dumps({"data": {"folder": ".", "table": "data.csv", "target": "ill",
                                            "image": "scan", "positive": "yes"}})}  # fmt: skip

    def step(of_patients: float, spread: float) -> str:
        """The next step from 3 seeds with this spread and 100 patients with this standard error."""
        between = spread**2 / 3
        error = math.hypot(of_patients, math.sqrt(between))
        share = between / error**2
        df = 1 / (share / 2 + (1 - share) / 99)
        context = study({"same": (0.9,)}, losses=("cross-entropy",), half=float(stats.t.ppf(0.975, df)) * error)
        sure = {"id": "a", "patients": 100, "standard_error": error, "df": df}
        estimates = [{**row, **sure} for row in context.tables["estimates"]]
        trials = [row for row in context.tables["trials"] if row["seed"] < 3]
        values = [{"id": "a", "seed": seed, "value": 0.9 + spread * (seed - 1)} for seed in range(3)]
        provenance = [{"key": key, "value": value} for key, value in facts.items()]
        tables = {**context.tables, "estimates": estimates, "trials": trials, "values": values,
                  "provenance": provenance}  # fmt: skip
        return replace(context, tables=tables).page.text(replace(context, tables=tables)).opening.next

    elsewhere = "assay init s/data.csv --target ill --positive yes --image scan --test FOLDER --out eyes-elsewhere.yaml"
    assert f"if you have some ({elsewhere}): assay replicate " in step(0.01, 0.001)
    assert "from 10 seeds: assay run s/eyes.yaml --seeds 10" in step(0.001, 0.08)
    assert "from 10 seeds: assay run s/eyes.yaml --seeds 10" in step(0.03, 0.08)
    text = step(0.05, 0.001)
    (patients,) = map(int, re.findall(r"About (\d+) patients give intervals of 0.05 either way$", text))
    assert 394 < patients < 450, "4 times as many on a plain scale, some more on that of the logit"
    both = "Next: add images of other patients, and train 10 seeds: assay run s/eyes.yaml --seeds 10"
    assert step(0.05, 0.03) == both, "3 seeds with this spread alone give 0.07 either way"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [("image", "share of black pixels", True), ("baseline", "thumbnail of 16 x 16 pixels", True),
     ("image", "width", False), ("image", "file format", False), ("baseline", "padding mask", False),
     ("column", "share of black pixels", False)],
)  # fmt: skip
def test_only_a_cue_of_what_images_show_may_be_the_finding(kind: str, name: str, said: bool) -> None:
    cue = {"recipe": "cross-entropy", "environment": "same", "kind": kind, "name": name, "network": 0.9, "cue": 0.8,
           "value": 0.8, "low": 0.7, "high": 0.9, "rest": 0.5, "verdict": "beyond"}  # fmt: skip
    context = study({"same": (0.9,)}, losses=("cross-entropy",))
    text = " ".join(answers(replace(context, tables={**context.tables, "added": [cue]})))
    assert "The best simple cue" in text
    assert ("may be the finding itself" in text) == said
