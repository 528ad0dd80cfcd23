"""Terms of the page and of the documents, each explained once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache

GLOSSARY: Mapping[str, str] = {
    "A/A comparison": (
        "The same recipe trained twice with other random streams. It must show no difference. If it does, the "
        "study claims nothing."
    ),
    "Association": (
        "How strongly a factor predicts the target in an environment, as Somers' D: 0 is none, 1 and -1 are complete."
    ),
    "Attended": "A factor or place on which an attribution map lies. Not the same as encoded or used.",
    "AUROC": (
        "The probability that a random positive image gets a higher score than a random negative one: 0.5 is "
        "guessing, 1 is perfect."
    ),
    "AUROC shift": (
        "Half of the AUROC with the mark on positive images alone less that with it on negative images alone, from "
        "-0.5 to 0.5. It is positive where the mark raises scores. For a column, a group is compared with all others."
    ),
    "Confounder": "A marking, or a factor, that is associated with the target in training.",
    "Contrast": (
        "A comparison between recipes, written into the study before results exist. *Primary* contrasts ask "
        "the study's question; all others are *secondary*."
    ),
    "Decision": (
        "How a contrast ends: *higher* or *lower*; *higher* or *lower by more than the margin*, or *by "
        "less than the margin*; *equivalent within the margin*, of networks that did not fail; *inconclusive*. Of "
        "controls: *detected*, *none detected*, *differs*."
    ),
    "Decodability": "AUROC of a linear decoder that predicts a factor from a layer of the network.",
    "Detectable difference": "The smallest difference that the design finds in 4 of 5 studies (80% power).",
    "Dice": "Overlap of predicted and true outlines, from 0 (none) to 1 (the same).",
    "Effect on the logit": (
        "How far changing a factor moves the output before it becomes a probability, in standard deviations "
        "within a class."
    ),
    "Encoded": "A factor that can be read from a layer of the network. The network need not use it.",
    "Environment": (
        "A named distribution of images: rows, associations, interventions, difficulty. On pages: test condition."
    ),
    "Exploratory": (
        "Asked after results were seen, or never written down. An exploratory value suggests; it shows nothing."
    ),
    "Factor": "A named attribute of every image, such as texture, view or age.",
    "Finding without a verified limit": (
        "A region, property or group of errors that moves scores, where it is not known how much it moves those of "
        "networks without a shortcut. A place to look, and no verdict."
    ),
    "Flip rate": "The share of images whose predicted class changes when a factor or marking is changed.",
    "Holm": "A correction of p-values that keeps the error rate of a whole family of comparisons at 5%.",
    "Inconclusive": (
        'The interval contains differences that matter and differences that do not. It is not "no difference".'
    ),
    "Initialization": "The weights that training starts from: random, pretrained, or a source.",
    "Intervention": "A change to pixels, with stored parameters, so the image exists with and without it.",
    "Margin": (
        "The largest difference that would not matter, fixed before the study runs. Equivalence is claimed within it."
    ),
    "Margin test": 'Two one-sided tests of equivalence, or one of "not worse", against the margin.',
    "Matched fit": "Recipes compared where they fit the training distribution equally well.",
    "Near copy": "An image that is another one re-encoded, mirrored, turned, cropped or slightly shifted.",
    "Neutral": "An environment in which a factor does not predict the target.",
    "Phantom": "A generator of synthetic images whose content is known.",
    "Positive control": (
        "A comparison whose answer is known and not large. If it is not detected, the study claims nothing."
    ),
    "Pre-specified": "Written into the study before any result existed.",
    "Probe": "Reads a trained model on environments and returns measurements. It never changes the model.",
    "Recipe": ("Architecture, initialization, loss, optimizer, augmentation, and the rule that selects the epoch."),
    "Reversed": "An environment whose association has the opposite sign to training.",
    "Seed": (
        "One repetition: other images or splits, other initial weights, another order. Recipes that share a "
        "seed share all of these."
    ),
    "Sobol' index": (
        "The share of the variance of the output that an input explains: first order alone, total with its "
        "interactions."
    ),
    "Somers' D": (
        "Association of a factor with the target: the probability that it is larger in positive images less "
        "that it is smaller."
    ),
    "Source": "A network that the study trains first; its weights are the initialization of trials.",
    "Trial": "One recipe, one training environment, one seed, trained once. On pages: training run.",
    "Used": "A factor whose change changes the output.",
    "Worst group": "The group, of those formed by target and confounder, with the lowest value.",
}
"""Term -> its meaning. Asterisks set off words, as in Markdown."""


def first_used(texts: Iterable[str], known_terms: Collection[str]) -> dict[str, str]:
    """Return the terms that texts use and that are not known yet, with their meanings."""
    text = " ".join(texts)
    return {
        term: meaning.replace("*", "")
        for term, meaning in GLOSSARY.items()
        if term not in known_terms and _pattern(term).search(text)
    }


@cache
def _pattern(term: str) -> re.Pattern[str]:
    """Return the pattern of a term, in the singular or the plural, as a whole word."""
    plural = f"{re.escape(term[:-1])}(?:y|ies)" if term.endswith("y") else f"{re.escape(term)}s?"
    return re.compile(rf"(?<![\w-]){plural}(?![\w-])", re.IGNORECASE)
