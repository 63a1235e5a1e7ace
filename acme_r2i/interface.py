"""The Python interface: trains runs and reads them. ``acme_r2i`` exports these names."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from acme_r2i.runs import policies, run_folder
from acme_r2i.runs.config_json import read_config
from acme_r2i.runs.files import read_json
from acme_r2i.runs.train_config import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

    from acme_r2i.agents.common.policy import Policy
    from acme_r2i.runs.evaluation import Evaluation
    from acme_r2i.runs.imagine import Prediction

# Module that holds environments passed as objects, for tasks named import:acme_r2i_given:...
_GIVEN = "acme_r2i_given"
_numbers = itertools.count(1)


def train(env: Any, **options: Any) -> Run:
    """Trains a run, or resumes the one in ``workdir``, and shows its progress.

    An interrupt (Ctrl-C, or a notebook's stop button) stops the run with a checkpoint, and the run
    so far is returned. Other threads are not interrupted.

    Args:
      env: name of a task ("suite:task"); a function that makes a ``dm_env.Environment`` or a
        ``gymnasium.Env`` (called with ``seed=`` if it has that parameter); or one environment.
      **options: other fields of :class:`TrainConfig`.

    Returns:
      The run.

    Raises:
      ValueError: for an option that is not allowed. Nothing is written.
      RunFailedError: if the run failed.
    """
    if _is_environment(env):
        options["overrides"] = {"num_environments": 1, **options.get("overrides", {})}
        if options["overrides"]["num_environments"] != 1:
            raise ValueError("an environment is one; for several, pass a function that makes one")
    config = TrainConfig(env=task_name(env), **options)
    start(config)
    return Run(config.workdir, env=None if isinstance(env, str) else env)


def start(config: TrainConfig) -> int:
    """Trains in this process, or on Ray; returns the exit code of ``runs.train.train``."""
    from acme_r2i.runs.train import train

    if config.num_actors is None:
        return train(config)
    from acme_r2i.distributed.train import train_on_cluster

    return train(config, train_on_cluster)


class Run:
    """A run on disk.

    Attributes:
      folder: folder of the run.
      config: content of config.json.
    """

    def __init__(self, folder: str | os.PathLike[str], *, env: Any = None):
        """Reads config.json.

        Args:
          folder: folder of the run.
          env: environment or function that ``train`` was given, if it cannot be imported.

        Raises:
          ValueError: if the folder holds no run of this version.
        """
        self.folder = pathlib.Path(folder)
        self.config = read_config(self.folder)
        self._env = env

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}): {run_folder.describe_run(self.folder)}"

    @property
    def summary(self) -> Mapping[str, Any]:
        """Content of summary.json; {} until the run ends."""
        path = self.folder / run_folder.SUMMARY
        return read_json(path) if path.exists() else {}

    @property
    def episodes(self) -> pd.DataFrame:
        """A row an episode: env_steps, episode, return, length."""
        import pandas as pd

        return pd.read_csv(self.folder / run_folder.EPISODES)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a line of metrics.jsonl; docs/metrics.md has the names and units."""
        import pandas as pd

        return pd.DataFrame(run_folder.read_metrics(self.folder))

    def evaluate(
        self,
        episodes: int = 100,
        *,
        mode: str = "greedy",
        seed: int = 0,
        checkpoint: str | int | None = None,
        num_environments: int | None = None,
        max_episode_steps: int | None = 100_000,
    ) -> Evaluation:
        """Plays whole episodes with the trained policy, as `r2i evaluate` does.

        Args:
          episodes: number of episodes.
          mode: "greedy" for the likeliest actions, "sampled" to draw them as in training.
          seed: seed of environments and policy.
          checkpoint: environment steps of a kept checkpoint, or "latest"; None for the parameters
            at the run's end.
          num_environments: environments acted for at once; None for as many as the run had.
          max_episode_steps: steps after which an episode is truncated; None for no limit.

        Returns:
          The result, which is also added to evaluations.jsonl.
        """
        from acme_r2i.runs import evaluation

        config = evaluation.EvaluateConfig(
            episodes, mode, seed, num_environments, max_episode_steps
        )
        if _is_environment(self._env):
            config = config.of_run(1)
        kept = self._parameters(checkpoint)
        result = evaluation.evaluate_run(self._trained(), kept, config)
        evaluation.append_evaluation(self.folder, result)
        return result

    def policy(
        self,
        *,
        mode: str = "greedy",
        seed: int = 0,
        num_environments: int | None = None,
        checkpoint: str | int | None = None,
    ) -> Policy:
        """Returns the trained policy; arguments as of :func:`load` and ``evaluate``."""
        from acme_r2i.agents.common.checks import is_greedy
        from acme_r2i.runs.policies import load_parameters, make_policy

        greedy = is_greedy(mode)
        trained, kept = self._trained(), self._parameters(checkpoint)
        return make_policy(
            trained.kind,
            trained.config,
            trained.plain_spec(),
            functools.partial(load_parameters, kept.folder, file=kept.file),
            greedy=greedy,
            seed=seed,
            num_environments=num_environments,
        )

    def imagine(
        self,
        *,
        context: int | None = None,
        horizon: int | None = None,
        seed: int = 0,
        checkpoint: str | int | None = None,
    ) -> Prediction:
        """Plays an episode and predicts its end with the world model, as `r2i imagine` does.

        Args:
          context: number of rows that the model sees; None for 10, or fewer in a short episode.
          horizon: number of rows that it predicts, at most to the episode's end; None for 30.
          seed: seed of the episode and of the prediction.
        """
        from acme_r2i.runs import imagine

        wanted = None if checkpoint is None else str(checkpoint)
        model = imagine.load_model(self._trained(), seed, wanted)
        return imagine.predict(model, context, horizon, seed)

    def _trained(self) -> policies.TrainedRun:
        trained = policies.read_run(self.folder)
        if self._env is not None:
            return dataclasses.replace(trained, task=task_name(self._env))
        if trained.task.startswith((f"import:{_GIVEN}:", "import:__main__:")):
            name = trained.task.removeprefix("import:").partition(":")[2]
            if not hasattr(sys.modules.get(trained.task.split(":")[1]), name):
                raise ValueError(
                    f"the environment of {self.folder} was an object of its process: pass it, "
                    "Run(folder, env=...)"
                )
        return trained

    def _parameters(self, checkpoint: str | int | None) -> policies.KeptParameters:
        return policies.find_parameters(
            self.folder, None if checkpoint is None else str(checkpoint)
        )


def load(
    path: str | os.PathLike[str],
    *,
    mode: str = "greedy",
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Loads the policy of a run, or one that `r2i export` has written.

    An exported policy needs JAX, Haiku and NumPy only; a run's policy also needs its environment.

    Args:
      path: folder of the run or of the exported policy.
      mode: "greedy" for the likeliest actions, "sampled" to draw them as in training.
      seed: seed of the policy's random draws.
      num_environments: N to act for N environments at once, with a leading axis [N]; None to act
        for one environment, without that axis.

    Raises:
      ValueError: if the folder holds no policy, or an argument is not allowed.
    """
    from acme_r2i.runs import policies

    folder = pathlib.Path(path)
    if (folder / run_folder.CONFIG).exists() and not (folder / policies.EXPORTED).exists():
        return Run(folder).policy(mode=mode, seed=seed, num_environments=num_environments)
    return policies.load(folder, mode=mode, seed=seed, num_environments=num_environments)


def task_name(env: Any) -> str:
    """Returns the name of a task, or of an environment or a function that makes one.

    Other processes find a function by this name if they can import it, and nothing else.
    """
    if isinstance(env, str):
        return env
    if not _is_environment(env):
        if not callable(env):
            raise ValueError(
                "env is a task's name, an environment of dm_env or gymnasium, or a function that "
                f"makes one; got {env!r}"
            )
        module, name = getattr(env, "__module__", None), getattr(env, "__qualname__", "")
        if getattr(sys.modules.get(module), name, None) is env:
            return f"import:{module}:{name}"
    return f"import:{_GIVEN}:{_register(env)}"


def _register(env: Any) -> str:
    """Registers an environment or function in the module ``_GIVEN``; returns its name there."""
    module = sys.modules.setdefault(_GIVEN, types.ModuleType(_GIVEN))
    for name, (given, _) in vars(module).get("given", {}).items():
        if given is env:
            return name
    name = f"environment_{next(_numbers)}"
    make = _always(env) if _is_environment(env) else env
    module.given = {**vars(module).get("given", {}), name: (env, make)}
    setattr(module, name, make)
    return name


def _always(environment: Any) -> Callable[[], Any]:
    """Returns a function that returns this environment. Runs do not close it: it is the user's."""
    import dm_env

    from acme_r2i.environments.wrappers import EnvironmentWrapper

    if isinstance(environment, dm_env.Environment):
        kept: Any = EnvironmentWrapper(environment)
    else:
        import gymnasium

        kept = gymnasium.Wrapper(environment)
    kept.close = lambda: None
    return lambda: kept


def _is_environment(env: Any) -> bool:
    import dm_env

    return isinstance(env, (dm_env.Environment, getattr(sys.modules.get("gymnasium"), "Env", ())))
