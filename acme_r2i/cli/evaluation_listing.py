"""What `r2i evaluate` shows: an evaluation beside what is known of its task."""

from __future__ import annotations

from acme_r2i.environments import TaskReference
from acme_r2i.runs.evaluation import Evaluation
from acme_r2i.runs.policies import TrainedRun

_PARAMETERS = {"final": "as the run ended", "checkpoint": "of a checkpoint"}


def evaluation_lines(
    run: TrainedRun, evaluation: Evaluation, reference: TaskReference
) -> list[str]:
    """Describes an evaluation for people, the returns in a column."""
    after = "" if evaluation.env_steps is None else f", after {evaluation.env_steps:,} env steps"
    described = run.described
    about = [f"preset {described['preset']}"] if "preset" in described else []
    about += [f"seed {described['seed']}"] if "seed" in described else []
    facts = {
        "run": f"{run.folder} ({', '.join([run.kind.name, *about])})",
        "task": run.task,
        "parameters": f"{_PARAMETERS.get(evaluation.parameters, evaluation.parameters)}{after}",
        "played": f"{evaluation.episodes} episodes of {_lengths(evaluation)}, "
        f"{evaluation.mode} actions, seed {evaluation.seed}, "
        f"{evaluation.num_environments} environments, {evaluation.wall_seconds:.1f} s "
        f"({evaluation.env_steps_per_second:,.0f} steps/s)",
    }
    rows = [("mean return", evaluation.mean_return, _spread(evaluation))]
    rows += [
        (name, value, reference.source if name == "chance" else "")
        for name, value in (
            ("chance", reference.chance_return),
            ("solved from", reference.solved_return),
            ("best", reference.max_return),
        )
        if value is not None
    ]
    rows += [
        (score.who, score.value, f"{score.source}{_measure(score.measure)}")
        for score in reference.published
    ]
    width = max(12, *(len(name) + 2 for name, _, _ in rows))
    lines = [f"{name:<{width}}{text}" for name, text in facts.items()]
    lines += [f"{name:<{width}}{_number(value):>9}  {text}".rstrip() for name, value, text in rows]
    return lines


def _spread(evaluation: Evaluation) -> str:
    if evaluation.stderr is None:
        return "one episode says nothing of the spread"
    low, high = evaluation.interval_95
    return (
        f"standard error {_number(evaluation.stderr)}, 95% interval {_number(low)} to "
        f"{_number(high)}; least {_number(min(evaluation.returns))}, most "
        f"{_number(max(evaluation.returns))}"
    )


def _lengths(evaluation: Evaluation) -> str:
    least, most = min(evaluation.lengths), max(evaluation.lengths)
    text = f"{least} steps" if least == most else f"{least} to {most} steps"
    number = evaluation.lengths.count(evaluation.max_episode_steps)
    return f"{text} ({number} cut off there)" if number else text


def _measure(measure: str) -> str:
    return "" if measure == "return" else f" ({measure})"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
