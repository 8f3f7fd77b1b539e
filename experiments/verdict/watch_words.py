"""Words of a watch: a holdback's verdict says whether the new champion holds, as there is nothing to promote.

The kind stays what the tests found, for whoever reads it by machine: `promote` is a champion that still passes
every rule, `roll_back` one that was shown to have regressed.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments.definition.experiment import Experiment
from experiments.verdict.progress import Progress
from experiments.verdict.rules import Candidacy
from experiments.verdict.verdict import Kind, Verdict, deciding_figures, futility


def in_words_of_a_watch(
    definition: Experiment, verdict: Verdict, candidacies: Sequence[Candidacy], progress: Progress
) -> Verdict:
    """The verdict with a sentence for a holdback: its only rival of the control is the champion already."""
    old, new = definition.candidates[0], definition.candidates[-1]
    sentence = verdict.sentence
    if verdict.kind is Kind.PROMOTE and candidacies:
        sentence = f"{new} holds: {deciding_figures(definition, candidacies[0])}. It serves already."
    elif verdict.kind is Kind.KEEP_RUNNING:
        sentence = sentence.replace("Keep running: ", "Keep watching: ", 1)
    elif verdict.kind is Kind.ROLL_BACK:
        reasons = "; ".join(f"{name}: {why}" for name, why in progress.dropped.items())
        sentence = f"Regression seen, {old} is to serve again. {reasons}."
    elif verdict.kind is Kind.STOP_FUTILE:
        sentence = f"No regression is shown, and no gain over {old} is left to keep: {futility(candidacies)}."
    elif verdict.kind is Kind.INCONCLUSIVE:
        sentence = f"The {definition.decision.max_units:,} units of the watch showed no regression of {new}."
    return replace(verdict, sentence=sentence)


def would_end_otherwise(kind: Kind) -> str | None:
    """What would change the verdict of a watch; None where it is what any experiment says."""
    return _WOULD_CHANGE.get(kind)


_WOULD_CHANGE = {
    Kind.PROMOTE: "A regression of the reward or of a guardrail would roll it back; until then the watch goes on.",
    Kind.ROLL_BACK: "Nothing in this watch: the earlier champion serves again. Others need a new experiment.",
    Kind.STOP_FUTILE: "A regression would roll it back; a gain shown anew would make it hold.",
    Kind.INCONCLUSIVE: "Nothing in this watch: it is over, and the champion stays.",
    Kind.NEEDS_REVIEW: "Mend the cause, or give the task its earlier champion back by hand.",
}
