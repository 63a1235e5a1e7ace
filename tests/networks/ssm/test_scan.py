"""The resettable recurrences: all forms of one are one function, and a reset is a wall."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks.ssm import linear_scan
from acme_r2i.networks.ssm.scan import (
    DPLR,
    dplr_recurrence,
    dplr_recurrence_step,
    linear_recurrence,
    linear_recurrence_step,
)
from tests.helpers import soft

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


def complex_normal(random: np.random.Generator, *shape) -> np.ndarray:
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def random_system(kind: str, random: np.random.Generator):
    """A_bar, as its recurrence takes it, with eigenvalues inside the unit circle."""
    largest = 1.0 if kind == "diagonal" else 0.8
    magnitude, angle = random.uniform(0.5, largest, STATES), random.uniform(-np.pi, np.pi, STATES)
    Lambda_bar = (magnitude * np.exp(1j * angle)).astype(np.complex64)
    if kind == "diagonal":
        return Lambda_bar
    return DPLR(Lambda_bar, *np.complex64(0.3) * complex_normal(random, 2, STATES))


def dense(A_bar) -> np.ndarray:
    """The whole matrix, complex128."""
    if not isinstance(A_bar, DPLR):
        return np.diag(A_bar.astype(complex))
    return np.diag(A_bar.Lambda.astype(complex)) - np.outer(A_bar.P, A_bar.Q.conj())


def plain_loop(A_bar, inputs, initial_state, is_first, reset_state):
    """The definition, in complex128."""
    state, states = initial_state.astype(complex), []
    for b, first in zip(inputs, is_first, strict=True):
        state = dense(A_bar) @ (reset_state if first else state) + b
        states.append(state)
    return np.stack(states)


def fold(step):
    """The step form, folded over time."""

    def run(A_bar, inputs, initial_state, is_first, reset_state):
        def body(state, element):
            b, first = element
            state = step(A_bar, b, state, first, reset_state)
            return state, state

        return jax.lax.scan(body, initial_state, (inputs, is_first))[1]

    return run


RECURRENCES = {
    "diagonal": (linear_recurrence, linear_recurrence_step),
    "dplr": (dplr_recurrence, dplr_recurrence_step),
}
FORMS = {
    "diagonal": ("auto", "parallel", "sequential", "chunked"),
    "dplr": ("auto", "parallel", "sequential"),
}


class Recurrence:
    """One kind of recurrence: its forms and their gradients, compiled, and random problems."""

    def __init__(self, kind: str):
        self.kind = kind
        self.function, step = RECURRENCES[kind]
        forms = {f: functools.partial(self.function, form=f) for f in FORMS[kind]}
        forms["fold of steps"] = fold(step)
        self.forms = {name: jax.jit(form) for name, form in forms.items()}
        self.gradients = {name: self._gradient(form) for name, form in forms.items()}

    @staticmethod
    def _gradient(form):
        """Gradient of a soft function of the states, by all arguments but the flags."""

        def objective(A_bar, inputs, initial_state, reset_state, is_first):
            return soft(form(A_bar, inputs, initial_state, is_first, reset_state))

        return jax.jit(jax.grad(objective, argnums=(0, 1, 2, 3)))

    def problem(self, seed: int, length: int = LENGTH):
        """A_bar, inputs, and non-zero initial and reset states."""
        random = np.random.default_rng(seed)
        A_bar = random_system(self.kind, random)
        shapes = (length, STATES), (STATES,), (STATES,)
        return A_bar, *(complex_normal(random, *shape) for shape in shapes)


@pytest.fixture(scope="module", params=list(RECURRENCES))
def recurrence(request):
    # So short that the sequences of these tests are several chunks, the last of them not full.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_scan, "CHUNK", 4)
        yield Recurrence(request.param)


@pytest.fixture(params=[*FORMS["diagonal"], "fold of steps"])
def form(request, recurrence):
    if request.param not in recurrence.forms:
        pytest.skip("the recurrence has no such form")
    return recurrence.forms[request.param]


CASES = [pytest.param(flags(times), id=name) for name, times in RESETS.items()] + [
    pytest.param(random_flags(seed), id=f"random {seed}") for seed in range(5)
]


@pytest.mark.parametrize("is_first", CASES)
def test_all_forms_equal_the_plain_loop(recurrence, is_first):
    A_bar, inputs, initial, reset = recurrence.problem(seed=0)
    expected = plain_loop(A_bar, inputs, initial, is_first, reset)
    for name, form in recurrence.forms.items():
        states = form(A_bar, inputs, initial, is_first, reset)
        assert states.dtype == jnp.complex64
        np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("is_first", CASES)
def test_all_forms_have_the_same_gradients(recurrence, is_first):
    A_bar, inputs, initial, reset = recurrence.problem(seed=1)
    reference = recurrence.gradients["fold of steps"](A_bar, inputs, initial, reset, is_first)
    if is_first[0]:
        np.testing.assert_array_equal(reference[2], 0)
    if not is_first.any():
        np.testing.assert_array_equal(reference[3], 0)
    for name in FORMS[recurrence.kind]:
        result = recurrence.gradients[name](A_bar, inputs, initial, reset, is_first)
        for actual, expected in zip(*map(jax.tree.leaves, (result, reference)), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("time", [0, 1, 4, 7, LENGTH - 1])
def test_nothing_before_a_reset_changes_anything_after_it(recurrence, form, time):
    A_bar, inputs, initial, reset = recurrence.problem(seed=2)
    is_first = flags([time])
    states = form(A_bar, inputs, initial, is_first, reset)
    _, other_inputs, other_initial, _ = recurrence.problem(seed=3)
    perturbed = np.where(np.arange(LENGTH)[:, None] < time, 1e3 * other_inputs, inputs)
    other = form(A_bar, perturbed, other_initial, is_first, reset)
    np.testing.assert_array_equal(states[time:], other[time:])
    assert np.all(np.asarray(states[:time]) != np.asarray(other[:time]))


def test_a_reset_starts_from_the_reset_state_and_not_earlier(recurrence, form):
    A_bar, inputs, initial, reset = recurrence.problem(seed=4)
    without = form(A_bar, inputs, initial, flags([]), reset)
    states = form(A_bar, inputs, initial, flags([4]), reset)
    np.testing.assert_allclose(states[:4], without[:4], rtol=1e-6)
    np.testing.assert_allclose(states[4], dense(A_bar) @ reset + inputs[4], rtol=1e-5)


def test_the_initial_state_enters_once(recurrence, form):
    A_bar, inputs, initial, reset = recurrence.problem(seed=5)
    arguments = flags([]), reset
    difference = form(A_bar, inputs, initial, *arguments) - form(
        A_bar, inputs, np.zeros_like(initial), *arguments
    )
    powers = [np.linalg.matrix_power(dense(A_bar), t + 1) @ initial for t in range(LENGTH)]
    np.testing.assert_allclose(difference, powers, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_two_chunks_with_carried_state_equal_one(recurrence, form, seed):
    A_bar, inputs, initial, reset = recurrence.problem(seed, 2 * LENGTH)
    is_first = np.concatenate([random_flags(seed), random_flags(seed + 10)])
    whole = plain_loop(A_bar, inputs, initial, is_first, reset)
    head = form(A_bar, inputs[:LENGTH], initial, is_first[:LENGTH], reset)
    tail = form(A_bar, inputs[LENGTH:], head[-1], is_first[LENGTH:], reset)
    np.testing.assert_allclose(np.concatenate([head, tail]), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_single_step(recurrence, is_first):
    A_bar, inputs, initial, reset = recurrence.problem(seed=6, length=1)
    expected = dense(A_bar) @ (reset if is_first else initial) + inputs[0]
    for form in FORMS[recurrence.kind]:
        states = recurrence.function(A_bar, inputs, initial, jnp.array([is_first]), reset, form)
        np.testing.assert_allclose(states, expected[None], rtol=1e-5)


def test_unknown_form_is_refused(recurrence):
    problem = recurrence.problem(seed=0)
    with pytest.raises(ValueError, match="form='fast' is not one of 'auto', 'parallel', "):
        recurrence.function(*problem[:3], flags([]), problem[3], "fast")


@pytest.mark.parametrize("length", [3, 4, 23])
def test_the_chunked_gradient_does_not_depend_on_what_is_kept(monkeypatch, length):
    monkeypatch.setattr(linear_scan, "CHUNK", 4)
    random = np.random.default_rng(length)
    Lambda, initial = 0.5 * complex_normal(random, 2, STATES)
    b, is_first = complex_normal(random, length, STATES), random.random(length) < 0.2

    def gradient(form, recompute):
        def objective(*args):
            return soft(linear_scan.linear_scan(*args, is_first, form, recompute))

        return jax.jit(jax.grad(objective, argnums=(0, 1, 2)))(Lambda, b, initial)

    expected = gradient("sequential", False)
    for recompute in (True, False):
        for a, e in zip(gradient("chunked", recompute), expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)


def gradient_temporaries(length: int, form: str, recompute: bool = False) -> int:
    """Bytes that the gradient by what multiplies the state and by b needs meanwhile."""
    shapes = [jax.ShapeDtypeStruct(s, jnp.complex64) for s in ([STATES], [length, STATES])]
    initial, is_first = jnp.zeros(STATES, jnp.complex64), jnp.zeros(length, bool)

    def objective(Lambda, b):
        return soft(linear_scan.linear_scan(Lambda, b, initial, is_first, form, recompute))

    compiled = jax.jit(jax.grad(objective, (0, 1))).lower(*shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_recomputing_keeps_less_than_half_for_the_gradient(monkeypatch):
    """Beside the inputs and outputs, the states between chunks; without it, every level."""
    monkeypatch.setattr(linear_scan, "CHUNK", 64)
    length = 16 * 64
    kept = gradient_temporaries(length, "chunked", recompute=False)
    assert gradient_temporaries(length, "chunked", recompute=True) < kept / 2


def test_the_sequential_gradient_keeps_no_coefficient_for_every_step():
    """States, what they are wanted to change by, and the states once more, a step later."""
    length, bytes_a_state = 4096, 8 * STATES
    assert gradient_temporaries(length, "sequential") < 2.5 * length * bytes_a_state
