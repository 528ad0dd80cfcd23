"""A registered thing and its arguments, as a spec holds it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from pydantic import SerializationInfo, model_serializer, model_validator

from assay.core.axes import label
from assay.core.frozen import Frozen
from assay.core.registry import ComponentKind, lookup


class Component(Frozen):
    """A registered thing and its arguments: `supcon`, or `{supcon: {temperature: 0.1}}`, or a dotted path."""

    kind: ComponentKind
    name: str
    params: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> Component:
        checked = lookup(self.kind, self.name).params.model_validate(dict(self.params))
        object.__setattr__(self, "params", checked.model_dump(mode="json", exclude_defaults=True))
        return self

    @model_serializer
    def _serialise(self, info: SerializationInfo) -> Any:
        """`{name: arguments}` for hashes; with the context `{"complete": True}`, what validates to this again."""
        if info.context and info.context.get("complete"):
            return {"kind": self.kind, "name": self.name, "params": dict(self.params)}
        entry = lookup(self.kind, self.name)
        body = {name: value for name, value in self.params.items() if name not in entry.params.file_hashes}
        if entry.version != 1:
            body[_beside("version", entry.params.model_fields)] = entry.version
        if entry.source_hash:
            body[_beside("source", body)] = entry.source_hash
        return {self.name: body} if body else self.name

    @property
    def label(self) -> str:
        """What a figure calls it, as on an axis: `supcon`, `supcon(temperature=0.05)`; files by their names alone."""
        return label({self.name: dict(self.params)})


def _beside(key: str, arguments: Container[str]) -> str:
    """The key of what is no argument: in parentheses, as no argument can be, where an argument has its name."""
    return f"({key})" if key in arguments else key
