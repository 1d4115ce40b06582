"""Settings and prices: checked before anything is called, editable, and never a guess."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import Usage
from kernelevolve.proposers.anthropic import AnthropicProposer, ModelSettings
from kernelevolve.proposers.anthropic.prices import Prices
from kernelevolve.proposers.anthropic.settings import DEFAULT_MODEL, EFFORTS


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERNELEVOLVE_PRICES", raising=False)


def test_every_model_offered_is_one_that_the_sdk_knows_and_does_not_retire() -> None:
    from anthropic.resources.messages.messages import DEPRECATED_MODELS
    from anthropic.types.model_param import ModelParam

    known = {name for part in get_args(ModelParam) for name in get_args(part)}
    offered = set(Prices.load().models)
    assert DEFAULT_MODEL in offered
    assert offered <= known - set(DEPRECATED_MODELS)


def test_efforts_are_the_ones_of_the_api() -> None:
    from anthropic.types import OutputConfigParam

    levels, _none = get_args(get_type_hints(OutputConfigParam)["effort"])
    assert get_args(levels) == EFFORTS


def test_the_built_in_prices_hold_together() -> None:
    """A cache read is cheaper than the input it saves, and writing it for an hour dearer than for five minutes."""
    for model in Prices.load().models.values():
        for rates in (model.rates, *([model.long] if model.long else ())):
            assert 0 < rates.cache_read < rates.input < rates.cache_write_5m < rates.cache_write_1h < rates.output, (
                model
            )


def test_a_call_costs_what_its_tokens_cost() -> None:
    prices = Prices.load()
    million = 10**6
    usage = Usage("claude-opus-5-5", 1, million, 2 * million, 3 * million, 4 * million)
    assert prices.dollars(usage) == pytest.approx(4 + 2 * 20 + 3 * 0.2 + 4 * 5)
    assert prices.dollars(usage, ttl="1h") == pytest.approx(4 + 2 * 20 + 3 * 0.2 + 4 * 8)
    assert prices.dollars(usage, batch=True) == pytest.approx(prices.dollars(usage) / 2)


def test_a_long_prompt_costs_more_where_the_model_says_so() -> None:
    prices = Prices.load()
    short = Usage("claude-haiku-5-5", 1, input_tokens=50_000, cache_read_tokens=50_000, output_tokens=1000)
    long = Usage("claude-haiku-5-5", 1, input_tokens=50_001, cache_read_tokens=50_000, output_tokens=1000)
    assert prices.dollars(short) == pytest.approx((50_000 * 0.1 + 50_000 * 0.01 + 1000 * 0.5) / 1e6)
    assert prices.dollars(long) == pytest.approx((50_001 * 0.5 + 50_000 * 0.05 + 1000 * 2.5) / 1e6)


OWN = """
[models.claude-new-7]
input = 1.0
output = 2.0
cache_read = 0.1
cache_write_5m = 1.25
cache_write_1h = 1.5
effort = true
"""


def test_a_file_of_ones_own_adds_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    settings = ModelSettings(model="claude-new-7", effort="low", prices=path)
    assert settings.check().dollars(Usage("claude-new-7", 1, output_tokens=500_000)) == 1.0
    assert DEFAULT_MODEL in settings.check().models
    with pytest.raises(KernelEvolveError, match=r"no price is known for the model 'claude-new-7'.*KERNELEVOLVE_PRICES"):
        ModelSettings(model="claude-new-7").check()
    monkeypatch.setenv("KERNELEVOLVE_PRICES", str(path))
    assert ModelSettings(model="claude-new-7").check().model("claude-new-7").rates.output == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "not valid TOML"),
        ("currency = 'EUR'", "unknown key 'currency'"),
        ("models = 3", "models is no table"),
        (OWN.replace("output = 2.0", ""), "output is None"),
        (OWN.replace("output = 2.0", "output = -1"), "output is -1"),
        (OWN.replace("output = 2.0", "output = nan"), "output is nan"),
        (OWN.replace("output = 2.0", "output = '2'"), "output is '2'"),
        (OWN.replace("output = 2.0", "out = 2.0"), "unknown key 'out'"),
        (OWN + "thinking = 'hard'", "thinking is 'hard'"),
        (OWN.replace("effort = true", "effort = 1"), "effort is 1"),
        ("batch = 'half'", "batch is 'half'"),
    ],
)
def test_a_wrong_file_of_prices_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(KernelEvolveError) as caught:
        Prices.load(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_of_prices_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(KernelEvolveError, match="prices cannot be read"):
        Prices.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"model": "a\nb"},
        {"effort": "extreme"},
        {"max_tokens": 10},
        {"max_tokens": 10**6},
        {"turns": 0},
        {"turns": True},
        {"width": 0},
        {"retries": -1},
        {"turns": 2.5},
        {"batch": 1},
        {"prices": 3},
        {"timeout": 0},
        {"cache_ttl": "2h"},
        {"base_url": "api.anthropic.com"},
        {"base_url": "https://user:hunter2@example.com"},
        {"base_url": "https://example.com/?key=1"},
    ],
)
def test_a_wrong_setting_names_itself(wrong: dict) -> None:
    with pytest.raises(KernelEvolveError) as caught:
        ModelSettings(**wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_effort_that_the_model_does_not_take_is_said_before_any_call(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(OWN.replace("effort = true", ""))
    with pytest.raises(KernelEvolveError, match="takes no effort"):
        ModelSettings(model="claude-new-7", effort="high", prices=path).check()


def test_without_a_key_it_says_so_and_names_the_built_in_proposer(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "  "):
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False) if value is None else monkeypatch.setenv(
            "ANTHROPIC_API_KEY", value
        )
        with pytest.raises(KernelEvolveError, match=r"set ANTHROPIC_API_KEY, or .*--proposer rewriting"):
            AnthropicProposer().check_ready()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "anthropic" else find(name, *more)
    )
    with pytest.raises(KernelEvolveError, match=r"kernelevolve\[anthropic\].*--proposer rewriting"):
        AnthropicProposer().check_ready()


def test_with_a_key_it_is_ready_and_an_unpriced_model_is_not(key: str) -> None:
    AnthropicProposer().check_ready()
    with pytest.raises(KernelEvolveError, match="no price is known"):
        AnthropicProposer(ModelSettings(model="claude-unheard-of")).check_ready()


def test_settings_come_from_json_values(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    made = AnthropicProposer.configured({"model": "claude-new-7", "width": 9, "effort": None, "prices": str(path)})
    assert made.settings == ModelSettings(model="claude-new-7", width=9, prices=path)
    assert made.width == 9
    assert made.library is not None
    assert len(made.library) > 0
    with pytest.raises(KernelEvolveError, match=r"'mode'.*Did you mean 'model'"):
        AnthropicProposer.configured({"mode": "claude-opus-5-5"})


def test_it_is_what_the_run_looks_for() -> None:
    from kernelevolve.evolution.proposal import Readies, TakesModel

    assert isinstance(AnthropicProposer, TakesModel)
    assert isinstance(AnthropicProposer(), Readies)
