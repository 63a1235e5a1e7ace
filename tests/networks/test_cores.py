"""One conformance suite for all sequence cores: two forms of one function, and resets are walls.

The faults that are named are those found in the reference implementation of R2I. Fault 3 is the
world model's, and fault 4 the update's; both have their tests there.
"""

from __future__ import annotations

import re

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import cores
from acme_r2i.networks.cores import SequenceCore, broadcast_state, flatten_hidden, make_core
from acme_r2i.networks.ssm import PARAMETER_NAMES, SSMStack
from tests.helpers import assert_close, fold, random_like, random_params, soft

BATCH, LENGTH, FEATURES, OUTPUT = 2, 7, 3, 4
KEY = jax.random.key(0)
STACK = dict(width=4, num_layers=1, state_size=4)
CORES = {
    "s5": dict(core="s5", **{**STACK, "num_layers": 2}, n_blocks=1),
    "s5, pre-norm": dict(core="s5", **STACK, n_blocks=2, norm="pre", conj_sym=True, dropout=0.5),
    "s4d": dict(core="s4d", **STACK, discretisation="zoh"),
    "s4": dict(core="s4", **STACK),
    "s4, sequential": dict(core="s4", **STACK, scan_form="sequential"),
    "gru": dict(core="gru", width=5),
    "lstm": dict(core="lstm"),
    "hybrid": dict(core="hybrid", **STACK, n_blocks=1, window=3, heads=2, head_size=2),
    "hybrid, wide": dict(core="hybrid", **STACK, n_blocks=1, window=9, norm="pre", dropout=0.5),
}
# Times of the first steps, in each of the two sequences.
RESETS = {
    "none": ([], []),
    "first": ([0], []),
    "last": ([LENGTH - 1], [0, LENGTH - 1]),
    "adjacent": ([2, 3], [0, 1, 2]),
    "all": (range(LENGTH), [5]),
}


class Core:
    """A core with random parameters, so that its learned initial state is not zero.

    Attributes:
      options: of ``make_core``.
      params: parameters.
      shapes: of the parameters, as initialised.
      state: a random state [B, ...].
      has_dropout: whether it drops anything where it is given a key.
      unroll: compiled ((gradients by params and by state), (outputs, states)).
      fold: the same of the fold of steps.
      traces: how often ``unroll`` was traced.
    """

    def __init__(self, options):
        self.options = options

        def build():
            core = make_core(output_size=OUTPUT, name="core", **options)
            assert isinstance(core, SequenceCore) and isinstance(core, hk.RNNCore)

            def init(inputs):
                return core.unroll(inputs, core.initial_state(BATCH))

            def dynamic_unroll(inputs, state):
                return hk.dynamic_unroll(core, inputs, state, time_major=False)

            return init, (core, core.unroll, core.initial_state, dynamic_unroll)

        transformed = hk.multi_transform(build)
        applies = [lambda p, *args, f=f: f(p, None, *args) for f in transformed.apply]
        self.step, self.plain_unroll, self.initial_state, self.dynamic_unroll = applies
        self.init = transformed.init
        self.shapes = jax.eval_shape(self.init, KEY, random_sequence(0)[0])
        # Small enough for gradients of `soft` to be sums of what does not all but cancel.
        self.params = jax.tree.map(lambda x: x / 2, random_params(self.shapes, 1))
        self.state = random_like(self.initial_state(self.params, BATCH), 2)
        self.has_dropout = "dropout" in options
        self.traces = 0

        def count_and_unroll(*args):
            self.traces += 1
            return self.plain_unroll(*args)

        self.unroll = self._with_gradients(count_and_unroll)
        self.fold = self._with_gradients(fold(self.step))

    @staticmethod
    def _with_gradients(form):
        def objective(*args):
            result = form(*args)
            return soft(result), result

        return jax.jit(jax.grad(objective, argnums=(0, 2), has_aux=True))

    def run(self, inputs, is_first, state=None):
        """(outputs, states) of the unroll."""
        return self.unroll(self.params, inputs, self.state if state is None else state, is_first)[1]


@pytest.fixture(scope="module", params=list(CORES))
def core(request):
    return Core(CORES[request.param])


