"""What every part of a spec is made of: frozen values without unknown keys, whose defaults leave the hash."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Base of all parts of a spec: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """Plain values without those equal to their default, so that a new field renames nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)
