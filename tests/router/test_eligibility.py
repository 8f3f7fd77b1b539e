"""Which model may serve: eligibility is settled before any share is drawn."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.model import Model
from router.config.prices import priced
from router.deciding.choose import Decision, RouteRequest, choose
from router.deciding.eligibility import estimated_usd, lacking
from router.deciding.explained import considered
from router.deciding.needs import Needs
from router.deciding.place import place
from router.errors import InvalidRequest
from tests.router.worlds import SIGNER, START_MS, World, document, experiment, model, world

URL = "http://127.0.0.1:9/v1"
BILLING = RouteRequest(task="support/billing")
ANY_NEEDS = st.builds(
    Needs,
    max_cost_usd=st.none() | st.floats(1e-6, 10),
    latency=st.sampled_from([None, "interactive", "batch"]),
    residency=st.sampled_from([None, "eu", "us"]),
    language=st.sampled_from([None, "de", "de-at", "th"]),
    domain=st.sampled_from([None, "law"]),
    skills=st.sampled_from([(), ("code",), ("code", "maths")]),
    tags=st.sampled_from([(), ("gold",)]),
    input_tokens=st.none() | st.integers(0, 1_000_000),
    output_tokens=st.none() | st.integers(0, 100_000),
    tools=st.booleans(),
    vision=st.booleans(),
    audio=st.booleans(),
    json_mode=st.booleans(),
)


def able(**declared: object) -> Model:
    """A model that declares these abilities."""
    return Model.model_validate({"base_url": URL, **declared})


@given(ANY_NEEDS)
def test_what_is_not_declared_counts_as_able(needs: Needs) -> None:
    """A configuration that says nothing must refuse nothing; only a money ceiling needs something known, the price."""
    assert lacking(able(), priced(1.0, 2.0), replace(needs, max_cost_usd=None)) == ""


@pytest.mark.parametrize(
    ("declared", "needs", "word"),
    [
        ({"tools": False}, Needs(tools=True), "tools"),
        ({"vision": False}, Needs(vision=True), "vision"),
        ({"audio": False}, Needs(audio=True), "audio"),
        ({"json_mode": False}, Needs(json_mode=True), "JSON mode"),
        ({"context_tokens": 1_000}, Needs(input_tokens=900, output_tokens=101), "context_tokens is 1000"),
        ({"max_output_tokens": 100}, Needs(output_tokens=101), "max_output_tokens is 100"),
        ({"languages": ("de",)}, Needs(language="th"), "language th"),
        ({"languages": ("pt-BR",)}, Needs(language="pt"), "language pt"),
        ({"domains": ()}, Needs(domain="law"), "domain law"),
        ({"skills": ("code",)}, Needs(skills=("code", "maths")), "skill maths"),
        ({"tags": ("gold",)}, Needs(tags=("vip",)), "tag vip"),
        ({"residency": ("us",)}, Needs(residency="eu"), "residency eu"),
        ({"latency": "batch"}, Needs(latency="interactive"), "latency interactive"),
        ({}, Needs(max_cost_usd=0.001, input_tokens=10_000), "max_cost 0.001"),
    ],
)
def test_each_missing_ability_is_named(declared: dict[str, object], needs: Needs, word: str) -> None:
    """The caller must learn what to change, and a bound must hold exactly."""
    assert word in lacking(able(**declared), priced(1.0, 2.0), needs)


@pytest.mark.parametrize(
    ("declared", "needs"),
    [
        ({"context_tokens": 1_000}, Needs(input_tokens=900, output_tokens=100)),
        ({"languages": ("DE", "pt-BR")}, Needs(language="de-at")),
        ({"residency": ("EU", "us")}, Needs(residency="eu")),
        ({"tags": ("Gold", "vip")}, Needs(tags=("vip", "gold"))),
        ({"latency": "batch"}, Needs(latency="batch")),
        ({"latency": "batch"}, Needs()),
        ({"tools": False, "vision": False}, Needs(json_mode=True)),
        ({}, Needs(max_cost_usd=0.012, input_tokens=10_000)),
    ],
)
def test_what_is_declared_enough_is_able(declared: dict[str, object], needs: Needs) -> None:
    """A bound that is met exactly is met, and words are compared whatever their case."""
    assert lacking(able(**declared), priced(1.0, 2.0), needs) == ""


def test_an_unknown_price_is_no_proof_of_being_cheap_enough() -> None:
    """An unknown price is never zero: a ceiling in money is not met by ignorance."""
    assert "known price" in lacking(able(), None, Needs(max_cost_usd=1.0))
    assert estimated_usd(able(), None, Needs()) is None


def test_the_estimate_takes_the_longest_answer_that_is_allowed() -> None:
    """1,000 tokens where nobody says, less where the model cannot, else what the request allows."""
    price = priced(1.0, 2.0)
    assert estimated_usd(able(), price, Needs(input_tokens=500)) == pytest.approx((500 + 2 * 1_000) / 1e6)
    short = able(max_output_tokens=100)
    assert estimated_usd(short, price, Needs(input_tokens=500)) == pytest.approx((500 + 2 * 100) / 1e6)
    assert estimated_usd(able(), price, Needs(output_tokens=7)) == pytest.approx(14 / 1e6)


def rooms(dear: dict[str, object], cheap: dict[str, object], spare: dict[str, object] | None = None) -> World:
    """The small world with declared abilities."""
    return world(
        document(
            models={
                "dear": model(10.0, 20.0, tier=2, **dear),
                "cheap": model(1.0, 2.0, tier=1, **cheap),
                "spare": model(**(spare or {})),
            }
        )
    )


def routed(made: World, **needs: object) -> Decision:
    """One decision of the task with the experiment."""
    return made.engine.route(replace(BILLING, needs=Needs(**needs)))  # type: ignore[arg-type]  # reason: any field


def test_a_request_that_one_candidate_cannot_serve_stays_outside_the_experiment() -> None:
    """Drawn first and screened later, such requests would be missing from one arm only."""
    made = rooms({}, {"vision": False})
    decisions = [routed(made, vision=True) for _ in range(200)]
    assert {(d.model, d.reason, d.experiment_id, d.propensity) for d in decisions} == {
        ("dear", "ineligible", 0, 1.0)
    }
    assert "cheap lacks vision" in decisions[0].explanation
    inside = Counter(routed(made, tools=True).reason for _ in range(200))
    assert inside == {"experiment": 200}
    made.engine.recorder.flush()
    counted = {count.reason: count.decisions for count in made.store.traffic()}
    assert counted == {"ineligible": 200, "experiment": 200}
    made.close()


@given(ANY_NEEDS)
def test_the_draw_never_depends_on_what_one_candidate_lacks(needs: Needs) -> None:
    """Law: inside the experiment every live candidate can serve the request; outside, the one that serves can."""
    made = LAW
    request = replace(BILLING, needs=needs)
    snapshot = made.engine.snapshot
    try:
        placement = place(snapshot, request)
    except InvalidRequest:
        route = snapshot.tasks["support/billing"]
        known = replace(needs, input_tokens=needs.input_tokens or 0)
        names = (route.champion, *route.fallbacks, "cheap")
        assert all(lacking(snapshot.models[name], snapshot.prices[name], known) for name in names)
        return
    decision = choose(placement, START_MS << 22, SIGNER)
    known = replace(needs, input_tokens=needs.input_tokens or 0)
    names = ("dear", "cheap") if decision.experiment_id else (decision.model,)
    for name in (*names, *decision.fallbacks):
        assert lacking(snapshot.models[name], snapshot.prices[name], known) == ""


LAW = rooms(
    {
        "vision": False,
        "context_tokens": 200_000,
        "residency": ["us"],
        "languages": ["de"],
        "latency": "interactive",
    },
    {"tools": False, "context_tokens": 8_000, "residency": ["eu", "us"], "tags": ["gold"]},
    {"audio": False, "max_output_tokens": 4_000, "residency": ["eu"], "skills": ["code"]},
)


def test_where_the_champion_cannot_serve_the_first_model_of_the_task_that_can_does() -> None:
    """A fallback before a candidate: it is what the task declared for when the champion fails."""
    made = rooms({"vision": False}, {})
    seen = routed(made, vision=True)
    assert (seen.model, seen.reason, seen.fallbacks) == ("spare", "ineligible", ())
    made.close()
    only_cheap = rooms({"vision": False}, {}, {"vision": False})
    assert routed(only_cheap, vision=True).model == "cheap"
    only_cheap.close()


def test_where_no_model_can_serve_the_error_names_what_is_missing() -> None:
    """A clear refusal before any call, instead of an upstream's."""
    made = rooms({"vision": False}, {"vision": False}, {"vision": False})
    with pytest.raises(InvalidRequest, match=r"'support/billing'.*dear lacks vision"):
        routed(made, vision=True)
    made.close()


