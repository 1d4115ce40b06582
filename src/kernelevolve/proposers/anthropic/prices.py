"""What a call costs: an editable table of prices per million tokens, and what each model accepts."""

from __future__ import annotations

__all__ = ["VARIABLE", "Model", "Prices", "Rates"]

import math
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, field, fields, frozen

from kernelevolve.errors import KernelEvolveError, suggest
from kernelevolve.evolution.proposal import Usage

#: Names a file of prices that is laid over the built-in one.
VARIABLE: Final = "KERNELEVOLVE_PRICES"
_BUILT_IN: Final = "prices.toml"
_MILLION: Final = 1e6
_THINKING: Final = ("always", "adaptive", "none")


@frozen
class Rates:
    """US dollars per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write_5m: float
    cache_write_1h: float


@frozen
class Model:
    """A model that is offered: what it costs and what may be asked of it."""

    name: str
    rates: Rates
    thinking: str = "none"
    effort: bool = False
    #: What every token of a call costs whose prompt has more than `above` tokens.
    long: Rates | None = None
    above: float = math.inf


@frozen
class Prices:
    """The table: models by name, and what a batch costs in comparison."""

    models: Mapping[str, Model]
    #: Price in a message batch / price otherwise.
    batch: float
    #: The files that it was read from, for messages.
    origin: str = field(eq=False, default="")

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The built-in table with `path`, or else the file that KERNELEVOLVE_PRICES names, laid over it.

        Raises `KernelEvolveError` where a file cannot be read, or says something that is no price.
        """
        text = resources.files(__package__).joinpath(_BUILT_IN).read_text(encoding="utf-8")
        table = tomllib.loads(text)
        named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        origin = "the built-in prices"
        if named is not None:
            own = _read(named)
            table = {**table, **own, "models": {**table["models"], **(own.get("models") or {})}}
            origin = f"{named} and {origin}"
        return cls(
            models={name: _model(name, entry, origin) for name, entry in table["models"].items()},
            batch=_number(table["batch"], "batch", origin),
            origin=origin,
        )

    def model(self, name: str) -> Model:
        """The model called `name`. Raises `KernelEvolveError` that says where one is added."""
        if name in self.models:
            return self.models[name]
        raise KernelEvolveError(
            f"no price is known for the model {name!r}, so no budget could hold; {self.origin} have "
            f"{', '.join(self.models)}.{suggest(name, self.models)} To add it, write [models.{name}] with "
            f"{', '.join(one.name for one in fields(Rates))} into a TOML file and name that file in {VARIABLE}"
        )

    def dollars(self, usage: Usage, *, ttl: str = "5m", batch: bool = False) -> float:
        """What one call with `usage` costs; `ttl` is how long the provider's cache keeps what was written to it."""
        model = self.model(usage.model)
        prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        rates = model.long if model.long is not None and prompt > model.above else model.rates
        write = rates.cache_write_1h if ttl == "1h" else rates.cache_write_5m
        total = (
            usage.input_tokens * rates.input
            + usage.output_tokens * rates.output
            + usage.cache_read_tokens * rates.cache_read
            + usage.cache_write_tokens * write
        )
        return total / _MILLION * (self.batch if batch else 1.0)

    def most(self, model: str, prompt: int, answer: int, *, ttl: str = "5m", batch: bool = False) -> Usage:
        """What a call with `prompt` and `answer` tokens at most cannot cost more than: every token of the prompt at the
        dearest rate that there is for one.
        """
        spoken = Usage(model=model, output_tokens=answer)
        prompts = (
            evolve(spoken, input_tokens=prompt),
            evolve(spoken, cache_read_tokens=prompt),
            evolve(spoken, cache_write_tokens=prompt),
        )
        priced = (evolve(usage, dollars=self.dollars(usage, ttl=ttl, batch=batch)) for usage in prompts)
        return max(priced, key=lambda usage: usage.dollars)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise KernelEvolveError(f"{path}: prices cannot be read ({type(error).__name__}); name a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise KernelEvolveError(f"{path}: prices are not valid TOML: {error}") from None
    unknown = sorted(set(found) - {"batch", "models"})
    if unknown:
        raise KernelEvolveError(f"{path}: unknown key {unknown[0]!r}; a table of prices has batch and [models.NAME]")
    if not isinstance(found.get("models", {}), dict):
        raise KernelEvolveError(f"{path}: models is no table; write [models.NAME] for each model")
    return found


def _model(name: str, entry: Any, origin: str) -> Model:
    where = f"{origin}: [models.{name}]"
    if not isinstance(entry, dict):
        raise KernelEvolveError(f"{where} is no table; it holds prices in dollars per million tokens")
    known = {*(one.name for one in fields(Rates)), "thinking", "effort", "long"}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise KernelEvolveError(f"{where}: unknown key {unknown[0]!r}.{suggest(unknown[0], known)}")
    thinking, effort, long = entry.get("thinking", "none"), entry.get("effort", False), entry.get("long")
    if thinking not in _THINKING:
        raise KernelEvolveError(f"{where}: thinking is {thinking!r}; there is {', '.join(_THINKING)}")
    if not isinstance(effort, bool):
        raise KernelEvolveError(f"{where}: effort is {effort!r}; it is true or false")
    if long is not None and not isinstance(long, dict):
        raise KernelEvolveError(f"{where}: long is no table; it holds `above` and prices")
    return Model(
        name=name,
        rates=_rates(entry, where),
        thinking=thinking,
        effort=effort,
        long=None if long is None else _rates(long, f"{where}.long"),
        above=math.inf if long is None else _number(long.get("above"), "above", f"{where}.long"),
    )


def _rates(entry: Mapping[str, Any], where: str) -> Rates:
    return Rates(**{one.name: _number(entry.get(one.name), one.name, where) for one in fields(Rates)})


def _number(value: object, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise KernelEvolveError(f"{where}: {name} is {value!r}; it is a number that is not negative")
    return float(value)
