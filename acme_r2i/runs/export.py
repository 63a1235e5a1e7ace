"""`r2i export`: a run's policy in a folder of its own, to be loaded anywhere.

policy.json     agent, settings, specs of the environment, and what the run's config.json says
parameters.npz  what was learned, as in the run's folder
"""

from __future__ import annotations

import pathlib
import shutil

import jax

from acme_r2i.runs import output_paths, run_folder
from acme_r2i.runs.arrays import load_parameters
from acme_r2i.runs.policies import EXPORTED, FORMAT
from acme_r2i.runs.trained_run import KeptParameters, TrainedRun


def export(run: TrainedRun, kept: KeptParameters, out: pathlib.Path) -> None:
    """Writes what it takes to act as a run has learned to.

    policy.json comes last: without it, what is there is no policy.

    Args:
      run: the run.
      kept: its parameters.
      out: a folder that is made, or is empty.

    Raises:
      UsageError: if the run cannot be rebuilt, or the folder not be written.
    """
    spec = run.plain_spec()
    networks = run.kind.make_networks(run.config, spec)
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    load_parameters(kept.folder, shapes, kept.file)  # they fit
    described = {key: value for key, value in run.described.items() if key != "config"}
    content = {
        "format": FORMAT,
        "agent": run.kind.name,
        "env": run.task,
        "env_options": run.env_options,
        "parameters": kept.source,
        "env_steps": kept.env_steps,
        "learner_steps": kept.learner_steps,
        "specs": spec.to_json(),
        "config": run.described["config"],
        "run": described,
    }
    with output_paths.writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        kept.file.seek(0)
        run_folder.write_whole(
            out / run_folder.PARAMETERS, lambda file: shutil.copyfileobj(kept.file, file)
        )
        run_folder.write_json(out / EXPORTED, content)
