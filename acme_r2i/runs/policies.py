"""Policies made of what was learned. Nothing here needs an environment, Acme or TensorFlow."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax

from acme_r2i.agents.common.agent_kind import AgentKind
from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy, is_greedy
from acme_r2i.agents.registry import get_agent
from acme_r2i.runs.arrays import load_parameters
from acme_r2i.runs.errors import UsageError
from acme_r2i.runs.run_folder import check_format

EXPORTED = "policy.json"
FORMAT = 2


def make_policy(
    kind: AgentKind,
    config: Any,
    spec: PlainEnvironmentSpec,
    load_params: Callable[[Any], Any],
    *,
    greedy: bool,
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Makes the policy of an agent.

    Args:
      kind: the agent.
      config: its settings.
      spec: of the environment.
      load_params: shapes of the parameters -> the parameters.
      greedy: take the likeliest actions.
      seed: of all that is drawn.
      num_environments: see ``Policy``.

    Raises:
      ValueError: if the agent does not suit the environment.
    """
    functions = kind.make_policy(config, kind.make_networks(config, spec), greedy=greedy)
    params = load_params(jax.eval_shape(functions.init, jax.random.key(0)))
    return Policy(functions, params, spec, seed=seed, num_environments=num_environments)


def load(
    path: str | os.PathLike[str],
    *,
    mode: str = "greedy",
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Loads a policy that `r2i export` has written; see ``acme_r2i.load``."""
    folder = pathlib.Path(path)
    greedy = is_greedy(mode)
    try:
        content = json.loads((folder / EXPORTED).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no exported policy: {EXPORTED}: {error}") from None
    try:
        check_format(content, FORMAT)
        kind = get_agent(content["agent"])
        config = kind.config_from_dict(content["config"])
        spec = PlainEnvironmentSpec.from_json(content["specs"])
    except KeyError as error:
        raise UsageError(
            f"the policy in {folder} cannot be loaded: {EXPORTED} has no field {error}"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"the policy in {folder} cannot be loaded: {EXPORTED} {error}") from None
    return make_policy(
        kind,
        config,
        spec,
        functools.partial(load_parameters, folder),
        greedy=greedy,
        seed=seed,
        num_environments=num_environments,
    )
