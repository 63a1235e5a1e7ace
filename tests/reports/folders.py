"""Run folders as training writes them, with numbers that a test has chosen."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from acme_r2i.runs.config_json import describe_config, describe_machine
from acme_r2i.runs.metrics import Episode
from acme_r2i.runs.run_folder import RunFolder
from tests.helpers import typed_run


def write_run(
    folder: pathlib.Path,
    returns: Sequence[float],
    *,
    env: str = "popgym:RepeatPreviousEasy",
    preset: str = "cpu",
    seed: int = 0,
    fields: Sequence[str] = (),
    length: int = 50,
    ended: bool = True,
    interrupted: bool = False,
) -> pathlib.Path:
    """Writes a run whose episodes have the returns; it does 2 updates and takes 1 s an episode."""
    made = typed_run(env=env, preset=preset, seed=str(seed), workdir=str(folder), fields=fields)
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder, {**describe_config(made), **describe_machine("a test's device")})
    for number, value in enumerate(returns, start=1):
        files.add_episodes([Episode(number * length, number, value, length)])
        files.add_metrics(
            {
                "env_steps": number * length,
                "episodes": number,
                "learner_steps": 2 * (number - 1),
                "wall_seconds": float(number),
                "episode/mean_return_last_100": value,
            }
        )
    if ended:
        files.write_summary(
            {
                "env": env,
                "preset": preset,
                "seed": seed,
                "env_steps": length * len(returns),
                "learner_steps": 2 * len(returns),
                "wall_seconds": float(len(returns)),
                "interrupted": interrupted,
                "failure": None,
            }
        )
    files.close()
    return folder
