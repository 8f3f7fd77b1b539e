"""Policies: candidates that choose a model for each request, by what the request says and nothing else."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.deciding.choose import Decision, RouteRequest, choose
from router.deciding.eligibility import lacking_here
from router.deciding.explained import considered
from router.deciding.needs import Needs
from router.deciding.place import place
from router.deciding.policy import Answer, PolicyRoute, Question, chosen_of
from router.errors import Conflict, InvalidRequest
from router.steering.listed import list_costs
from router.steering.series import model_version, price_version
from tests.router.worlds import SIGNER, START_MS, World, document, experiment, model, world

EASY = {"when": {"metadata": {"kind": "easy"}}, "model": "cheap"}
LONG = {"when": {"input_tokens": {"gt": 1_000}}, "model": "spare"}
SMART: dict[str, object] = {"chooses": ["cheap", "dear", "spare"], "otherwise": "dear", "rules": [EASY, LONG]}
BILLING = RouteRequest(task="support/billing")
EASY_ONE = replace(BILLING, metadata={"kind": "easy"})
REQUESTS = st.builds(
    RouteRequest,
    task=st.just("support/billing"),
    metadata=st.sampled_from([{}, {"kind": "easy"}, {"kind": "hard"}]),
    needs=st.none() | st.builds(Needs, vision=st.booleans(), input_tokens=st.sampled_from([10, 5_000])),
)


def arranged(policy: dict[str, object] | None = None, **changes: object) -> World:
    """The small world whose experiment compares the dear model with a policy."""
    made: dict[str, object] = {
        "policies": {"smart": policy or SMART},
        "experiments": {"cheaper": experiment(candidates=["dear", "smart"], mode="ab")},
        **changes,
    }
    return world(document(**made))


def drawn(made: World, request: RouteRequest, arm: str) -> Decision:
    """A decision of the candidate; requests are the units, so some draw names it soon."""
    return next(seen for _ in range(200) if (seen := made.engine.route(request)).candidate == arm)


def test_the_candidate_is_the_policy_and_the_model_is_its_choice() -> None:
    """Everything is charged to the policy's arm, whichever model it chose."""
    made = arranged()
    for request, chosen in (
        (EASY_ONE, "cheap"),
        (BILLING, "dear"),
        (replace(BILLING, text="w " * 4_000), "spare"),
    ):
        seen = drawn(made, request, "smart")
        assert (seen.model, seen.policy, seen.arm, seen.reason) == (chosen, "smart", 1, "experiment")
        assert seen.model not in seen.fallbacks
        assert f"policy smart {'chose' if chosen != 'dear' else 'takes'} {chosen}" in seen.explanation
        control = drawn(made, request, "dear")
        assert (control.model, control.policy, control.arm) == ("dear", None, 0)
    made.close()


@given(REQUESTS, st.integers(0, 2**22 - 1))
def test_assignment_is_independent_of_the_choice(request_: RouteRequest, number: int) -> None:
    """Law: reason, arm and propensity are those of the same experiment between plain models."""
    number += START_MS << 22
    seen = choose(place(LAW.engine.snapshot, request_), number, SIGNER)
    plain = choose(place(PLAIN.engine.snapshot, request_), number, SIGNER)
    assert (seen.reason, seen.propensity, seen.epoch) == (plain.reason, plain.propensity, plain.epoch)
    salted = LAW.engine.snapshot.tasks["support/billing"].experiment
    other = PLAIN.engine.snapshot.tasks["support/billing"].experiment
    assert salted is not None
    assert other is not None
    assert salted.salt == other.salt
    assert seen.arm == plain.arm


@given(REQUESTS, st.lists(st.integers(0, 2**22 - 1), min_size=2, max_size=6))
def test_the_same_request_gets_the_same_choice(request_: RouteRequest, numbers: list[int]) -> None:
    """Law: whatever is drawn, the policy's choice for a request is one."""
    snapshot = LAW.engine.snapshot
    seen = [choose(place(snapshot, request_), (START_MS << 22) + each, SIGNER) for each in numbers]
    made = [each.choices["smart"] for each in seen if each.choices]
    assert made == made[:1] * len(numbers)
    assert len({each.model for each in seen if each.policy == "smart"}) <= 1


@given(REQUESTS, st.integers(0, 2**22 - 1))
def test_a_policy_that_always_takes_a_model_serves_exactly_as_that_model(
    request_: RouteRequest, number: int
) -> None:
    """Law: with one model able or named for everything, nothing but names differs."""
    number += START_MS << 22
    seen = choose(place(ALWAYS.engine.snapshot, request_), number, SIGNER)
    plain = choose(place(PLAIN.engine.snapshot, request_), number, SIGNER)
    assert (seen.model, seen.reason, seen.arm, seen.propensity, seen.timeout_s) == (
        plain.model, plain.reason, plain.arm, plain.propensity, plain.timeout_s,
    )  # fmt: skip
    assert seen.fallbacks == plain.fallbacks


