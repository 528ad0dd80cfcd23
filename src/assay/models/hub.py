"""Models of transformers: their files on this machine or on the hub, and a description that loads nothing else."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import huggingface_hub
from huggingface_hub import constants

from assay.core.errors import WeightsError, extra, first_line, shorten
from assay.core.files import at_home, is_file
from assay.models.image_config import read_config
from assay.models.initialization import hub_answers
from assay.spec.document import mapping_of

_FILES = ["*.json", "model*.safetensors"]
_REACHING = ("backbone", "use_pretrained_backbone", "use_timm_backbone", "quantization_config", "configuration_files")
"""Keys by which a description loads other networks, code or descriptions."""
_ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys whose value may name code on the hub."""
_BUILT_IN = (None, "eager", "sdpa")
_MODEL_ARGS = {
    "act_layer", "class_token", "depth", "depths", "drop_path_rate", "drop_rate", "dynamic_img_size", "embed_dim",
    "fc_norm", "global_pool", "img_size", "in_chans", "init_values", "mlp_ratio", "no_embed_class", "norm_layer",
    "num_heads", "patch_size", "pos_embed", "pre_norm", "qk_norm", "qkv_bias", "reg_tokens", "window_size"
}  # fmt: skip
"""Arguments of networks of timm that are about their shape alone."""


def is_local_folder(name: str) -> bool:
    """Return whether a name of a model is a folder on this machine, by its beginning.

    Examples:
        >>> [is_local_folder(name) for name in ("./vit", "/data/vit", "~/vit", "..", "google/vit-base")]
        [True, True, True, True, False]
    """
    return name in (".", "..") or name.startswith(("./", "../", "/", "~"))


def hub_folder(name: str) -> Path:
    """Return the folder of a model; its files are downloaded where it is a name of the hub.

    Args:
        name: `owner/name`, or a folder as `is_local_folder` knows it.

    Raises:
        WeightsError: They are not here and cannot be downloaded.
    """
    folder = at_home(name)
    if is_local_folder(name):
        if not folder.is_dir():
            raise WeightsError(f"hf:{name} cannot be loaded: there is no such folder")
        return folder
    with extra("hf"):
        import transformers  # noqa: F401  # pyright: ignore
    download = cast(Any, huggingface_hub).snapshot_download
    try:
        return Path(download(name, allow_patterns=_FILES, local_files_only=not hub_answers()))
    except (OSError, ValueError) as error:
        here = f"; the folder of this name here is hf:./{name}" if folder.is_dir() else ""
        raise WeightsError(f"hf:{name} cannot be loaded: {first_line(error)}{here}") from error


def load_pretrained(name: str, folder: Path, head: str, **options: Any) -> Any:
    """Return a network of a folder, or with `output_loading_info` that and the report on its weights.

    Args:
        name: How messages name the model.
        folder: Its files.
        head: Class of transformers that loads it, such as `AutoModel`.
        options: Further arguments of `from_pretrained`.

    Raises:
        WeightsError: It cannot be loaded, or its description would load more than its files.
    """
    with extra("hf"):
        import transformers  # pyright: ignore
    for problem in _refusal_reasons(folder):
        raise WeightsError(f"hf:{name} is refused: {problem}")
    arguments = {"trust_remote_code": False, "local_files_only": True, **options}
    arguments |= {"use_safetensors": True} if head.startswith("AutoModel") else {}
    try:
        with _hub_closed():
            return getattr(cast(Any, transformers), head).from_pretrained(str(folder), **arguments)
    except Exception as error:  # a description may have anything in it
        raise WeightsError(f"hf:{name} cannot be loaded: {first_line(error)}") from error


@contextmanager
def _hub_closed() -> Generator[None]:
    """Let no library ask the hub within this context."""
    before = constants.HF_HUB_OFFLINE
    cast(Any, constants).HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        cast(Any, constants).HF_HUB_OFFLINE = before


def _refusal_reasons(folder: Path) -> Iterator[str]:
    """Yield why a description of a model would load more than the files in its folder."""
    import timm

    if is_file(folder / "adapter_config.json"):
        yield "it is an adapter of another network (adapter_config.json)"
    for part in _config_objects(read_config(folder / "config.json")):
        yield from (f"its config.json has {key}, which can load other files" for key in _REACHING if part.get(key))
        for key in _ATTENTION:
            if part.get(key) not in _BUILT_IN:
                yield f"its config.json names code of another place ({key}: {shorten(str(part[key]))})"
        architecture: Any = part.get("architecture")
        if architecture is not None and not (isinstance(architecture, str) and timm.is_model(architecture)):
            yield f"its config.json names the architecture '{shorten(str(architecture))}', which is none of timm's own"
        arguments = mapping_of(part.get("model_args")) or {}
        others = sorted(arguments.keys() - _MODEL_ARGS)
        yield from (f"its config.json has {shorten(other)} in model_args, which is not allowed" for other in others)


def _config_objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object within a value of JSON but those of labels, whose keys are any words."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            mapping = cast("Mapping[str, Any]", part)
            yield mapping
            waiting += [mapping[key] for key in mapping if key not in ("id2label", "label2id")]
        elif isinstance(part, list):
            waiting += cast("list[Any]", part)
