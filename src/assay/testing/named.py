"""What the suites of registered components share: which component is tested, and how it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from assay.plugin import Component, ComponentKind, build, lookup


class NamedComponent:
    """Set `name` (registered, or a dotted path `package.module:attribute`) and, where it takes any, `params`."""

    kind: ClassVar[ComponentKind]
    name: ClassVar[str] = ""
    params: ClassVar[Mapping[str, Any]] = {}

    def built(self, *positional: Any) -> Any:
        """The component, made as a study makes it: its arguments are checked first."""
        if not self.name:
            pytest.fail(
                f"{type(self).__name__} does not say what it tests; set name = 'package.module:attribute' "
                f"or the name of a registered {self.kind}",
                pytrace=False,
            )
        return build(self.kind, self.name, self.component.params, *positional)

    @property
    def component(self) -> Component:
        """What a study would hold of it."""
        return Component(kind=self.kind, name=self.name, params=self.params)

    def test_a_study_can_name_it(self) -> None:
        """It is found by its name, says in a line what it is, and its arguments are checked and written as JSON."""
        self.built(*self.positional())
        entry = lookup(self.kind, self.name)
        assert entry.summary.strip(), f"{self.kind} '{self.name}' has no docstring: `assay list` shows its first line"
        assert entry.version >= 1
        written = self.component.model_dump(mode="json", context={"complete": True})
        assert Component.model_validate(written) == self.component

    def positional(self) -> tuple[Any, ...]:
        """What the component is built with besides its own arguments."""
        return ()