def test_fallbacks_are_screened_too() -> None:
    """Data that must stay in the EU may not leave it because a model was down."""
    made = rooms({"residency": ["eu"]}, {"residency": ["eu"]}, {"residency": ["us"]})
    assert routed(made).fallbacks == ("spare",)
    inside = routed(made, residency="eu")
    assert (inside.reason, inside.fallbacks) == ("experiment", ())
    made.close()


def test_pinned_models_and_tiers_are_held_to_it_as_well() -> None:
    """A pin that cannot work is refused by name; a tier serves by the first of its models that is able."""
    made = rooms({"tools": False}, {"tools": False})
    asked = Needs(tools=True)
    with pytest.raises(InvalidRequest, match=r"'cheap' lacks tools"):
        made.engine.route(replace(BILLING, override="cheap", needs=asked))
    with pytest.raises(InvalidRequest, match="no model of the tier"):
        made.engine.route(replace(BILLING, tier=1, needs=asked))
    made.close()
    pair = world(
        document(
            models={
                "dear": model(10.0, 20.0, tier=1, tools=False),
                "cheap": model(tier=2),
                "spare": model(tier=1),
            },
            experiments={},
        )
    )
    seen = pair.engine.route(replace(BILLING, tier=1, needs=asked))
    assert (seen.model, seen.reason) == ("spare", "tier")
    assert pair.engine.route(replace(BILLING, tier=1)).model == "dear"
    pair.close()


