"""S5 against a dense system in float64, its two forms against each other, its first values."""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from acme_r2i.networks.ssm import PARAMETER_NAMES, S5, spectra
from tests.helpers import fold

BATCH, LENGTH, WIDTH, STATE_SIZE = 2, 7, 3, 8
OPTIONS = {
    "bilinear": dict(discretisation="bilinear"),
    "zoh": dict(discretisation="zoh"),
    "bilinear, conj_sym": dict(discretisation="bilinear", conj_sym=True),
    "zoh, conj_sym": dict(discretisation="zoh", conj_sym=True),
    "zoh, unit_variance": dict(discretisation="zoh", input_scaling="unit_variance"),
    "bilinear, clip_eigs": dict(discretisation="bilinear", clip_eigs=True),
    "bilinear, sequential": dict(discretisation="bilinear", scan_form="sequential"),
}


class Functions(NamedTuple):
    init: object
    initial_state: object
    step: object
    unroll: object


def make_s5(**options) -> Functions:
    """An S5 layer as functions of (params, ...)."""
    sizes = dict(width=WIDTH, state_size=STATE_SIZE, n_blocks=2, dt_min=0.05, dt_max=0.5)
    options = {**sizes, **options}

    def build():
        s5 = S5(**options)

        def init():
            state = s5.initial_state(1)
            return s5.unroll(jnp.zeros([1, 1, options["width"]]), state)

        return init, (s5.initial_state, s5, s5.unroll)

    transformed = hk.multi_transform(build)
    applies = [lambda p, *args, f=f: f(p, None, *args) for f in transformed.apply]
    return Functions(
        lambda key: transformed.init(key)["s5"],
        *[lambda p, *args, f=f: f({"s5": p}, *args) for f in applies],
    )


def random_params(functions: Functions, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of a stable system, arbitrary otherwise."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(functions.init, jax.random.key(0))
    params = {k: random.normal(size=v.shape).astype(np.float32) for k, v in shapes.items()}
    params["Lambda_re"] = -np.abs(params["Lambda_re"]) - np.float32(0.05)
    params["Lambda_im"] *= 5
    params["log_step"] -= 1
    return params


@pytest.fixture(scope="module", params=list(OPTIONS))
def layer(request):
    """(options, parameters, unroll, fold of steps), compiled."""
    options = OPTIONS[request.param]
    functions = make_s5(**options)
    params = random_params(functions)
    if options.get("clip_eigs"):
        params["Lambda_re"][::2] = 0.5
    return options, params, jax.jit(functions.unroll), jax.jit(fold(functions.step))


def random_inputs(seed: int):
    random = np.random.default_rng(seed)
    return random.normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)


