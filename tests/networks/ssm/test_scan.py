"""The resettable recurrence: all its forms are one function, and a reset is a wall."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.ssm.scan import linear_recurrence, linear_recurrence_step

LENGTH, STATES = 9, 3
RESETS = {
    "none": [],
    "first": [0],
    "last": [LENGTH - 1],
    "middle": [4],
    "adjacent": [3, 4, 5],
    "first and last": [0, LENGTH - 1],
    "all": list(range(LENGTH)),
}


def flags(times) -> np.ndarray:
    is_first = np.zeros(LENGTH, bool)
    is_first[list(times)] = True
    return is_first


def random_flags(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(LENGTH) < 0.4


def random_problem(seed: int, length: int = LENGTH):
    """Lambda_bar inside the unit circle, inputs, and non-zero initial and reset states."""
    random = np.random.default_rng(seed)

    def complex_normal(*shape):
        return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)

    magnitude, angle = random.uniform(0.5, 1.0, STATES), random.uniform(-np.pi, np.pi, STATES)
    Lambda_bar = (magnitude * np.exp(1j * angle)).astype(np.complex64)
    return (
        Lambda_bar,
        complex_normal(length, STATES),
        complex_normal(STATES),
        complex_normal(STATES),
    )


def plain_loop(Lambda_bar, inputs, initial_state, is_first, reset_state):
    """The definition, in complex128."""
    state, states = initial_state.astype(complex), []
    for b, first in zip(inputs, is_first, strict=True):
        state = Lambda_bar * (reset_state if first else state) + b
        states.append(state)
    return np.stack(states)


def fold(Lambda_bar, inputs, initial_state, is_first, reset_state):
    """The step form, folded over time."""

    def step(state, element):
        b, first = element
        state = linear_recurrence_step(Lambda_bar, b, state, first, reset_state)
        return state, state

    return jax.lax.scan(step, initial_state, (inputs, is_first))[1]


FORMS = {
    "parallel": functools.partial(linear_recurrence, form="parallel"),
    "sequential": functools.partial(linear_recurrence, form="sequential"),
    "fold of steps": fold,
}


@pytest.fixture(scope="module")
def forms():
    """Every form, compiled."""
    return {name: jax.jit(form) for name, form in FORMS.items()}


@pytest.fixture(scope="module")
def gradients():
    """Gradients of every form, by all its arguments, of one soft function of the states."""

    def make(form):
        def soft(Lambda_bar, inputs, initial_state, reset_state, is_first):
            states = form(Lambda_bar, inputs, initial_state, is_first, reset_state)
            weights = jnp.cos(jnp.arange(states.size).reshape(states.shape))
            return jnp.sum(weights * jnp.tanh(states.real) + jnp.sin(states.imag))

        return jax.jit(jax.grad(soft, argnums=(0, 1, 2, 3)))

    return {name: make(form) for name, form in FORMS.items()}


CASES = [pytest.param(flags(times), id=name) for name, times in RESETS.items()] + [
    pytest.param(random_flags(seed), id=f"random {seed}") for seed in range(5)
]


@pytest.mark.parametrize("is_first", CASES)
def test_all_forms_equal_the_plain_loop(forms, is_first):
    Lambda_bar, inputs, initial, reset = random_problem(seed=0)
    expected = plain_loop(Lambda_bar, inputs, initial, is_first, reset)
    for name, form in forms.items():
        states = form(Lambda_bar, inputs, initial, is_first, reset)
        assert states.dtype == jnp.complex64
        np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("is_first", CASES)
def test_all_forms_have_the_same_gradients(gradients, is_first):
    Lambda_bar, inputs, initial, reset = random_problem(seed=1)
    reference = gradients["fold of steps"](Lambda_bar, inputs, initial, reset, is_first)
    if is_first[0]:
        np.testing.assert_array_equal(reference[2], 0)
    if not is_first.any():
        np.testing.assert_array_equal(reference[3], 0)
    for name in ("parallel", "sequential"):
        result = gradients[name](Lambda_bar, inputs, initial, reset, is_first)
        for actual, expected in zip(result, reference, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("time", [0, 1, 4, 7, LENGTH - 1])
def test_nothing_before_a_reset_changes_anything_after_it(forms, name, time):
    Lambda_bar, inputs, initial, reset = random_problem(seed=2)
    is_first = flags([time])
    states = forms[name](Lambda_bar, inputs, initial, is_first, reset)
    _, other_inputs, other_initial, _ = random_problem(seed=3)
    perturbed = np.where(np.arange(LENGTH)[:, None] < time, 1e3 * other_inputs, inputs)
    other = forms[name](Lambda_bar, perturbed, other_initial, is_first, reset)
    np.testing.assert_array_equal(states[time:], other[time:])
    assert np.all(np.asarray(states[:time]) != np.asarray(other[:time]))


@pytest.mark.parametrize("name", FORMS)
def test_a_reset_starts_from_the_reset_state_and_not_earlier(forms, name):
    Lambda_bar, inputs, initial, reset = random_problem(seed=4)
    without = forms[name](Lambda_bar, inputs, initial, flags([]), reset)
    states = forms[name](Lambda_bar, inputs, initial, flags([4]), reset)
    np.testing.assert_allclose(states[:4], without[:4], rtol=1e-6)
    np.testing.assert_allclose(states[4], Lambda_bar * reset + inputs[4], rtol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_the_initial_state_enters_once(forms, name):
    Lambda_bar, inputs, initial, reset = random_problem(seed=5)
    arguments = flags([]), reset
    difference = forms[name](Lambda_bar, inputs, initial, *arguments) - forms[name](
        Lambda_bar, inputs, np.zeros_like(initial), *arguments
    )
    powers = Lambda_bar ** np.arange(1, LENGTH + 1)[:, None]
    np.testing.assert_allclose(difference, powers * initial, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_two_chunks_with_carried_state_equal_one(forms, name, seed):
    Lambda_bar, inputs, initial, reset = random_problem(seed, 2 * LENGTH)
    is_first = np.concatenate([random_flags(seed), random_flags(seed + 10)])
    whole = plain_loop(Lambda_bar, inputs, initial, is_first, reset)
    form = forms[name]
    head = form(Lambda_bar, inputs[:LENGTH], initial, is_first[:LENGTH], reset)
    tail = form(Lambda_bar, inputs[LENGTH:], head[-1], is_first[LENGTH:], reset)
    np.testing.assert_allclose(np.concatenate([head, tail]), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_single_step(is_first):
    Lambda_bar, inputs, initial, reset = random_problem(seed=6, length=1)
    expected = Lambda_bar * (reset if is_first else initial) + inputs[0]
    for form in ("parallel", "sequential"):
        states = linear_recurrence(Lambda_bar, inputs, initial, jnp.array([is_first]), reset, form)
        np.testing.assert_allclose(states, expected[None], rtol=1e-5)


def test_unknown_form_is_refused():
    problem = random_problem(seed=0)
    with pytest.raises(ValueError, match="form='fast' is not one of 'parallel', 'sequential'"):
        linear_recurrence(*problem[:3], flags([]), problem[3], "fast")