def _salted(made: World) -> World:
    """The world under one salt for all, so that draws can be compared."""
    snapshot = made.engine.snapshot
    route = snapshot.tasks["support/billing"]
    assert route.experiment is not None
    same = replace(route, experiment=replace(route.experiment, salt="salt"))
    made.engine.snapshot = replace(snapshot, tasks={**snapshot.tasks, "support/billing": same})
    return made


LAW = _salted(arranged())
PLAIN = _salted(world(document(experiments={"cheaper": experiment(mode="ab")})))
ALWAYS = _salted(
    arranged({
        "chooses": ["cheap", "dear"], "otherwise": "cheap",
        "rules": [{"when": {"metadata": {"kind": "hard"}}, "model": "cheap"}],
    })
)  # fmt: skip


ABLE = st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1)


@given(ABLE, st.none() | st.sampled_from(["a", "b", "c", "gone"]))
def test_whom_a_policy_takes_is_able(able: frozenset[str], said: str | None) -> None:
    """Law: its choice, else `otherwise`, else the first that may serve; never one that may not."""
    policy = PolicyRoute("p", ("a", "b", "c"), "b", None)
    told = None if said is None else Answer(said, {"a": 0.25})
    chosen = chosen_of(policy, Question("t", "", {}, None), told, able.__contains__)
    expected = next(each for each in (said, "b", "a", "c") if each in able)
    assert chosen.model == expected
    assert chosen.success == (0.25 if expected == "a" and said in ("a", "b", "c") else None)


def test_a_policy_takes_part_as_long_as_one_of_its_models_is_able() -> None:
    """Eligibility does not hang on the answer, so who takes part cannot depend on what the policy says."""
    models = {"dear": model(10.0, 20.0), "cheap": model(vision=False), "spare": model()}
    made = arranged(models=models)
    picture = replace(EASY_ONE, needs=Needs(vision=True))
    seen = drawn(made, picture, "smart")
    assert (seen.model, seen.reason) == ("dear", "experiment")
    assert "takes dear, as cheap cannot serve the request" in seen.explanation
    assert made.engine.chosen_by["otherwise"] >= 1
    made.close()
    narrow = {"chooses": ["cheap", "spare"], "otherwise": "spare", "rules": [EASY]}
    blind = {**models, "spare": model(vision=False)}
    made = arranged(narrow, models=blind)
    assert {made.engine.route(picture).reason for _ in range(30)} == {"ineligible"}
    assert (
        "smart lacks a model that can serve it: cheap lacks vision" in made.engine.route(picture).explanation
    )
    assert lacking_here("smart", made.engine.snapshot, Needs(tools=True)) == ""
    made.close()


def test_a_champion_may_be_a_policy_and_so_may_a_pin_and_a_rule() -> None:
    """Wherever a model's name stands that decides, a policy's may."""
    made = arranged(
        experiments={},
        routes=[{"when": {"tags": ["vip"]}, "model": "smart"}],
        tasks={"support": {"default": "smart", "fallbacks": ["cheap", "spare"]}, "support/billing": {}},
    )
    seen = made.engine.route(EASY_ONE)
    assert (seen.model, seen.reason, seen.policy, seen.candidate) == ("cheap", "champion", "smart", None)
    assert seen.fallbacks == ("spare",)
    pinned = made.engine.route(RouteRequest(override="smart", metadata={"kind": "easy"}))
    assert (pinned.model, pinned.reason, pinned.policy) == ("cheap", "override", "smart")
    ruled = made.engine.route(RouteRequest(needs=Needs(tags=("vip",))))
    assert (ruled.model, ruled.reason, ruled.policy) == ("dear", "routed", "smart")
    made.control.set_route("support", "dear", "ann")
    made.engine.refresh()
    assert made.engine.route(EASY_ONE).policy is None
    made.control.set_route("support", "smart", "ann")
    with pytest.raises(InvalidRequest, match="not declared"):
        made.control.set_route("support", "smarter", "ann")
    made.close()


def test_a_sticky_unit_keeps_the_policy_and_not_the_model() -> None:
    """The candidate is what is compared; its choice goes on being made for each request."""
    made = arranged(experiments={"cheaper": experiment(candidates=["dear", "smart"], unit="user", mode="ab")})
    users = [f"u{number}" for number in range(30)]
    seen = {user: made.engine.route(replace(BILLING, user=user)) for user in users}
    first = {user: each for user, each in seen.items() if not each.degraded}  # whose look-up was in time
    assert Counter(each.candidate for each in first.values()).keys() == {"dear", "smart"}
    for user in first:
        again = made.engine.route(replace(EASY_ONE, user=user))
        assert (again.candidate, again.reason) == (first[user].candidate, "held")
        assert again.model == ("cheap" if again.candidate == "smart" else "dear")
    made.close()


