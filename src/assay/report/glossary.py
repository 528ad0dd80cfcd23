"""Terms of the page and of the documents, each explained once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache

GLOSSARY: Mapping[str, str] = {
    "A/A comparison": (
        "A check in which the same recipe is trained twice with different random numbers. It must show no "
        "difference. If it does, the study claims nothing."
    ),
    "Affected by": (
        "A mark affects a model if adding it moves scores by more than the margin. Many networks without a shortcut "
        "are affected by some mark."
    ),
    "Association": (
        "How strongly a factor predicts the target in an environment, as Somers' D: 0 means not at all, 1 and -1 "
        "mean completely."
    ),
    "Attended": (
        "A factor or place is attended if an attribution map lies on it. This is not the same as encoded or used."
    ),
    "AUROC": (
        "The probability that a random positive image gets a higher score than a random negative one: 0.5 is "
        "chance, 1 is perfect."
    ),
    "AUROC shift": (
        "How far a mark moves the scores, from -0.5 to 0.5: half of a difference, of the AUROC with the mark on "
        "positive images only minus the AUROC with it on negative images only. It is positive if the mark raises "
        "scores. For a column, one group is compared with all others."
    ),
    "Confounder": "A marking, or a factor, that is associated with the target in training.",
    "Contrast": (
        "A comparison between recipes that is written into the study before results exist. *Primary* contrasts "
        "answer the study's question; all others are *secondary*."
    ),
    "Decision": (
        "The outcome of a contrast: *higher* or *lower*; *higher* or *lower by more than the margin*, or *by less "
        "than the margin*; *equivalent within the margin*, for networks that did not fail; or *inconclusive*. For "
        "controls: *detected*, *none detected*, *differs*."
    ),
    "Decodability": "The AUROC of a linear decoder that predicts a factor from a layer of the network.",
    "Detectable difference": "The smallest difference that the design would find in 4 of 5 studies (80% power).",
    "Dice": "Overlap of predicted and true outlines, from 0 (none) to 1 (identical).",
    "Effect on the logit": (
        "How far changing a factor moves the output before it becomes a probability, in standard deviations within "
        "a class."
    ),
    "Effective patients": (
        "The number of patients with one image each that would be as informative: fewer than the patients where some "
        "have most of the images."
    ),
    "Encoded": "A factor is encoded if it can be read from a layer of the network. The network need not use it.",
    "Environment": (
        "A named distribution of images, defined by rows, associations, interventions and difficulty. Pages call "
        "it a test condition."
    ),
    "Exploratory": (
        "A comparison is exploratory if it was added after results were seen, or never written down. It suggests "
        "something to test and shows nothing."
    ),
    "Factor": "A named attribute of every image, such as texture, view or age.",
    "Failed network": (
        "A network whose training collapsed or diverged, or whose value is an outlier on the worse side. The bound "
        "next to the count is the largest failure rate that the count allows, with 95% confidence."
    ),
    "Finding without a verified limit": (
        "A region, property or group of errors that moves scores, when it is unknown how far the scores of "
        "networks without a shortcut would move. It is a place to look, not a verdict."
    ),
    "Flip rate": "The share of images whose predicted class changes when a factor or marking is changed.",
    "Holm": "A correction of p-values that keeps the error rate of a whole family of comparisons at 5%.",
    "In-distribution": (
        "Of test images: of other patients, chosen as the training images are, with the same associations and the "
        "same difficulty."
    ),
    "Inconclusive": (
        'The interval contains differences that matter and differences that do not. It does not mean "no difference".'
    ),
    "Initialization": "The weights that training starts from: random, pretrained, or from a source.",
    "Intervention": "A change to pixels. Its parameters are stored, so every image exists with and without it.",
    "Margin": (
        "The largest difference that would not matter, fixed before the study runs. Recipes are called equivalent "
        "only within it."
    ),
    "Margin test": 'A test against the margin: two one-sided tests of equivalence, or one test of "not worse".',
    "Matched fit": "A comparison of recipes at a point where they fit the training distribution equally well.",
    "Near copy": "An image that is a re-encoded, mirrored, turned, cropped or slightly shifted version of another one.",
    "Neutral": "An environment in which a factor does not predict the target.",
    "Phantom": "A generator of synthetic images whose content is known.",
    "Positive control": (
        "A comparison with a known, moderate difference. If the study does not detect it, it claims nothing."
    ),
    "Pre-specified": "Written into the study before any result existed.",
    "Probe": (
        "A component that reads a trained model on environments and returns measurements. It never changes the model."
    ),
    "Recipe": (
        "How a model is made: architecture, initialization, loss, optimizer, augmentation, and the rule that "
        "selects the epoch."
    ),
    "Reference network": (
        "A network that was trained on images of this kind without a shortcut. The largest effect in such networks is "
        "the limit that a verdict must pass."
    ),
    "Relies on": (
        "A model relies on a mark or a region if its effect on scores is beyond the margin and beyond the limit of "
        "reference networks."
    ),
    "Reversed": "An environment whose association has the opposite sign to that in training.",
    "Seed": (
        "One repetition of the whole experiment, with other images or splits, other initial weights and another "
        "order. Recipes that share a seed share all of these."
    ),
    "Shortcut": (
        "Something that goes with the target in training images but does not belong to it, such as a ruler or the "
        "look of a scanner. A model that relies on it fails where they no longer go together."
    ),
    "Simple cue": (
        "A column, a property of images such as their brightness, or a thumbnail that predicts the target without a "
        "network."
    ),
    "Sobol' index": (
        "The share of the variance of the output that an input explains: alone (first order) or with its "
        "interactions (total)."
    ),
    "Somers' D": (
        "A measure of association between a factor and the target: the probability that the factor is larger in a "
        "positive image minus the probability that it is smaller."
    ),
    "Source": "A network that the study trains first. Its weights are the initialization of trials.",
    "Trial": "One recipe, trained once in one training environment with one seed. Pages call it a training run.",
    "Used": "A factor is used if changing it changes the output.",
    "Worst group": "The group with the lowest value, among those formed by target and confounder.",
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
    # A decision curve is no decision on a comparison.
    return re.compile(rf"(?<![\w-]){plural}(?![\w-]| curve)", re.IGNORECASE)
