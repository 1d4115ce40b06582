"""How the model is asked: which one, how hard it tries, how much it may write, how many proposals are open at once."""

from __future__ import annotations

__all__ = ["DEFAULT_MODEL", "EFFORTS", "ModelSettings"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from attrs import Attribute, field, fields, frozen

from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.proposers.anthropic.prices import Prices

#: Strong at code, and not the dearest: the prices say what it costs.
DEFAULT_MODEL: Final = "claude-opus-5-5"
#: What the API takes, from little to much.
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
#: Tokens that a reply of a current model may have.
_MOST_TOKENS: Final = 128_000
#: Below, no reply could hold a kernel.
_LEAST_TOKENS: Final = 1024

_Check = Any  # attrs' validators take (instance, attribute, value)


def _between(low: float, high: float) -> _Check:
    def check(_instance: object, attribute: Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise KernelEvolveError(f"{attribute.name} is {value!r}; it is a number from {low:g} to {high:g}")

    return check


def _one_of(known: Sequence[str | None]) -> _Check:
    def check(_instance: object, attribute: Attribute[Any], value: object) -> None:
        if value not in known:
            listed = ", ".join(str(one) for one in known if one is not None)
            raise KernelEvolveError(f"{attribute.name} is {value!r}; there is {listed}")

    return check


def _name(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise KernelEvolveError(f"{attribute.name} is {value!r}; it is a model's name, such as {DEFAULT_MODEL}")


def _flag(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise KernelEvolveError(f"{attribute.name} is {value!r}; it is true or false")


def _path(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, Path):
        raise KernelEvolveError(f"{attribute.name} is {value!r}; it is the path of a TOML file")


def _whole(low: int, high: int) -> _Check:
    def check(_instance: object, attribute: Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise KernelEvolveError(f"{attribute.name} is {value!r}; it is a whole number from {low} to {high}")

    return check


def _address(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is None:
        return
    parts = urlsplit(str(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise KernelEvolveError(f"{attribute.name} is no address; write https://api.example.com")
    if parts.username or parts.password or parts.query:
        raise KernelEvolveError(f"{attribute.name} holds a user, a password or a query; give the address alone")


@frozen
class ModelSettings:
    """Settings of `AnthropicProposer`. None of them is a secret; the key is read from the environment alone."""

    #: One that the table of prices knows.
    model: str = field(default=DEFAULT_MODEL, validator=_name)
    #: None: the model's own default.
    effort: str | None = field(default=None, validator=_one_of((None, *EFFORTS)))
    #: Tokens of one reply, thinking included, at most.
    max_tokens: int = field(default=32_000, validator=_whole(_LEAST_TOKENS, _MOST_TOKENS))
    #: Calls of the model for one proposal, at most; one more where the last one's kernel has to be repaired.
    turns: int = field(default=8, validator=_whole(1, 50))
    #: Proposals open at once.
    width: int = field(default=4, validator=_whole(1, 256))
    #: Another address of the Messages API; None: the SDK's own (ANTHROPIC_BASE_URL, or Anthropic's).
    base_url: str | None = field(default=None, validator=_address)
    #: Message batches: half the price, and minutes to hours until they are answered.
    batch: bool = field(default=False, validator=_flag)
    #: Seconds between looks at a batch.
    batch_poll: float = field(default=20.0, validator=_between(0, 3600))
    #: Seconds for which a batch waits for further requests before it is sent, where it has fewer than `width`.
    batch_wait: float = field(default=5.0, validator=_between(0, 3600))
    #: How long the provider keeps a cached prefix: ``5m``, or ``1h`` at a higher price.
    cache_ttl: str = field(default="5m", validator=_one_of(("5m", "1h")))
    #: Repetitions of one call after an overload, a rate limit or a lost connection.
    retries: int = field(default=6, validator=_whole(0, 20))
    #: Seconds without a byte after which a connection counts as lost.
    timeout: float = field(default=180.0, validator=_between(0.01, 3600))
    #: A file of prices laid over the built-in one; None: what KERNELEVOLVE_PRICES names.
    prices: Path | None = field(default=None, validator=_path)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Settings from JSON values; what is missing or null keeps its default. Raises `KernelEvolveError`."""
        known = [one.name for one in fields(cls)]
        unknown = [name for name in record if name not in known]
        if unknown:
            raise UnknownNameError("setting of the model", unknown[0], known)
        given = {name: value for name, value in record.items() if value is not None}
        if isinstance(given.get("prices"), str):
            given["prices"] = Path(given["prices"])
        return cls(**given)

    def check(self) -> Prices:
        """The table of prices, once the model is known and takes what is asked. Raises `KernelEvolveError`."""
        prices = Prices.load(self.prices)
        model = prices.model(self.model)
        if self.effort is not None and not model.effort:
            raise KernelEvolveError(f"the model {self.model} takes no effort; leave it out, or choose another model")
        return prices
