"""`r2i evaluate`: how well a run plays what it has learned."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from typing import Any

from acme_r2i.cli import parsing
from acme_r2i.cli.parsing import path, refuse, whole_number, with_default
from acme_r2i.runs import UsageError, files, overrides, policies
from acme_r2i.runs.process import StopSignals
from acme_r2i.runs.train_config import MAX_EPISODE_STEPS

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
    evaluate = commands.add_parser(
        "evaluate",
        help="play episodes with what a run has learned",
        usage="r2i evaluate RUN [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    evaluate.set_defaults(run=run)
    add = evaluate.add_argument
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
    refuse([name.partition("=")[0] for name in others], "evaluate")
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
    from acme_r2i.cli import evaluation_listing  # import JAX
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
        print("\n".join(evaluation_listing.evaluation_lines(trained, result, reference)))
    try:
        evaluation.append_evaluation(trained.folder, result)
    except OSError as error:
        raise UsageError(f"{trained.folder / evaluation.EVALUATIONS}: {error}") from None
    if video is not None:
        with files.writing("--video", typed.video):
            print(f"video: {video.write()}", file=sys.stderr)
    return 0
