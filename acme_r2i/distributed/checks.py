"""Whether a run can be one of many processes, as far as its options tell."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

from acme_r2i.runs.agent_kinds import AGENTS
from acme_r2i.runs.errors import UsageError

if TYPE_CHECKING:
    from acme_r2i.runs.options import TrainOptions


def check_can_be_distributed(options: TrainOptions) -> None:
    """Checks what `--num-actors` goes together with. Nothing is started.

    Raises:
      UsageError: naming what does not.
    """
    if not AGENTS[options.agent].can_be_distributed:
        able = [name for name, kind in AGENTS.items() if kind.can_be_distributed]
        raise UsageError(
            f"--num-actors goes with --agent {' or '.join(able)} only; {options.agent} acts and "
            "learns in one process"
        )
    environments = options.config.num_environments
    if environments % options.num_actors:
        allowed = [n for n in range(1, environments + 1) if environments % n == 0]
        raise UsageError(
            f"--num-actors={options.num_actors} is not allowed: the actors share "
            f"{environments} environments evenly, so it must be one of "
            f"{', '.join(map(str, allowed))}; --num_environments changes how many there are"
        )
    if options.cluster not in ("local", "auto") and not re.fullmatch(
        r"[^\s:/]+:\d+", options.cluster
    ):
        raise UsageError(
            f"--cluster={options.cluster} is not allowed: it must be local, auto, or HOST:PORT of "
            "a Ray cluster"
        )
    from acme_r2i import environments as environments_lib  # imports NumPy

    recording = environments_lib.recording_options(options.env.partition(":")[0])
    for name in recording:
        if options.env_options.get(name):
            raise UsageError(
                f"--env.{name} does not go with --num-actors: it records into one file, from one "
                "process"
            )


def check_ray_is_there() -> None:
    """Raises UsageError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--num-actors needs Ray, which is not installed: pip install ray")
