"""Wrappers around what an environment takes as actions."""

from __future__ import annotations

from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_r2i.environments.wrappers import EnvironmentWrapper


class ClippedAction(EnvironmentWrapper):
    """Moves an action that is out of the action spec's bounds to the nearest one within.

    For float actions. Not a number stays what it is: no environment is given a made-up action.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Wraps an environment whose action spec is a bounded one of floats.

        Raises:
          ValueError: if it is not.
        """
        super().__init__(environment)
        self._spec = _float_spec(environment)

    def step(self, action: Any) -> dm_env.TimeStep:
        clipped = np.clip(action, self._spec.minimum, self._spec.maximum)
        return self._environment.step(clipped.astype(self._spec.dtype))


class CanonicalAction(EnvironmentWrapper):
    """Takes actions in [-1, 1] and scales them to the environment's finite bounds, clipped to them.

    R2I's policy does this by itself; other agents may not.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Wraps an environment whose action spec is a finitely bounded one of floats.

        Raises:
          ValueError: if it is not.
        """
        super().__init__(environment)
        spec = _float_spec(environment)
        self._low = np.broadcast_to(spec.minimum, spec.shape)
        self._high = np.broadcast_to(spec.maximum, spec.shape)
        if not np.all(np.isfinite(self._low) & np.isfinite(self._high)):
            raise ValueError(f"the action's bounds must be finite to scale to them, got {spec}")
        self._dtype = spec.dtype
        self._action_spec = specs.BoundedArray(spec.shape, np.float32, -1.0, 1.0, name="action")

    def step(self, action: Any) -> dm_env.TimeStep:
        unit = (np.clip(action, -1.0, 1.0) + 1.0) / 2.0
        scaled = self._low + unit * (self._high - self._low)
        # Rounding must not leave the bounds.
        return self._environment.step(np.clip(scaled, self._low, self._high).astype(self._dtype))

    def action_spec(self) -> specs.BoundedArray:
        return self._action_spec


def _float_spec(environment: dm_env.Environment) -> specs.BoundedArray:
    spec = environment.action_spec()
    if not isinstance(spec, specs.BoundedArray) or not np.issubdtype(spec.dtype, np.floating):
        raise ValueError(f"the action spec must be a bounded one of floats, got {spec}")
    return spec
