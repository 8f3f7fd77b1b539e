"""Prices: every kind of token at its own rate, and never zero where nobody knows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.model import Model
from router.config.price import Price, PriceTier
from router.config.prices import ListPrice, list_price, priced

BASE = {"base_url": "http://127.0.0.1:9/v1"}
CACHED = priced(3.0, 15.0, cached_input=0.3, cache_write=3.75, cache_write_1h=6.0)
LONG = PriceTier(above_input_tokens=200_000, input=6.0, output=22.5)


def of_price(**fields: object) -> ListPrice:
    """A configured price."""
    found = list_price("m", Model(**BASE, price=Price(**{"input": 3.0, "output": 15.0, **fields})))  # type: ignore[arg-type]  # reason: fields by name
    assert found is not None
    return found


def bundled(provider: str, model: str) -> ListPrice:
    """A price of the bundled list."""
    found = list_price(model, Model(**BASE, provider=provider))  # type: ignore[arg-type]  # reason: as above
    assert found is not None
    return found


def test_each_kind_of_token_has_its_rate() -> None:
    """Known answer: 10 fresh, 70 read, 15 and 5 written, 20 out: (30 + 21 + 56.25 + 30 + 300) / 1e6."""
    cost = CACHED.cost_usd(100, 20, cached=70, written=15, written_1h=5)
    assert cost == pytest.approx(437.25e-6)


def test_what_is_not_priced_apart_costs_as_the_plain_kind() -> None:
    """A provider without a cache price bills cached tokens as input, and reasoning as output."""
    plain = priced(3.0, 15.0)
    assert plain.cost_usd(100, 20, cached=70, written=15, reasoning=20) == plain.cost_usd(100, 20)
    assert of_price(reasoning=5.0).cost_usd(0, 20, reasoning=20) == pytest.approx(100e-6)
    assert of_price(cache_write=4.0).cost_usd(10, 0, written_1h=10) == pytest.approx(40e-6)


def test_a_long_context_prices_the_whole_call() -> None:
    """Known answer: the bound itself is still short, one token more costs the tier's rate for all of them."""
    price = of_price(tiers=(LONG,))
    assert price.cost_usd(200_000, 100) == pytest.approx(0.6 + 0.0015)
    assert price.cost_usd(200_001, 100) == pytest.approx(200_001 * 6e-6 + 100 * 22.5e-6)


def test_the_batch_discount_holds_for_answers_billed_as_batch_or_flex_work() -> None:
    """Only the answer says how it was billed; others pay the whole price."""
    price = of_price(batch_discount=0.5, tiers=(LONG,))
    for service, factor in (("batch", 0.5), ("flex", 0.5), ("default", 1.0), ("priority", 1.0), ("", 1.0)):
        assert price.cost_usd(1_000, 100, service=service) == pytest.approx(factor * 4.5e-3)
    assert price.cost_usd(300_000, 0, service="batch") == pytest.approx(0.9)


def test_an_unknown_price_is_never_zero() -> None:
    """No entry, or an entry without a rate for what was used, is no price; nothing used costs nothing."""
    assert list_price("nobody-knows-it", Model(**BASE)) is None  # type: ignore[arg-type]  # reason: as above
    embedding = bundled("openai", "text-embedding-3-small")
    assert embedding.cost_usd(1_000_000, 0) == pytest.approx(0.02)
    assert embedding.cost_usd(1_000, 1) is None


def test_the_bundled_list_gives_all_kinds_tiers_and_services() -> None:
    """Published prices of two providers, as the list of genai-prices 0.2 holds them."""
    sonnet = bundled("anthropic", "claude-sonnet-4-5")
    assert sonnet.cost_usd(100, 20, cached=70, written=15, written_1h=5) == CACHED.cost_usd(
        100, 20, cached=70, written=15, written_1h=5
    )
    assert sonnet.cost_usd(200_001, 0) == pytest.approx(200_001 * 6e-6)
    gpt = bundled("openai", "gpt-5")
    assert gpt.cost_usd(1_000, 100, cached=800) == pytest.approx((200 * 1.25 + 800 * 0.125 + 100 * 10) / 1e6)
    assert gpt.cost_usd(1_000, 100, service="flex") == pytest.approx(0.5 * (1.25e-3 + 1e-3))


@pytest.mark.parametrize(
    "change",
    [{"input": 4.0}, {"output": 16.0}, {"cached_input": 0.3}, {"cache_write": 3.5}, {"cache_write_1h": 6.0},
     {"reasoning": 14.0}, {"batch_discount": 0.5}, {"tiers": (LONG,)},
     {"tiers": (PriceTier(above_input_tokens=200_001, input=6.0, output=22.5),)}],
)  # fmt: skip
def test_the_version_changes_with_every_number(change: dict[str, object]) -> None:
    """Costs under two versions are not compared, so no change may hide."""
    assert of_price(**change).version != of_price().version
    assert of_price(**change).version == of_price(**change).version


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.fractions(0, 1), st.fractions(0, 1), st.sampled_from(["", "batch"])
)  # fmt: skip
def test_cost_lies_between_the_cheapest_and_the_dearest_kind(
    taken: int, given_back: int, cached: float, written: float, service: str
) -> None:
    """Whatever the split of the input, each token is paid for exactly once."""
    read = int(taken * cached)
    wrote = int((taken - read) * written)
    price = of_price(cached_input=0.3, cache_write=3.75, batch_discount=0.5)
    cost = price.cost_usd(taken, given_back, cached=read, written=wrote, service=service)
    factor = 0.5 if service else 1.0
    assert cost is not None
    low = factor * (taken * 0.3 + given_back * 15.0) / 1e6
    high = factor * (taken * 3.75 + given_back * 15.0) / 1e6
    assert low - 1e-9 <= cost <= high + 1e-9
