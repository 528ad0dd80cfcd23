"""Interventions of one function, as a user writes them."""

import torch

import assay


@assay.intervention
def fog(images, amount, *, most: float = 0.5):
    """Gray fog, thicker in some images than in others."""
    return images + most * amount * (0.7 - images)


@assay.intervention(local=True)
def stripe(images, place, *, brightness: float = 1.0):
    """A bright line across the image."""
    line = (torch.arange(images.shape[2], device=images.device).view(-1, 1) - place * images.shape[2]).abs() < 1
    return torch.where(line, torch.full_like(images, brightness), images)


@assay.intervention
def negative(images):
    """White for black; nothing is drawn."""
    return 1 - images


@assay.intervention
def careless(images, size, *, gain: float = 3.0):
    """Writes into what it is given, leaves the range, and gives float64."""
    images *= gain * size
    return images.double()


@assay.intervention
def halved(images):
    """Gives too few rows back."""
    return images[:1]


@assay.intervention
def forgotten(images):
    """Returns nothing."""
    images.mul_(0.5)


def bare(images, amount):
    """Has no decorator."""
    return images * amount
