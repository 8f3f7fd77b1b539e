"""What would change a verdict, in a sentence: the question every reader asks next."""

from experiments.definition.experiment import Experiment
from experiments.verdict.tick import Tick
from experiments.verdict.verdict import Kind
from experiments.verdict.watch_words import would_end_otherwise


def would_change(definition: Experiment, look: Tick) -> str:
    """What has to happen for another verdict."""
    kind = look.verdict.kind
    words = would_end_otherwise(kind) if look.watching else None
    if words is not None:
        return words
    if kind is Kind.PROMOTE:
        return (
            "Harm on a guardrail, a broken sample ratio or new prices would withdraw it; "
            "more data would only narrow the intervals."
        )
    if kind is Kind.NOT_READY:
        if definition.mode == "shadow":
            return "More time." if look.verdict.candidate else "More pairs of calls."
        return "More time." if look.verdict.candidate else "More units with a reward in every arm."
    if kind is Kind.KEEP_RUNNING:
        return _open_question(definition, look)
    if kind is Kind.ROLL_BACK:
        return "A new experiment with other candidates, or with a wider margin if the loss is acceptable."
    if kind is Kind.STOP_FUTILE:
        return "A new experiment with a smaller min_saving or mde, if such a gain is worth a change."
    if kind is Kind.INCONCLUSIVE:
        return "A new experiment with more max_units, or a wider reward_margin: the effect is too small for this plan."
    if kind is Kind.FIT:
        return "New prices or another model. Whether users are served as well is for an experiment in mode ab or earn."
    if kind is Kind.UNFIT:
        return "A new experiment with other candidates, or with wider bounds if that harm is acceptable."
    if kind is Kind.NEEDS_REVIEW:
        return "Mend the cause, or promote by hand with a reason (--force --why)."
    return "Mend the cause and start a new experiment: this data stays untrusted."


def _open_question(definition: Experiment, look: Tick) -> str:
    """Which rules are still open for the candidate in the lead."""
    if definition.mode == "shadow":
        return "More pairs: every bound must be shown to hold, or one to be broken."
    watched = [one for one in look.candidacies if one.comparison.candidate == look.verdict.candidate]
    names = {rule.name for one in watched for rule in one.rules if rule.state == "open"}
    guarded = {rule.metric for rule in definition.guardrails}
    words = []
    if "not_worse" in names:
        words.append(f"its reward's lower bound rising above {-definition.objective.reward_margin:+g}")
    if "costs" in names:
        words.append("the costs of nearly all units (report cost_usd, or declare a price)")
    if "gain" in names:
        words.append(f"a saving shown to exceed {definition.decision.min_saving:.0%}, or a better objective")
    words += [
        f"{name} shown to stay within its bound"
        for name in sorted(names & {"min_reward", "budget", *guarded})
    ]
    if any(rule.state == "fails" for one in watched for rule in one.rules if rule.name == "served"):
        words.append("the candidate answering its own traffic")
    needs = "To hold, the new champion needs" if look.watching else "A promotion needs"
    return f"{needs} {', and '.join(words)}." if words else "More units."
