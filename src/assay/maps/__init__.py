"""From maps of logits to columns: what a segmentation says of an image, as numbers that can be kept.

A map of logits never leaves the pass that made it. `summarise` turns a batch of them into columns, `Streamed` does so
batch by batch. Which columns there are stands in docs/reference/maps.md.
"""

from assay.maps.summary import Streamed, joined, of_one_width, summarise

__all__ = ["Streamed", "joined", "of_one_width", "summarise"]
