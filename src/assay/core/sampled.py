"""A confounder by sampling: a dose of a factor of the data ties it to the target, and no pixel is changed.

dose: {confounder: sex, p: 0.5}                                           # Somers' D .5; half of all rows are high
dose: {confounder: {sex: {high: [F], scheme: one-sided}}, p: 0.5}         # F in half of the positives, M elsewhere

balanced: D of the factor given the target is p on the positive class, -p on the negative, 0 on both, and the factor's
    high level is as frequent at every p.
one-sided: a share p of the class has the high level and all other rows have the low one, as the published studies do
    it; the high level is then more frequent the greater p is, and at p = 0 there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from assay.core.data_section import undeclared, undeclared_columns
from assay.core.data_spec import DataSpec
from assay.core.document import Keys, mapping_of
from assay.core.errors import nearest
from assay.core.explain import hint
from assay.core.factors import declared_factors
from assay.core.problems import Problems, shorten
from assay.core.registry import entries

ARGUMENTS = ("high", "scheme")
SCHEMES = ("balanced", "one-sided")


@dataclass(frozen=True, slots=True)
class Factors:
    """What of a study's data a dose can be of.

    names: the factors that are known before an image is read; None where the data declare none. core: the one that
    defines a phantom's target. drawn: whether a phantom draws them, so that a factor tied at 0 is as it is untied.
    columns: of the table that are not declared.
    """

    names: tuple[str, ...] | None
    core: str = ""
    drawn: bool = False
    columns: tuple[str, ...] = ()

    @staticmethod
    def of(data: DataSpec | None) -> Factors:
        """Those of these data; unknown where the data could not be understood."""
        if data is None:
            return Factors(None)
        declared = declared_factors(data)
        names = None if declared is None else tuple(declared)
        return Factors(names, data.core, data.phantom is not None, undeclared_columns(data))


def is_factor(name: str, given: Any, keys: Keys, problems: Problems, factors: Factors) -> bool | None:
    """Whether a confounder is a factor and no intervention; None where it is neither, which is noted.

    A registered intervention or a dotted path is an intervention, unless its arguments are those of a factor.
    """
    arguments = mapping_of((mapping_of(given) or {}).get(name))
    told = bool(arguments) and set(arguments or ()) <= set(ARGUMENTS)
    interventions = [entry.name for entry in entries("intervention")]
    if (name in interventions or ":" in name) and not told:
        return False
    if factors.core and name == factors.core:
        problems.add(keys, name, f"'{name}' defines the target, and nothing can be confounded with itself")
        return None
    known = [one for one in factors.names or () if one != factors.core]
    likely = None if told else nearest(name, interventions)
    if name in known or (factors.names is None and not likely):
        return True
    if undeclared(name, factors.columns, keys, problems):
        return None
    near = [f"the intervention '{likely}'"] if likely else []
    near += [f"the factor '{one}'"] if (one := nearest(name, known)) else []
    meant = f": did you mean {' or '.join(near)}?" if near else ""
    problems.add(keys, name, f"no intervention and no factor is called '{name}'{meant}", _allowed(name, factors, known))
    return None


def _allowed(name: str, factors: Factors, known: list[str]) -> str:
    if factors.names is None:
        return f"these data declare no factors: if '{name}' is one of theirs, write {{{name}: {{scheme: balanced}}}}"
    return f"interventions: see `assay list`; factors: {shorten(known) or 'none, declare columns in data.factors'}"


def association(
    name: str, given: Any, shares: Mapping[str, float], keys: Keys, problems: Problems, factors: Factors
) -> dict[str, Any] | None:
    """The association that a dose of a factor is short for; empty where it ties nothing, None where it is wrong."""
    whole = mapping_of(given) or {}
    fields = {} if whole.get(name) is None else mapping_of(whole[name])
    if fields is None:
        problems.add((*keys, name), whole[name], f"expected {{argument: value}}; arguments: {', '.join(ARGUMENTS)}")
        return None
    for key in fields:
        if key not in ARGUMENTS:
            problems.unknown_key((*keys, name, key), ARGUMENTS, f"the factor '{name}'")
    scheme, high = fields.get("scheme", SCHEMES[0]), fields.get("high")
    if scheme not in SCHEMES:
        near = nearest(str(scheme), SCHEMES)
        meant = f"did you mean '{near}'?" if near else hint(scheme)
        problems.add((*keys, name, "scheme"), scheme, f"expected one of {', '.join(SCHEMES)}", meant)
        return None
    levels = cast("list[Any]", high) if isinstance(high, list) else [] if high is None else [high]
    if not all(isinstance(level, str) for level in levels):
        problems.add((*keys, name, "high"), high, f"expected levels of '{name}', each in quotes where it is a number")
        return None
    stated = {"high": levels} if levels else {}
    if scheme == "one-sided":
        return {"share": dict(shares), **stated}
    strength = shares["positive"] - shares["negative"]
    return {} if factors.drawn and strength == 0 else {"strength": strength, **stated}