def test_an_open_conversation_stays_with_a_policy_after_the_experiment() -> None:
    """It keeps its candidate until it is idle, and that goes on choosing."""
    body = experiment(candidates=["dear", "smart"], unit="conversation", mode="ab")
    made = arranged(experiments={"cheaper": body})
    held = [f"c{number}" for number in range(20)]
    first = {each: made.engine.route(replace(BILLING, session=each)) for each in held}
    mine = [each for each, seen in first.items() if seen.candidate == "smart" and not seen.degraded]
    assert mine
    made.engine.recorder.flush()
    made.control.stop("cheaper", "ann")
    made.engine.refresh()
    seen = made.engine.route(replace(EASY_ONE, session=mine[0]))
    assert (seen.reason, seen.policy, seen.model) == ("kept", "smart", "cheap")
    made.close()


@pytest.mark.parametrize("remembered", [True, False])
def test_reported_tokens_cost_what_the_chosen_model_charges(remembered: bool) -> None:
    """A decision's id names the candidate; a policy has no price of its own."""
    made = arranged()
    for request, price in ((EASY_ONE, 1.0), (BILLING, 10.0)):
        seen = drawn(made, request, "smart")
        if not remembered:
            made.engine.recorder.flush()
            made.engine._chosen._models.clear()
        made.give(seen.id, value=1.0, input_tokens=1_000_000, output_tokens=0)
        made.engine.recorder.flush()
        reported = [row for row in made.store.export("feedback") if row["number"] == seen.number]
        assert {row["metric"]: row["value"] for row in reported}["cost_usd"] == price
    made.close()


def test_what_a_policy_was_asked_and_chose_is_explained() -> None:
    """Beside the abilities of all models, in the order in which it counted."""
    made = arranged()
    text = "\n".join(considered(made.engine.snapshot, EASY_ONE, drawn(made, EASY_ONE, "smart")))
    assert "policy smart (of cheap, dear, spare) looks at the request; chose cheap by rules[0]" in text
    control = "\n".join(considered(made.engine.snapshot, BILLING, drawn(made, BILLING, "dear")))
    assert "takes dear, without an answer" in control
    made.close()


def test_a_policys_version_follows_its_rules_models_and_prices() -> None:
    """Another policy behind the same name is another candidate, as another model is."""
    before = document(policies={"smart": SMART})
    drafted = document(policies={"smart": SMART}, experiments={"x": experiment(candidates=["dear", "smart"])})
    definition = drafted.experiments["x"]

    def versions(**changes: object) -> tuple[bool, bool]:
        after = document(**{"policies": {"smart": SMART}, **changes})
        changed = price_version(definition, after) != price_version(definition, before)
        parts = zip(
            model_version(definition, after).split("/"),
            model_version(definition, before).split("/"),
            strict=True,
        )
        return changed, [left != right for left, right in parts][1]

    models: dict[str, object] = {
        "dear": model(10.0, 20.0, tier=2), "cheap": model(1.0, 2.0, tier=1), "spare": model(),
    }  # fmt: skip
    assert versions() == (False, False)
    assert versions(policies={"smart": {**SMART, "rules": [EASY]}}) == (False, True)
    assert versions(policies={"smart": {**SMART, "otherwise": "spare"}}) == (False, True)
    assert versions(policies={"smart": {**SMART, "description": "words only"}}) == (False, False)
    assert versions(models={**models, "spare": model(3.0, 3.0)}) == (True, False)
    assert versions(models={**models, "spare": model(base_url="http://127.0.0.1:8/v1")}) == (False, True)


def test_before_its_first_calls_a_policy_costs_as_its_models_do_on_average() -> None:
    """Its listed cost lies between those of its models; calls correct it soon."""
    both: dict[str, object] = {**SMART, "chooses": ["cheap", "dear"], "rules": [EASY]}
    made = document(
        policies={"smart": both}, experiments={"x": experiment(candidates=["dear", "cheap", "smart"])}
    )
    dear, cheap, smart = list_costs(made.experiments["x"], made)
    assert smart == pytest.approx((dear + cheap) / 2)


def test_mode_shadow_refuses_a_policy_with_words() -> None:
    """Copies go to models; and a draft made elsewhere than by the file is held to it as well."""
    body = experiment(candidates=["dear", "smart"], mode="shadow", shadow_usd_per_day=1.0)
    made = world(document(policies={"smart": SMART}, experiments={"cheaper": body}), started=False)
    with pytest.raises(Conflict, match="'smart' is a policy, and mode shadow sends copies to models"):
        made.control.start("cheaper", "ann")
    made.close()


def test_a_file_without_policies_pays_nothing() -> None:
    """No choices are made, and nothing is looked at for them."""
    made = world()
    snapshot = made.engine.snapshot
    assert dict(snapshot.policies) == {}
    assert not snapshot.asks_policies
    assert not snapshot.screens
    assert made.engine.route(BILLING).choices is None
    made.close()
