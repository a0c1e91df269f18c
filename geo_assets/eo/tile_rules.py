"""How the days of yearly tiles are chosen, from the project file."""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from geo_assets.eo.radar_select import RadarRule
from geo_assets.eo.tile_select import DayRule
from geo_assets.eo.tile_steps import StepRule
from geo_assets.errors import ConfigError
from geo_assets.model.ard import ArdRecipe

_KINDS = {"days": DayRule, "steps": StepRule, "radar": RadarRule}


@dataclass(frozen=True)
class TileRules:
    """All three."""

    days: DayRule
    steps: StepRule
    radar: RadarRule


def tile_rules(ard: ArdRecipe) -> TileRules:
    """The rules of a recipe; what it does not name is as it always is.

    Raises:
        ConfigError: A setting is unknown, of another type, or out of range.
    """
    return TileRules(**{name: _rule(name, kind, dict(ard.rules.get(name, {}))) for name, kind in _KINDS.items()})  # type: ignore[call-overload]


def _rule(name: str, kind: Any, given: dict[str, Any]) -> Any:
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"ard.rules.{name}: unknown key {key!r}, {hint}")
        default = known[key].default
        if isinstance(default, tuple):
            raise ConfigError(f"ard.rules.{name}.{key} is a fact of the classes, and cannot be set")
        kinds = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise ConfigError(f"ard.rules.{name}.{key} is {value!r}; its usual value is {default!r}")
    try:
        return kind(**given)
    except ConfigError as e:
        raise ConfigError(f"ard.rules.{name}: {e}") from e