def random_state(params, seed: int):
    random = np.random.default_rng(seed)
    shape = BATCH, len(params["Lambda_re"])
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def dense_system(params, options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A_bar [P, P], B_bar [P, H] and C [H, P] in complex128, from whole matrices."""
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    half = len(p["Lambda_re"])
    re = np.minimum(p["Lambda_re"], -1e-4) if options.get("clip_eigs") else p["Lambda_re"]
    Lambda, step = re + 1j * p["Lambda_im"], np.exp(p["log_step"])
    B = (p["B"][:, :half] + 1j * p["B"][:, half:]).T
    C = (p["C"][:half] - 1j * p["C"][half:]).T
    if options.get("conj_sym"):
        # The other half, written out: no doubling here.
        Lambda, step = np.concatenate([Lambda, Lambda.conj()]), np.concatenate([step, step])
        B, C = np.concatenate([B, B.conj()]), np.concatenate([C, C.conj()], axis=1)
    A, driven, identity = np.diag(step * Lambda), step[:, None] * B, np.eye(len(step))
    if options["discretisation"] == "zoh":
        whole = scipy.linalg.expm(np.block([[A, driven], [np.zeros((WIDTH, len(step) + WIDTH))]]))
        A_bar, B_bar = whole[: len(step), : len(step)], whole[: len(step), len(step) :]
    else:
        A_bar = np.linalg.solve(identity - A / 2, identity + A / 2)
        B_bar = np.linalg.solve(identity - A / 2, driven)
    if options.get("input_scaling") == "unit_variance":
        B_bar = np.sqrt(identity - A_bar @ A_bar.conj().T) @ B
    return A_bar, B_bar, C


def dense_impulse_response(params, options) -> np.ndarray:
    """y_k of a unit input at time 0 in float64, [T, H, H]."""
    A_bar, B_bar, C = dense_system(params, options)
    response = np.stack([C @ np.linalg.matrix_power(A_bar, k) @ B_bar for k in range(LENGTH)])
    if options.get("conj_sym"):
        np.testing.assert_allclose(response.imag, 0, atol=1e-12)
    response = response.real
    response[0] += np.diag(params["D"])
    return response


def test_unroll_is_the_dense_system(layer):
    options, params, unroll, _ = layer
    inputs = random_inputs(0)
    state = np.zeros_like(random_state(params, 0))
    outputs, _ = unroll(params, inputs, state, np.zeros((BATCH, LENGTH), bool))
    response = dense_impulse_response(params, options)
    expected = np.zeros(inputs.shape)
    for t in range(LENGTH):
        for k in range(t + 1):
            expected[:, t] += inputs[:, t - k] @ response[k].T
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_unroll_is_a_loop_in_float64_with_resets(layer, seed):
    options, params, unroll, _ = layer
    random = np.random.default_rng(seed)
    is_first = random.random((BATCH, LENGTH)) < 0.4
    inputs, state = random_inputs(seed), random_state(params, seed)
    A_bar, B_bar, C = dense_system(params, options)
    initial = params["initial_state"][0] + 1j * params["initial_state"][1]
    if options.get("conj_sym"):
        initial = np.concatenate([initial, initial.conj()])
    expected = np.zeros(inputs.shape)
    for b in range(BATCH):
        x = state[b].astype(np.complex128)
        x = np.concatenate([x, x.conj()]) if options.get("conj_sym") else x
        for t in range(LENGTH):
            x = A_bar @ (initial if is_first[b, t] else x) + B_bar @ inputs[b, t]
            expected[b, t] = (C @ x).real + params["D"] * inputs[b, t]
    outputs, _ = unroll(params, inputs, state, is_first)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_unroll_is_the_fold_of_steps(layer, seed):
    _, params, unroll, fold_steps = layer
    is_first = np.random.default_rng(seed).random((BATCH, LENGTH)) < 0.3
    arguments = params, random_inputs(seed), random_state(params, seed), is_first
    outputs, states = unroll(*arguments)
    expected_outputs, expected_states = fold_steps(*arguments)
    assert outputs.dtype == jnp.float32 and states.dtype == jnp.complex64
    np.testing.assert_allclose(outputs, expected_outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(states, expected_states, rtol=1e-4, atol=1e-5)


def test_a_reset_starts_from_the_learned_initial_state(layer):
    _, params, unroll, _ = layer
    is_first = np.zeros((BATCH, LENGTH), bool)
    is_first[:, 0] = True
    inputs = random_inputs(1)
    reset = unroll(params, inputs, random_state(params, 1), is_first)
    learned = np.broadcast_to(
        params["initial_state"][0] + 1j * params["initial_state"][1], reset[1][:, 0].shape
    ).astype(np.complex64)
    started = unroll(params, inputs, learned, np.zeros((BATCH, LENGTH), bool))
    np.testing.assert_allclose(reset[0], started[0], rtol=1e-5, atol=1e-6)


def test_no_flags_is_no_reset():
    functions = make_s5()
    params = random_params(functions)
    inputs, state = random_inputs(2), random_state(params, 2)
    flags = np.zeros((BATCH, LENGTH), bool)
    unroll = jax.jit(functions.unroll)
    without, with_flags = unroll(params, inputs, state)[0], unroll(params, inputs, state, flags)[0]
    np.testing.assert_allclose(without, with_flags, rtol=1e-5, atol=1e-6)


def test_clip_eigs_keeps_an_unstable_system_stable():
    states = {}
    for clip_eigs in (False, True):
        functions = make_s5(clip_eigs=clip_eigs, scan_form="sequential")
        params = random_params(functions)
        params["Lambda_re"][:], params["log_step"][:] = 0.5, np.log(0.1)
        inputs = np.zeros((1, 300, WIDTH), np.float32)
        state = np.ones((1, STATE_SIZE), np.complex64)
        states[clip_eigs] = np.asarray(jax.jit(functions.unroll)(params, inputs, state)[1])
    assert np.all(np.abs(states[True]) <= 1.0)
    assert np.all(np.abs(states[False][:, -1]) > 1e3)


def test_unit_variance_gives_states_the_variance_of_the_input_whatever_their_step():
    """For white noise u: var(x_p) = sum_h |B_ph|^2. S5's own scaling leaves slow states small."""
    ratios = {}
    for scaling in ("unit_variance", "none"):
        functions = make_s5(
            width=8, dt_min=0.02, dt_max=0.5, input_scaling=scaling, scan_form="sequential"
        )
        params = jax.jit(functions.init)(jax.random.key(0))
        inputs = np.random.default_rng(0).normal(size=(16, 4000, 8)).astype(np.float32)
        _, states = jax.jit(functions.unroll)(params, inputs, np.zeros((16, 8), np.complex64))
        variance = np.mean(np.abs(np.asarray(states)[:, 500:]) ** 2, axis=(0, 1))
        B = np.asarray(params["B"])
        ratios[scaling] = variance / np.sum(B[:, :8] ** 2 + B[:, 8:] ** 2, axis=0)
    np.testing.assert_allclose(ratios["unit_variance"], 1.0, atol=0.1)
    assert np.all(ratios["none"] < 0.5)


@pytest.mark.parametrize(("conj_sym", "kept"), [(False, STATE_SIZE), (True, STATE_SIZE // 2)])
def test_parameters(conj_sym, kept):
    params = jax.eval_shape(make_s5(conj_sym=conj_sym).init, jax.random.key(0))
    assert {name: value.shape for name, value in params.items()} == {
        "Lambda_re": (kept,),
        "Lambda_im": (kept,),
        "log_step": (kept,),
        "B": (WIDTH, 2 * kept),
        "C": (2 * kept, WIDTH),
        "D": (WIDTH,),
        "initial_state": (2, kept),
    }
    assert set(params) == set(PARAMETER_NAMES) - {"P", "Q"}
    assert all(value.dtype == jnp.float32 for value in params.values())


def test_zeros_as_initial_state_is_no_parameter():
    functions = make_s5(initial_state="zeros")
    params = jax.eval_shape(functions.init, jax.random.key(0))
    assert "initial_state" not in params
    state = functions.initial_state(params, 5)
    assert state.shape == (5, STATE_SIZE) and state.dtype == jnp.complex64
    np.testing.assert_array_equal(state, 0)


def test_initial_values():
    """The spectrum and its steps; B and C are real matrices, seen in the eigenvectors' basis."""
    params = jax.jit(make_s5(dt_min=0.01, dt_max=0.02).init)(jax.random.key(3))
    Lambda, V = spectra.hippo_blocks(STATE_SIZE, 2)
    np.testing.assert_allclose(params["Lambda_re"], Lambda.real, rtol=1e-6)
    np.testing.assert_allclose(params["Lambda_im"], Lambda.imag, rtol=1e-6)
    step = np.exp(params["log_step"])
    assert np.all((step >= 0.0099) & (step <= 0.0201)) and len(set(step.tolist())) == STATE_SIZE
    B = (params["B"][:, :STATE_SIZE] + 1j * params["B"][:, STATE_SIZE:]).T
    C = (params["C"][:STATE_SIZE] - 1j * params["C"][STATE_SIZE:]).T
    np.testing.assert_allclose((V @ B).imag, 0, atol=1e-6)
    np.testing.assert_allclose((C @ V.conj().T).imag, 0, atol=1e-6)
    np.testing.assert_array_equal(params["initial_state"], 0)


def mean_squares_of_B_and_C(width, state_size, **options):
    """Mean squares of complex entries at the start."""
    functions = make_s5(width=width, state_size=state_size, **options)
    params = jax.jit(functions.init)(jax.random.key(0))
    B, C = np.asarray(params["B"]), np.asarray(params["C"])
    half = state_size
    return np.mean(B[:, :half] ** 2 + B[:, half:] ** 2), np.mean(C[:half] ** 2 + C[half:] ** 2)


@pytest.mark.parametrize(("B_init", "of_B"), [("fan_in", 1 / 32), ("lecun_normal", 1 / 64)])
@pytest.mark.parametrize(
    ("C_init", "of_C"),
    [("fan_in", 1 / 64), ("lecun_normal", 2 / (32 * 64)), ("complex_normal", 1.0)],
)
def test_sizes_of_B_and_C(B_init, of_B, C_init, of_C):
    sizes = mean_squares_of_B_and_C(32, 64, n_blocks=1, B_init=B_init, C_init=C_init)
    np.testing.assert_allclose(sizes, (of_B, of_C), rtol=0.1)


def test_sizes_of_the_released_B_and_C():
    """Read off the released code at its sizes: rms 0.089 of B and 0.0055 of C."""
    sizes = mean_squares_of_B_and_C(512, 128, B_init="lecun_normal", C_init="lecun_normal")
    np.testing.assert_allclose(np.sqrt(sizes), (0.089, 0.0055), rtol=0.02)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("discretisation", "euler", "'bilinear', 'zoh'"),
        ("B_init", "zeros", "'fan_in', 'lecun_normal'"),
        ("C_init", "zeros", "'fan_in', 'lecun_normal', 'complex_normal'"),
        ("initial_state", "ones", "'learned', 'zeros'"),
        ("input_scaling", None, "'none', 'unit_variance'"),
        ("scan_form", "fast", "'auto', 'parallel', 'sequential', 'chunked'"),
    ],
)
def test_unknown_options_are_refused(option, value, allowed):
    with pytest.raises(ValueError, match=f"{option}={value!r} is not one of {allowed}"):
        make_s5(**{option: value})