def random_sequence(seed: int):
    """Inputs and flags."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(BATCH, LENGTH, FEATURES)).astype(np.float32)
    return inputs, random.random((BATCH, LENGTH)) < 0.3


def flags(*sequences) -> np.ndarray:
    is_first = np.zeros((BATCH, LENGTH), bool)
    for row, times in zip(is_first, sequences, strict=True):
        row[list(times)] = True
    return is_first


def at(tree, time):
    """Leaves [B, T, ...] at one time, or a slice of times."""
    return jax.tree.map(lambda x: x[:, time], tree)


def learned_leaves(options, state):
    """The leaves of a state that the initial one is learned for: a window begins empty."""
    return jax.tree.leaves(state[:-1] if options["core"] == "hybrid" else state)


def with_batch_axis(tree):
    return jax.tree.map(lambda x: np.broadcast_to(x, (BATCH, *x.shape)), tree)


CASES = [pytest.param(flags(*times), id=name) for name, times in RESETS.items()] + [
    pytest.param(random_sequence(seed)[1], id=f"random {seed}") for seed in range(3)
]


# The interface.


def test_every_core_is_tested():
    assert {options["core"] for options in CORES.values()} == set(cores.CORES)


@pytest.mark.parametrize("is_first", CASES)
def test_unroll_is_the_fold_of_steps(core, is_first):
    """Outputs, states, and gradients by parameters and by the state carried in."""
    arguments = core.params, random_sequence(0)[0], core.state, is_first
    gradients, (outputs, states) = core.unroll(*arguments)
    expected_gradients, expected = core.fold(*arguments)
    assert outputs.shape == (BATCH, LENGTH, OUTPUT)
    assert_close((outputs, states), expected)
    assert_close(gradients, expected_gradients)


def test_without_flags_haiku_unrolls_it_as_any_core(core):
    inputs = random_sequence(0)[0]
    outputs, state = jax.jit(core.dynamic_unroll)(core.params, inputs, core.state)
    expected, states = core.run(inputs, flags([], []))
    assert_close((outputs, state), (expected, at(states, -1)))


def test_initial_state_has_a_batch_axis_only_when_asked(core):
    one = core.initial_state(core.params, None)
    many = core.initial_state(core.params, BATCH)
    jax.tree.map(np.testing.assert_array_equal, many, with_batch_axis(one))
    assert all(np.all(leaf != 0) for leaf in learned_leaves(core.options, one))


def test_vmap_over_parameters_states_and_inputs(core):
    """As in an ensemble: two of everything at once are each by itself."""
    params = core.params, jax.tree.map(lambda x: 0.9 * x, core.params)
    state = core.state, random_like(core.state, 3)
    sequences = random_sequence(0), random_sequence(1)
    stack = lambda *trees: jax.tree.map(lambda *x: np.stack(x), *trees)  # noqa: E731
    inputs, is_first = stack(*sequences)
    together = jax.jit(jax.vmap(core.plain_unroll))(stack(*params), inputs, stack(*state), is_first)
    for i in range(2):
        _, alone = core.unroll(params[i], sequences[i][0], state[i], sequences[i][1])
        assert_close(jax.tree.map(lambda x, i=i: x[i], together), alone)


def test_two_chunks_with_the_carried_state_are_one(core):
    inputs, is_first = random_sequence(4)
    whole = core.run(inputs, is_first)
    for cut in (1, 4):
        # At full length, so that nothing is compiled for another one: what comes round is unused.
        rest = core.run(np.roll(inputs, -cut, 1), np.roll(is_first, -cut, 1), at(whole[1], cut - 1))
        assert_close(at(rest, slice(LENGTH - cut)), at(whole, slice(cut, None)))


def test_changed_content_does_not_recompile(core):
    for seed in range(3):
        core.run(*random_sequence(seed), random_like(core.state, seed))
    assert core.traces == 1


def test_bfloat16_inputs(core):
    """Parameters, recurrence and what comes out are float32 (complex64), and finite."""
    inputs, is_first = random_sequence(0)
    narrow = jnp.asarray(inputs, jnp.bfloat16)
    result = jax.jit(core.plain_unroll)(core.params, narrow, core.state, is_first)
    assert all(leaf.dtype in (jnp.float32, jnp.complex64) for leaf in jax.tree.leaves(result))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(result))
    assert_close(result, core.run(np.asarray(narrow, np.float32), is_first))
    shapes = jax.eval_shape(core.init, KEY, narrow)
    assert shapes == core.shapes
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))


def test_a_dropout_key_is_nothing_to_a_core_without_dropout(core):
    """Where there is dropout the key brings it; that nothing else does, the fold of steps shows."""
    inputs, is_first = random_sequence(0)
    with_key = jax.jit(core.plain_unroll)(core.params, inputs, core.state, is_first, KEY)
    difference = np.abs(with_key[0] - core.run(inputs, is_first)[0]).max()
    assert (difference > 1e-2) if core.has_dropout else (difference < 1e-5)


# Resets.


@pytest.mark.parametrize("time", [1, 3, LENGTH - 1])
def test_nothing_before_a_reset_changes_anything_after_it(core, time):
    """Inputs, earlier resets and the carried state, exactly; the other sequence stays as it is."""
    inputs, is_first = random_sequence(0)[0], flags([time], [])
    result = core.run(inputs, is_first)
    other_inputs, other_flags = inputs.copy(), is_first.copy()
    other_inputs[0, :time] = 1e2 * random_sequence(1)[0][0, :time]
    other_flags[0, time - 1] = True
    other_state = jax.tree.map(
        lambda x, y: np.stack([x[0], y[1]]), random_like(core.state, 5), core.state
    )
    other = core.run(other_inputs, other_flags, other_state)
    for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a[0, time:], b[0, time:])
        np.testing.assert_array_equal(a[1], b[1])
    assert np.all(np.any(result[0][0, :time] != other[0][0, :time], axis=-1))


def test_fault_1_a_reset_does_not_take_effect_a_step_early(core):
    inputs = random_sequence(0)[0]
    without, reset = core.run(inputs, flags([], [])), core.run(inputs, flags([3], []))
    assert_close(at(reset, slice(3)), at(without, slice(3)), rtol=1e-5)
    assert np.all(np.abs(reset[0] - without[0])[0, 3].max(-1) > 1e-3)


@pytest.mark.parametrize("time", [0, 3, LENGTH - 1])
def test_fault_2_a_reset_starts_from_the_learned_initial_state_once(core, time):
    """As a sequence does that is given this state; an initial state added twice is another one."""
    inputs = random_sequence(0)[0]
    reset = core.run(inputs, flags([time], [time]))
    learned = core.initial_state(core.params, BATCH)
    started = core.run(np.roll(inputs, -time, 1), flags([], []), learned)
    assert_close(at(reset, slice(time, None)), at(started, slice(LENGTH - time)))
    by_state = core.unroll(core.params, inputs, core.state, flags([0], []))[0][1]
    for gradient in jax.tree.leaves(by_state):
        np.testing.assert_array_equal(gradient[0], 0)
    for gradient in learned_leaves(core.options, by_state):
        assert np.all(gradient[1] != 0)


def test_the_learned_initial_state_gets_a_gradient_from_resets_alone(core):
    """The state given is not the learned one, which plays no part without resets."""

    def gradients(is_first):
        arguments = core.params, random_sequence(0)[0], core.state, is_first
        by_module = core.unroll(*arguments)[0][0].values()
        return [x for module in by_module for name, x in module.items() if "initial" in name]

    assert gradients(flags([], [])) and not any(np.any(x) for x in gradients(flags([], [])))
    assert all(np.all(x != 0) for x in gradients(flags([3], [])))


# Parameters and products.


def test_parameters_of_a_state_space_layer_are_those_the_optimiser_knows(core):
    """And no others are: a gated core has none of them."""
    for module, parameters in core.shapes.items():
        known = set(parameters) & set(PARAMETER_NAMES)
        assert known == (set(parameters) if "Lambda_re" in parameters else set()), module


@pytest.mark.parametrize("name", [name for name in CORES if name != "s4"])
def test_fault_5_inputs_and_outputs_meet_the_state_in_real_products(name, all_equations):
    """B u and C x, both ways. Of S4 in sequence: its parallel form multiplies A_bar by itself."""
    core = Core(CORES[name])

    def objective(params, inputs, state):
        result = core.plain_unroll(params, inputs, state)
        return soft((result, core.step(params, inputs[:, 0], at(result[1], 0))))

    jaxpr = jax.make_jaxpr(jax.grad(objective))(core.params, random_sequence(0)[0], core.state)
    products = [e for e in all_equations(jaxpr) if e.primitive.name == "dot_general"]
    # In two forms, and each with its derivative.
    assert len(products) >= 4
    for equation in products:
        assert all(v.aval.dtype == jnp.float32 for v in (*equation.invars, *equation.outvars))


# What is refused.


@pytest.mark.parametrize(
    ("core", "options", "message"),
    [
        ("rnn", {}, "core='rnn' is not one of 's5', 's4d', 's4', 'gru', 'lstm', 'hybrid'"),
        ("gru", dict(num_layers=2), "core='gru' has no option 'num_layers'; it has width"),
        ("lstm", dict(width=4), "core='lstm' has no option 'width'; it has initial_state"),
        (
            "gru",
            dict(initial_state="ones"),
            "initial_state='ones' is not one of 'learned', 'zeros'",
        ),
        ("s5", dict(state_size=8), "core='s5' needs width, num_layers"),
        ("s4", dict(**STACK, n_blocks=1), "ssm='s4' has no option 'n_blocks'"),
        ("s4", dict(**STACK, discretisation="zoh"), "discretisation='zoh' is not one that S4 has"),
        (
            "s4d",
            dict(**STACK, spectrum="fourier"),
            "spectrum='fourier' is not one of 'legs', 'lin'",
        ),
        (
            "s5",
            dict(**STACK, n_blocks=1, dt_mean=1),
            "ssm='s5' has no option 'dt_mean'; it has state",
        ),
        ("hybrid", dict(state_size=4), "core='hybrid' needs width, num_layers"),
        ("hybrid", dict(width=4, num_layers=1), "core='hybrid' needs state_size"),
        ("hybrid", dict(**STACK, ssm="s4"), "core='hybrid' has no option 'ssm'; it has state_size"),
        ("hybrid", dict(**STACK, n_blocks=1, window=1), "window=1 is not allowed: it must be at"),
        ("hybrid", dict(**STACK, n_blocks=1, heads=0), "heads=0 is not allowed: it must be at"),
    ],
)
def test_what_a_core_does_not_have_is_refused(core, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        hk.transform(lambda: make_core(core, OUTPUT, **options).initial_state(1)).init(KEY)


def test_a_stack_by_name_is_the_stack():
    def names(make):
        def unroll(inputs):
            core = make()
            return core.unroll(inputs, core.initial_state(BATCH))

        return jax.eval_shape(hk.transform(unroll).init, KEY, random_sequence(0)[0])

    by_name = names(lambda: make_core("s4d", OUTPUT, **STACK, spectrum="inv"))
    assert by_name == names(lambda: SSMStack(OUTPUT, ssm="s4d", **STACK, spectrum="inv"))


# Helpers of cores.


def test_flatten_hidden_is_real_then_imaginary_of_every_leaf():
    hidden = (jnp.array([[1 + 2j, 3 + 4j]]), jnp.array([[5.0]]), jnp.array([[6 - 7j]]))
    flat = flatten_hidden(hidden, leading_axes=1)
    assert flat.dtype == jnp.float32
    np.testing.assert_array_equal(flat, [[1, 3, 2, 4, 5, 6, -7]])


def test_flatten_hidden_keeps_the_leading_axes_and_no_others():
    hidden = (jnp.arange(24.0).reshape(1, 2, 3, 4), jnp.zeros((1, 2, 5)))
    flat = flatten_hidden(hidden, leading_axes=2)
    np.testing.assert_array_equal(flat[0, 1], [*range(12, 24), *[0] * 5])


def test_broadcast_state_repeats_every_leaf():
    state = {"a": jnp.arange(3.0), "b": jnp.array(1j)}
    assert broadcast_state(state, None) is state
    repeated = broadcast_state(state, 2)
    np.testing.assert_array_equal(repeated["a"], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(repeated["b"], [1j, 1j])