def test_a_held_unit_comes_back_to_its_candidate_after_a_request_it_could_not_serve() -> None:
    """One picture in a conversation must not move the whole of it."""
    made = world(
        document(
            models={"dear": model(10.0, 20.0), "cheap": model(vision=False), "spare": model()},
            experiments={"cheaper": experiment(unit="user", mode="ab")},
        )
    )
    users = [f"u{number}" for number in range(20)]
    first = {user: made.engine.route(replace(BILLING, user=user)).model for user in users}
    assert set(first.values()) == {"dear", "cheap"}
    for user in users:
        seen = made.engine.route(replace(BILLING, user=user, needs=Needs(vision=True)))
        assert (seen.model, seen.reason) == ("dear", "ineligible")
        assert made.engine.route(replace(BILLING, user=user)).model == first[user]
    made.close()


def test_a_dropped_candidate_no_longer_narrows_the_experiment() -> None:
    """Only candidates that still get traffic matter; else a dropped one would keep requests out for ever."""
    made = world(
        document(
            models={"dear": model(), "cheap": model(), "spare": model(vision=False)},
            experiments={"cheaper": experiment(candidates=["dear", "cheap", "spare"])},
        )
    )
    snapshot = made.engine.snapshot
    request = replace(BILLING, needs=Needs(vision=True))
    assert place(snapshot, request).reason == "ineligible"
    route = snapshot.tasks["support/billing"]
    assert route.experiment is not None
    dropped = replace(route, experiment=replace(route.experiment, dropped=frozenset({2})))
    after = replace(snapshot, tasks={**snapshot.tasks, "support/billing": dropped})
    assert place(after, request).reason == "experiment"
    made.close()


def test_the_length_of_a_text_is_looked_at_only_where_a_model_declares_a_bound() -> None:
    """The library's callers get it for free; others pay nothing for it."""
    made = rooms({}, {"context_tokens": 100})
    long = made.engine.route(replace(BILLING, text="word " * 200))
    assert (long.model, long.reason) == ("dear", "ineligible")
    assert made.engine.route(replace(BILLING, text="word " * 20)).reason == "experiment"
    made.close()
    free = world()
    assert not free.engine.snapshot.screens
    assert free.engine.route(replace(BILLING, text="word " * 200_000)).reason == "experiment"
    free.close()


def test_everything_that_was_considered_is_said() -> None:
    """`reason` is one word; whoever wonders reads which model could what, and what was asked."""
    made = rooms({}, {"vision": False})
    request = replace(BILLING, needs=Needs(vision=True, max_cost_usd=0.5, input_tokens=10))
    lines = considered(made.engine.snapshot, request, made.engine.route(request))
    text = "\n".join(lines)
    for part in (
        "task support/billing, by explicit",
        "asked: max_cost_usd 0.5; input_tokens 10; vision",
        "dear (champion, candidate): able, about $0.02",
        "cheap (candidate): lacks vision",
        "spare (fallback): able",
        "experiment cheaper assigns by request: dear 50%, cheap 50%",
        "dear serves, reason ineligible",
    ):
        assert part in text
    made.close()
