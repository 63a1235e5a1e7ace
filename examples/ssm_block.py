"""The SSM block in Haiku code of one's own: recall the symbol that was seen five steps ago."""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme_r2i.networks.ssm import SSMStack

SYMBOLS, DELAY, BATCH, LENGTH = 4, 5, 32, 24


@hk.transform
def network(inputs, is_first):  # [B, T, F], bool [B, T] -> logits [B, T, SYMBOLS]
    sizes = dict(width=32, num_layers=2, state_size=32)
    core = SSMStack(SYMBOLS, **sizes, dt_min=0.01, dt_max=0.5, input_scaling="unit_variance")
    outputs, _ = core.unroll(inputs, core.initial_state(len(inputs)), is_first)
    return outputs


optimiser = optax.adam(5e-3)
is_first = jnp.zeros([BATCH, LENGTH], bool).at[:, 0].set(True)  # each row is an episode


def loss(params, symbols):
    logits = network.apply(params, None, jax.nn.one_hot(symbols, SYMBOLS), is_first)[:, DELAY:]
    wanted = symbols[:, :-DELAY]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    return losses.mean(), jnp.mean(logits.argmax(-1) == wanted)


@jax.jit
def update(params, state, key):
    symbols = jax.random.randint(key, [BATCH, LENGTH], 0, SYMBOLS)
    gradient, accuracy = jax.grad(loss, has_aux=True)(params, symbols)
    updates, state = optimiser.update(gradient, state)
    return optax.apply_updates(params, updates), state, accuracy


def train(updates=150):
    params = network.init(jax.random.key(0), jnp.zeros([BATCH, LENGTH, SYMBOLS]), is_first)
    state = optimiser.init(params)
    for key in jax.random.split(jax.random.key(1), updates):
        params, state, accuracy = update(params, state, key)
    return float(accuracy)  # in the last update, on sequences that it had not seen


if __name__ == "__main__":
    print(f"right answers: {train():.3f} (chance {1 / SYMBOLS})")
