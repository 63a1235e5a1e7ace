"""The learner: batches in, parameters out."""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import acme_r2i.acme_compat  # noqa: F401

import acme
import jax
import jax.numpy as jnp
from acme.utils import counting, loggers
from jax import Array

from acme_r2i.agents.common.acting import ACTING_VARIABLES
from acme_r2i.agents.common.updates import Means, Metrics, SkippedUpdate
from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.sharding import Placement, make_placement
from acme_r2i.agents.r2i.types import Params
from acme_r2i.agents.r2i.update import (
    TrainingState,
    compiler_options,
    init_training_state,
    make_update,
    skip_unless_finite,
)
from acme_r2i.replay.rows import PyTree, Row

# Number of updates under way whose result is not checked yet. With one, the check waits for the
# update before the one that was just handed to JAX, so JAX is never idle.
_UNASKED_UPDATES = 1
# Largest number of skipped updates that are held.
_MAX_HELD = 16


class R2ILearner(acme.Learner):
    """Updates world model, actor and critic on batches of replayed rows.

    ``step`` hands the update to JAX and does not wait for it. Log entries (every
    ``log_period_seconds``) and requests for results wait. Actors may ask for variables from other
    threads.

    An update that is not finite is skipped, and left out of the means of the metrics;
    ``take_skipped`` returns it, one update later.

    The training state is donated to each update, except for the parameters, which can be handed out
    without a copy: copying some 65 small arrays for every fetch took a tenth of the time of a small
    update. It costs memory for a second set of parameters.

    On several devices each has its share of the sequences of a batch and a copy of the state (see
    ``sharding``). Variables and saved states do not depend on the number of devices.
    """

    def __init__(
        self,
        networks: R2INetworks,
        config: R2IConfig,
        random_key: Array,
        iterator: Iterator[Row],
        *,
        counter: counting.Counter | None = None,
        logger: loggers.Logger | None = None,
        log_period_seconds: float = 10.0,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Initialises the parameters.

        Args:
          networks: the agent's networks.
          config: settings of the agent.
          random_key: everything random about the learner comes from it.
          iterator: batches of rows [B, T]; each step takes exactly one.
          counter: counts steps and their wall time under the names ``steps`` and ``walltime``.
          logger: receives the metrics, as means over the updates since the last entry, with the
            counts; None for no log (see also ``take_metrics``).
          log_period_seconds: time between two log entries.
          devices: where to update; None for all local ones of JAX's default backend.

        Raises:
          ValueError: if a batch cannot be split evenly over the devices.
        """
        self._placement = make_placement(devices, config.batch_size)
        self._iterator = iterator
        self._counter = counter or counting.Counter(prefix="learner")
        self._logger = logger
        self._log_period_seconds = log_period_seconds
        self._update = jit_update(networks, config, self._placement)
        if jnp.issubdtype(random_key.dtype, jax.dtypes.prng_key):
            random_key = jax.random.key_data(random_key)  # plain numbers, so that it can be saved
        initialise = jax.jit(
            lambda key: init_training_state(key, networks, config),
            compiler_options=compiler_options(runs_once=True),
        )
        self._state = self._placed(initialise(random_key))
        self._donated: TrainingState | None = None
        self._learner_steps = 0
        # Held from giving a state away to having the next one, so that no other thread copies from
        # a state that has been donated.
        self._lock = threading.Lock()
        self._means = Means()
        self._unasked: collections.deque[SkippedUpdate] = collections.deque()
        self._skipped: collections.deque[SkippedUpdate] = collections.deque(maxlen=_MAX_HELD)
        self._last_step: float | None = None
        self._last_log = time.monotonic()

    @property
    def learner_steps(self) -> int:
        """Updates done, those before a restored save included."""
        return self._learner_steps

    def step(self) -> None:
        """Takes the next batch and updates once."""
        rows = next(self._iterator)
        with self._lock:
            donated = self._state._replace(params=None)
            params, rest, metrics = self._update(self._state.params, donated, rows)
            self._state = rest._replace(params=params)
            self._learner_steps += 1
            self._unasked.append(SkippedUpdate(self._learner_steps, rows, metrics))
            self._ask(_UNASKED_UPDATES)
            # Held until the next update is handed to JAX: to let go of an array that was donated
            # is to wait for the computation that has it.
            self._donated = donated
        now = time.monotonic()
        elapsed = 0.0 if self._last_step is None else now - self._last_step
        self._last_step = now
        counts = self._counter.increment(steps=1, walltime=elapsed)
        if self._logger is not None and now - self._last_log >= self._log_period_seconds:
            self._last_log = now
            self._logger.write({**self.take_metrics(), **counts})

    def take_metrics(self) -> dict[str, float]:
        """Returns each metric's mean over the updates since the last call.

        Waits for the latest update. Empty if none was made. Every entry of a logger takes the
        metrics, too, so use one or the other.
        """
        with self._lock:
            self._ask(0)
            return self._means.take()

    def take_skipped(self, wait: bool = False) -> list[SkippedUpdate]:
        """Returns the updates that were not made, once each; of many, the last.

        Args:
          wait: for the latest update, instead of leaving it to the next call.
        """
        with self._lock:
            if wait:
                self._ask(0)
            skipped = list(self._skipped)
            self._skipped.clear()
        return skipped

    def get_variables(self, names: Sequence[str]) -> list[PyTree]:
        """Returns the named variables as JAX arrays, which later steps do not touch.

        Args:
          names: each must be "policy": the ``ActingParams`` that acting needs.

        Raises:
          ValueError: on another name.
        """
        for name in names:
            if name != ACTING_VARIABLES:
                raise ValueError(f"no variables {name!r}: the only name is {ACTING_VARIABLES!r}")
        params = self._state.params.acting
        if self._placement is not None:
            params = jax.tree.map(_on_one_device, params)
        return [params for _ in names]

    def save(self) -> TrainingState:
        """Returns the whole state as NumPy arrays, from which ``restore`` continues exactly."""
        with self._lock:
            copy = _copy(self._state)
        return jax.device_get(copy)

    def restore(self, state: TrainingState) -> None:
        """Continues from a saved state.

        Raises:
          ValueError: if it is not the state of an agent with the same settings.
        """
        _check_same_shapes(state, self._state)
        # A copy, since JAX may use a NumPy array's own memory and the state's is donated.
        state = self._placed(_copy(jax.tree.map(jnp.asarray, state)))
        with self._lock:
            self._state = state
            self._learner_steps = int(state.learner_steps)
            self._means = Means()
            self._unasked.clear()

    def _placed(self, state: TrainingState) -> TrainingState:
        """The state on every device, if several; the argument may be donated."""
        if self._placement is None:
            return state
        return jax.device_put(state, self._placement.everywhere)

    def _ask(self, unasked: int) -> None:
        """Checks whether the updates were finite, all but the last ``unasked``.

        In Python: on a CPU even the smallest computation would wait for the update that has just
        been handed to JAX.
        """
        while len(self._unasked) > unasked:
            update = self._unasked.popleft()
            metrics = {name: float(x) for name, x in jax.device_get(update.metrics).items()}
            if all(map(math.isfinite, metrics.values())):
                self._means.add(metrics)
            else:
                self._skipped.append(update._replace(metrics=metrics))


def jit_update(
    networks: R2INetworks, config: R2IConfig, placement: Placement | None = None
) -> Callable[..., Any]:
    """Jits the update as (params, rest of the state, rows) -> (params, rest, metrics).

    An update that is not finite is skipped.
    The rest is a TrainingState whose ``params`` is None; it is donated.

    Args:
      networks: networks of the agent.
      config: settings of the agent.
      placement: devices of the update; None for JAX's default one.
    """
    mesh = None if placement is None else placement.mesh
    update = skip_unless_finite(make_update(networks, config, mesh))

    def split_update(
        params: Params, rest: TrainingState, rows: Row
    ) -> tuple[Params, TrainingState, Metrics]:
        state, metrics = update(rest._replace(params=params), rows)
        return state.params, state._replace(params=None), metrics

    places = {}
    if placement is not None:
        everywhere = placement.everywhere
        places = {
            "in_shardings": (everywhere, everywhere, placement.split),
            "out_shardings": everywhere,
        }
    return jax.jit(split_update, donate_argnums=1, compiler_options=compiler_options(), **places)


@jax.jit
def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)


def _on_one_device(x: Array) -> Array:
    """The first device's copy of an array that every device has one of; nothing is moved."""
    return x.addressable_data(0)


def _check_same_shapes(state: TrainingState, own: TrainingState) -> None:
    given, wanted = jax.tree.structure(state), jax.tree.structure(own)
    if given != wanted:
        raise ValueError(
            f"the saved state has another structure than this agent's: {given}, not {wanted}"
        )
    leaves = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(own), strict=True)
    for (path, leaf), own_leaf in leaves:
        if (leaf.shape, leaf.dtype) != (own_leaf.shape, own_leaf.dtype):
            raise ValueError(
                f"the saved state's {jax.tree_util.keystr(path)} is {leaf.dtype}{leaf.shape}, this "
                f"agent's is {own_leaf.dtype}{own_leaf.shape}"
            )
