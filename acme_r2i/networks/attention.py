"""Causal attention over the last few inputs, as a layer with a state, resets and an unroll.

    y_t = W_o [sum_j p_j^h v_j]_h,    p^h = softmax over j of  q_t^h . k_j / sqrt(d) + b^h_(t-j)

where j runs over the inputs t - W < j <= t of the same episode, h over the heads. All heads share
their keys and values (multi-query attention, arXiv 1911.02150), which keeps the state small, and
position enters only by a learned bias for each head and age.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from acme_r2i.networks.cores import flags_or_none_set
from acme_r2i.networks.precision import Linear, batch_product

Window = tuple[Array, Array, Array]


class WindowedAttention(hk.Module):
    """Multi-query attention over a window of inputs, the current one included.

    It has the interface of an SSM layer, so that an ``SSMBlock`` can be put around it.

    Its state holds the W - 1 inputs before, oldest first, as a plain tuple of float32 arrays: keys
    [B, W - 1, D], values [B, W - 1, D], and flags [B, W - 1], 1 for an input of the episode and 0
    for an empty entry, whose key and value are 0. The initial state, also after a reset, is the
    empty window; the softmax always has the current input.

    Parameters, all float32 (H: ``width``): projection/w [H, (heads + 2) D] of all queries, the
    key and the value, age_bias [heads, W], zeros at first, and output/w [heads D, H].
    """

    def __init__(
        self,
        width: int,
        window: int = 32,
        heads: int = 4,
        head_size: int = 32,
        name: str | None = None,
    ):
        """Initialises the layer.

        Args:
          width: H, features in and out.
          window: W, inputs that are attended to, the current one among them.
          heads: number of queries for each input.
          head_size: D, the size of queries, keys and values.
          name: module name.

        Raises:
          ValueError: for a window below 2, or no heads, or heads of no size.
        """
        super().__init__(name=name)
        for option, value, least in (
            ("window", window, 2),
            ("heads", heads, 1),
            ("head_size", head_size, 1),
        ):
            if value < least:
                raise ValueError(f"{option}={value} is not allowed: it must be at least {least}")
        self._memory = window - 1
        self._heads = heads
        self._head_size = head_size
        self._projection = Linear((heads + 2) * head_size, with_bias=False, name="projection")
        self._output = Linear(width, with_bias=False, name="output")

    def initial_state(self, batch_size: int | None) -> Window:
        """The empty window, leading axis [B]; no batch axis for None."""
        batch = () if batch_size is None else (batch_size,)
        entries = jnp.zeros([*batch, self._memory, self._head_size])
        return entries, entries, jnp.zeros([*batch, self._memory])

    def __call__(
        self, inputs: Array, prev_state: Window, is_first: Array | None = None
    ) -> tuple[Array, Window]:
        """One step: inputs [B, H], is_first bool [B] -> y [B, H], the next window."""
        is_first = None if is_first is None else is_first[:, None]
        results = self.unroll(inputs[:, None], prev_state, is_first)
        return jax.tree.map(lambda x: x[:, 0], results)

    def unroll(
        self, inputs: Array, state: Window, is_first: Array | None = None
    ) -> tuple[Array, Window]:
        """All steps: inputs [B, T, H], is_first bool [B, T] -> y [B, T, H], windows [B, T, ...].

        Memory: T W (2 D + 1) numbers of the windows, and 2 T W scores for each head.
        """
        is_first = flags_or_none_set(is_first, inputs.shape[:-1])
        projected = self._projection(inputs)
        queries = projected[..., : self._heads * self._head_size]
        key, value = jnp.split(projected[..., queries.shape[-1] :], 2, axis=-1)
        old_keys, old_values, filled = state
        keys = jnp.concatenate([old_keys, key], axis=1)
        values = jnp.concatenate([old_values, value], axis=1)
        # Number of the episode of each entry; -1 for an empty one.
        episodes = jnp.concatenate(
            [jnp.where(filled > 0, 0, -1), jnp.cumsum(is_first, axis=1, dtype=jnp.int32)], axis=1
        )
        attended = self._attend(queries, keys, values, episodes)
        return self._output(attended), self._windows(keys, values, episodes)

    def _attend(self, queries: Array, keys: Array, values: Array, episodes: Array) -> Array:
        """Result of attention at each step, [B, T, heads D].

        A sequence is cut into chunks of W steps, none of which sees more than 2 W - 1 entries.

        Args:
          queries: [B, T, heads D].
          keys: [B, W - 1 + T, D]; the step t sees the entries t to t + W - 1.
          values: [B, W - 1 + T, D].
          episodes: int32 [B, W - 1 + T].
        """
        batch, length, size = queries.shape
        chunk = min(length, self._memory + 1)
        number = -(-length // chunk)
        seen_keys, seen_values, seen_episodes = (
            self._in_chunks(x, chunk, number) for x in (keys, values, episodes)
        )
        own_episodes = seen_episodes[:, :, self._memory :]
        # Multi-query: the heads of a chunk are further rows of one product.
        rows = _pad_time(queries, number * chunk - length)
        rows = rows.reshape(batch, number, chunk * self._heads, self._head_size)
        scores = batch_product(rows, seen_keys.mT) * self._head_size**-0.5
        scores = scores.reshape(batch, number, chunk, self._heads, -1)

        ages = self._memory + np.arange(chunk)[:, None] - np.arange(scores.shape[-1])
        seen = (own_episodes[..., :, None] == seen_episodes[..., None, :]) & (
            (ages >= 0) & (ages <= self._memory)
        )
        bias = hk.get_parameter("age_bias", [self._heads, self._memory + 1], init=jnp.zeros)
        scores += jnp.swapaxes(bias[:, np.clip(ages, 0, self._memory)], 0, 1)
        weights = jax.nn.softmax(jnp.where(seen[..., None, :], scores, -jnp.inf))

        weights = weights.reshape(batch, number, chunk * self._heads, -1)
        attended = batch_product(weights, seen_values)
        return attended.reshape(batch, number * chunk, size)[:, :length]

    def _in_chunks(self, entries: Array, chunk: int, number: int) -> Array:
        """[B, W - 1 + T, ...] -> [B, number, chunk + W - 1, ...]: the entries each chunk sees."""
        if number == 1:
            return entries[:, None]
        batch, total, *own = entries.shape
        # With chunks of W steps, each sees its own and, but for the oldest, those before.
        entries = _pad_time(entries, (number + 1) * chunk - total)
        entries = entries.reshape(batch, number + 1, chunk, *own)
        pairs = jnp.concatenate([entries[:, :-1], entries[:, 1:]], axis=2)
        return pairs[:, :, : chunk + self._memory]

    def _windows(self, keys: Array, values: Array, episodes: Array) -> Window:
        """The state after each step, leading axes [B, T]."""
        steps = keys.shape[1] - self._memory
        # After the step t: the entries t + 1 to t + W - 1.
        index = 1 + np.arange(steps)[:, None] + np.arange(self._memory)
        there = episodes[:, index] == episodes[:, self._memory :, None]
        keys, values = (jnp.where(there[..., None], x[:, index], 0.0) for x in (keys, values))
        return keys, values, there.astype(jnp.float32)


def _pad_time(x: Array, steps: int) -> Array:
    """Appends ``steps`` steps of zeros to [B, T, ...]."""
    return jnp.pad(x, [(0, 0), (0, steps), *[(0, 0)] * (x.ndim - 2)])
