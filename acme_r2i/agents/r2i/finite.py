"""Updates that are not numbers: found, and undone within the same compiled step."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.common.updates import Metrics
from acme_r2i.agents.r2i.update import TrainingState
from acme_r2i.replay.rows import Row

Update = Callable[[TrainingState, Row], tuple[TrainingState, Metrics]]


def is_finite(metrics: Metrics) -> Array:
    """Whether all metrics of an update are numbers: bool [].

    Losses and gradient norms are among them, so a gradient with a single NaN or infinity is found.
    """
    return jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))


def skip_unless_finite(update: Update) -> Update:
    """Makes an update change nothing where its metrics are not finite.

    Parameters, optimisers and return range stay bit by bit what they were. The random key and the
    number of learner steps go on: the next update draws other numbers, and the train ratio counts
    the update as done. The metrics are those of the update that was not made.
    """

    def checked_update(state: TrainingState, rows: Row) -> tuple[TrainingState, Metrics]:
        following, metrics = update(state, rows)
        finite = is_finite(metrics)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), following, state)
        return kept._replace(key=following.key, learner_steps=following.learner_steps), metrics

    return checked_update
