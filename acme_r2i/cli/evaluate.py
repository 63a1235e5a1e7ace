"""`r2i evaluate`: how well a run plays what it has learned."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, refuse, whole_number, with_default
from acme_r2i.runs import UsageError, files, overrides, policies, reason
from acme_r2i.runs.process import StopSignals
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS

if TYPE_CHECKING:
    from acme_r2i.environments import TaskReference
    from acme_r2i.runs.evaluation import Evaluation
    from acme_r2i.runs.policies import TrainedRun

_PARAMETERS = {"final": "as the run ended", "checkpoint": "of a checkpoint"}

_DESCRIPTION = """\
Plays whole episodes of a run's task with what the run has learned, in environments of their own,
and shows the mean return, its standard error and its 95% bootstrap interval beside what is known of
the task. Adds a line to RUN/evaluations.jsonl. Each environment plays a fixed number of episodes,
so that short ones do not count more. With the same seed the episodes are the same ones again.
The environments have the options that the run's had, but for those that had them record episodes
(bsuite's --env.results_dir); --env.NAME VALUE sets one of the suite's options for this evaluation.
"""

_EPILOG = """\
examples:
  r2i evaluate runs/first
  r2i evaluate runs/first --episodes 500 --mode sampled --json
  r2i evaluate runs/first --checkpoint latest --video first.gif
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's parser."""
    add = parsing.add_command(
        commands,
        run,
        "evaluate RUN [options]",
        "play episodes with what a run has learned",
        _DESCRIPTION,
        _EPILOG,
    )
    add("folder", type=path, metavar="RUN", help="folder of the run")
    add("--episodes", metavar="N", default="100", help=with_default("how many to play"))
    add(
        "--checkpoint",
        metavar="STEP|latest",
        help="parameters of a kept checkpoint, by its environment steps (default: those that the "
        "run ended with)",
    )
    add(
        "--mode",
        metavar="greedy|sampled",
        default="greedy",
        help=with_default("take the likeliest actions, or draw them as in training"),
    )
    add("--seed", metavar="N", default="0", help=with_default("of environments and policy"))
    add(
        "--num-environments",
        metavar="N",
        help="environments acted for in one call of the policy (default: as many as the run had)",
    )
    add(
        "--max-episode-steps",
        metavar="N|none",
        default=str(MAX_EPISODE_STEPS),
        help=with_default("steps after which an episode is cut off"),
    )
    add(
        "--video",
        type=path,
        metavar="FILE",
        help="film the first environment: a .gif, or a .mp4 with FFmpeg",
    )
    add("--video-episodes", metavar="N", default="1", help=with_default("how many to film"))
    add("--json", action="store_true", help="show the evaluation as JSON")


def run(typed: argparse.Namespace, others: list[str]) -> int:
    """Plays, and prints and writes what came of it; returns the exit code."""
    others, suite_options = parsing.split_suite_options(others)
    refuse([name.partition("=")[0] for name in others], typed)
    video_episodes = whole_number("--video-episodes", typed.video_episodes, 1)
    from acme_r2i.runs import evaluation, playing  # import NumPy

    config = evaluation.EvaluateConfig(
        episodes=typed.episodes,
        mode=typed.mode,
        seed=typed.seed,
        num_environments=typed.num_environments,
        max_episode_steps=typed.max_episode_steps,
    )
    trained = policies.read_run(typed.folder)
    given = overrides.read_suite_options(trained.task, suite_options)
    trained = dataclasses.replace(trained, env_options={**trained.env_options, **given})
    kept = policies.find_parameters(trained.folder, typed.checkpoint)
    if typed.video:
        files.check_file("--video", typed.video)
    from acme_r2i import environments
    from acme_r2i.runs import console

    video = playing.Video(typed.video, trained.task, video_episodes) if typed.video else None
    shown = console.make_progress(sys.stderr)
    so_far = console.EpisodesSoFar(config.episodes)

    def on_episode(episode: Any) -> None:
        so_far.add(episode.episode_return)
        if video is not None:
            video.add(episode)

    with StopSignals("the evaluation") as stop, contextlib.closing(shown):
        result = evaluation.evaluate_run(
            trained,
            kept,
            config,
            wrap_first=video.film if video else None,
            on_episode=on_episode,
            on_step=lambda steps: shown.show(so_far.describe(steps)),
            should_stop=lambda: stop.received is not None,
        )
    if result is None:
        return stop.exit_code
    if typed.json:
        print(json.dumps(dataclasses.asdict(result), indent=2))
    else:
        reference = environments.task_reference(trained.task)
        print("\n".join(evaluation_lines(trained, result, reference)))
    try:
        evaluation.append_evaluation(trained.folder, result)
    except OSError as error:
        raise UsageError(f"{trained.folder / evaluation.EVALUATIONS}: {reason(error)}") from None
    if video is not None:
        with files.writing("--video", typed.video):
            print(f"video: {video.write()}", file=sys.stderr)
    return 0


def evaluation_lines(
    run: TrainedRun, evaluation: Evaluation, reference: TaskReference
) -> list[str]:
    """Describes an evaluation, the returns in a column."""
    from acme_r2i.runs.console import number_of

    after = "" if evaluation.env_steps is None else f", after {evaluation.env_steps:,} env steps"
    described = run.described
    about = [f"preset {described['preset']}"] if "preset" in described else []
    about += [f"seed {described['seed']}"] if "seed" in described else []
    facts = {
        "run": f"{run.folder} ({', '.join([run.kind.name, *about])})",
        "task": run.task,
        "parameters": f"{_PARAMETERS.get(evaluation.parameters, evaluation.parameters)}{after}",
        "played": f"{number_of(evaluation.episodes, 'episode')} of {_lengths(evaluation)}, "
        f"{evaluation.mode} actions, seed {evaluation.seed}, "
        f"{number_of(evaluation.num_environments, 'environment')}, "
        f"{evaluation.wall_seconds:.1f} s "
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
    from acme_r2i.runs.console import number_of

    least, most = min(evaluation.lengths), max(evaluation.lengths)
    text = number_of(least, "step") if least == most else f"{least} to {most} steps"
    number = evaluation.lengths.count(evaluation.max_episode_steps)
    return f"{text} ({number} cut off there)" if number else text


def _measure(measure: str) -> str:
    return "" if measure == "return" else f" ({measure})"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
