"""Image settings in the files that come with a model, in the terms of timm's `pretrained_cfg`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.core.errors import WeightsError, shorten
from assay.spec.document import mapping_of


def adjacent_config(path: Path) -> dict[str, Any]:
    """Return image settings in a file beside a model's file, and its name as `source`; empty where none has them.

    Such a file is `preprocessor_config.json` of transformers, `config.json` of timm, or `metadata.json` of a MONAI
    bundle. Names of outputs in `config.json` are `label_names`.

    Raises:
        WeightsError: A file of such a name cannot be read, or has settings that are not applied.
    """
    folder = path.resolve().parent
    config = read_config(folder / "config.json")
    metadata = [folder, folder / "configs", *([folder.parent / "configs"] if folder.name == "models" else [])]
    configs = [
        ("preprocessor_config.json", of_processor(read_config(folder / "preprocessor_config.json"))),
        ("config.json", mapping_of(config.get("pretrained_cfg")) or {}),
        *(("metadata.json", of_bundle(read_config(directory / "metadata.json"))) for directory in metadata),
    ]
    names = {"label_names": config.get("id2label") or config.get("label_names")}
    return next(
        ({**names, **settings, "source": source} for source, settings in configs if settings.get("mean")),
        dict[str, Any](),
    )


def adjacent_names(path: Path) -> object:
    """Return names of outputs in `config.json` beside a model's file; None where it has none or cannot be read."""
    try:
        config = read_config(path.resolve().parent / "config.json")
    except WeightsError:
        return None
    return config.get("id2label") or config.get("label_names")


REFUSED = "refused"
"""Key of settings that were not read, with the reason."""


MOST_BYTES = 16 << 20
"""Bytes of a file of settings that is read: names of 20,000 classes take under 1 MB."""


def read_config(path: Path) -> dict[str, Any]:
    """Return a mapping in a JSON file; empty where there is no file, or another value.

    Raises:
        WeightsError: The file is damaged, or larger than `MOST_BYTES`.
    """
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise WeightsError(f"{path} has over {MOST_BYTES >> 20} MB, and settings of a model have far less")
        return dict(mapping_of(json.loads(path.read_text())) or {}) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {shorten(str(error), 120)}") from error


def of_processor(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an image processor of transformers; empty where it states none.

    Raises:
        WeightsError: A setting is no number, or changes images as no scaling, crop and square size do.
    """
    if of_timm := mapping_of(config.get("data_config")):
        return dict(of_timm)
    if "image_mean" not in config and config.get("do_normalize") is not False:
        return {}
    _refuse_other_changes(config)
    try:
        return _settings(config)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise WeightsError(
            f"the image processor has a setting that should be a number: {shorten(str(error), 120)}"
        ) from error


def _refuse_other_changes(config: Mapping[str, Any]) -> None:
    sizes = [mapping_of(config.get(key)) or {} for key in ("size", "crop_size")]
    changes = {
        "do_flip_channel_order": bool(config.get("do_flip_channel_order")),
        "rescale_offset": bool(config.get("rescale_offset")),
        "sides that differ": any(size.get("height") != size.get("width") for size in sizes),
    }
    if named := [name for name, present in changes.items() if present]:
        raise WeightsError(
            f"the image processor has {' and '.join(named)}, which Assay does not apply: export the network to .onnx "
            "with these steps in it"
        )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    normalizes = config.get("do_normalize", True)
    mean, std = (
        _by_channel(config.get(f"image_{key}") if normalizes else None, default)
        for key, default in (("mean", 0.0), ("std", 1.0))
    )
    if config.get("include_top"):  # EfficientNet divides by it a second time
        std = [value**2 for value in std]
    factor = 255 * float(config.get("rescale_factor") or 1 / 255) if config.get("do_rescale", True) else 255.0
    share, cuts = float(config.get("crop_pct") or 0), bool(config.get("do_center_crop"))
    size, cropped = (_config_sides(config.get(key), cuts) for key in ("size", "crop_size"))
    shorter = size.get("shortest_edge")
    cut = cuts and (cropped.get("height") or cropped.get("shortest_edge"))
    side = int(cut or size.get("height") or shorter or 224)
    if share:  # ConvNeXt and its like cut images below 384 pixels alone
        crop = {"crop_mode": "center", "crop_pct": share} if side < 384 else {"crop_mode": "squash", "crop_pct": 1.0}
    elif shorter:
        crop = {"crop_mode": "center", "crop_pct": side / shorter}
    else:
        crop = {"crop_mode": "squash", "crop_pct": 1.0}
    means, sds = ([value / factor for value in values] for values in (mean, std))
    return {"mean": means, "std": sds, "input_size": (3, side, side), **crop}


def _by_channel(value: Any, default: float) -> list[float]:
    """Return numbers of three channels; a single one is that of each."""
    numbers = default if value is None else value
    return [float(part) for part in numbers] if isinstance(numbers, list | tuple) else [float(numbers)] * 3  # pyright: ignore


def _config_sides(size: Any, cuts: bool) -> Mapping[str, int]:
    """Return a size by side; a single number, of older versions, is the shorter side of images that are cropped."""
    return {"shortest_edge" if cuts else "height": size} if isinstance(size, int) else mapping_of(size) or {}


def of_bundle(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the images of a MONAI bundle; empty without any."""
    image = _image_format(metadata)
    low, high = (float(bound) for bound in image.get("value_range") or (0, 1))
    channels = int(image.get("num_channels") or 0)
    if high <= low or not channels:
        return {}
    sides = [side for side in image.get("spatial_shape") or () if isinstance(side, int)]
    side = sides[0] if len(sides) == 2 and len(set(sides)) == 1 else 0
    return {
        "mean": [-low / (high - low)] * channels,
        "std": [1 / (high - low)] * channels,
        "crop_mode": "squash",
        "input_size": (channels, side, side),
    }


def _image_format(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the image among the inputs of a MONAI bundle; empty without one."""
    inputs: Mapping[str, Any] = metadata.get("network_data_format", {}).get("inputs", {})
    return inputs.get("image") or next(iter(inputs.values()), dict[str, Any]())
