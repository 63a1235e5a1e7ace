"""S4D and S4 against dense systems in float64, and their first values."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from acme_r2i.networks.ssm import S4, S4D, spectra
from tests.helpers import random_params

BATCH, LENGTH, WIDTH, STATE_SIZE = 2, 7, 3, 6
LAYERS = {
    "s4d, bilinear": (S4D, dict(discretisation="bilinear")),
    "s4d, zoh": (S4D, dict(discretisation="zoh")),
    "s4d, bilinear, conj_sym": (S4D, dict(discretisation="bilinear", conj_sym=True)),
    "s4d, zoh, conj_sym": (S4D, dict(discretisation="zoh", conj_sym=True)),
    "s4d, unit_variance": (S4D, dict(discretisation="zoh", input_scaling="unit_variance")),
    "s4d, clip_eigs": (S4D, dict(discretisation="zoh", clip_eigs=True)),
    "s4": (S4, dict(discretisation="bilinear")),
    "s4, sequential": (S4, dict(discretisation="bilinear", scan_form="sequential")),
    "s4, clip_eigs": (S4, dict(discretisation="bilinear", clip_eigs=True)),
}


def make_layer(kind, **options):
    """(init, unroll) of a layer."""

    def unroll(inputs, state=None, is_first=None):
        layer = kind(WIDTH, STATE_SIZE, name="layer", **options)
        state = layer.initial_state(BATCH) if state is None else state
        return layer.unroll(inputs, state, is_first)

    return hk.without_apply_rng(hk.transform(unroll))


def initial_params(kind, **options):
    inputs = np.zeros((BATCH, LENGTH, WIDTH), np.float32)
    return jax.jit(make_layer(kind, **options).init)(jax.random.key(0), inputs)["layer"]


def to_complex(parts) -> np.ndarray:
    return np.asarray(parts[0], float) + 1j * np.asarray(parts[1], float)


def continuous_system(p, h: int, options):
    """A, B, C of one feature, whole matrices in float64, with both halves of every pair."""
    re = np.asarray(p["Lambda_re"], float)[h]
    re = np.minimum(re, -1e-4) if options.get("clip_eigs") else re
    A = np.diag(re + 1j * np.asarray(p["Lambda_im"], float)[h])
    B, C = to_complex(p["B"])[h], to_complex(p["C"])[h]
    if "P" in p:
        A = A - np.outer(to_complex(p["P"])[h], to_complex(p["Q"])[h].conj())
    if options.get("conj_sym"):
        A = scipy.linalg.block_diag(A, A.conj())
        B, C = np.concatenate([B, B.conj()]), np.concatenate([C, C.conj()])
    return A, B[:, None], C


def discrete_system(A, B, step: float, options):
    """A_bar and B_bar, by the matrix exponential or by solving linear systems."""
    size, identity = len(A), np.eye(len(A))
    if options["discretisation"] == "zoh":
        whole = scipy.linalg.expm(step * np.block([[A, B], [np.zeros((1, size + 1))]]))
        A_bar, B_bar = whole[:size, :size], whole[:size, size:]
    else:
        A_bar = np.linalg.solve(identity - step / 2 * A, identity + step / 2 * A)
        B_bar = np.linalg.solve(identity - step / 2 * A, step * B)
    if options.get("input_scaling") == "unit_variance":
        B_bar = np.sqrt(identity - A_bar @ A_bar.conj().T) @ B
    return A_bar, B_bar[:, 0]


def dense_reference(p, options, inputs, state, is_first):
    """Outputs [B, T, H], step by step with whole matrices."""
    outputs = np.zeros(inputs.shape)
    for h in range(WIDTH):
        A, B, C = continuous_system(p, h, options)
        A_bar, B_bar = discrete_system(A, B, np.exp(float(p["log_step"][h])), options)
        both = lambda x: np.concatenate([x, x.conj()]) if options.get("conj_sym") else x  # noqa: E731
        for b in range(BATCH):
            x = both(state[b, h].astype(complex))
            for t in range(LENGTH):
                x = both(to_complex(p["initial_state"])[h]) if is_first[b, t] else x
                x = A_bar @ x + B_bar * inputs[b, t, h]
                outputs[b, t, h] = (C @ x).real + p["D"][h] * inputs[b, t, h]
    return outputs


@pytest.mark.parametrize("name", LAYERS)
def test_unroll_is_the_dense_system(name):
    """With random parameters, initial states and resets."""
    kind, options = LAYERS[name]
    layer = make_layer(kind, **options)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros([BATCH, LENGTH, WIDTH]))
    params = random_params(shapes, 0)
    p = params["layer"]
    p["Lambda_im"] = 5 * p["Lambda_im"]
    if options.get("clip_eigs"):
        p["Lambda_re"][:, ::2] = 0.5
    unroll = jax.jit(layer.apply)
    for seed in range(3):
        random = np.random.default_rng(seed)
        inputs = random.normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)
        shape = BATCH, *p["Lambda_re"].shape
        state = (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)
        is_first = random.random((BATCH, LENGTH)) < 0.3
        outputs, states = unroll(params, inputs, state, is_first)
        expected = dense_reference(p, options, inputs, state, is_first)
        assert states.shape == (BATCH, LENGTH, *shape[1:]) and states.dtype == jnp.complex64
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("conj_sym", "kept"), [(False, STATE_SIZE), (True, STATE_SIZE // 2)])
@pytest.mark.parametrize("spectrum", ["legs", "lin", "inv"])
def test_s4d_initial_values(spectrum, conj_sym, kept):
    p = initial_params(S4D, spectrum=spectrum, conj_sym=conj_sym, dt_min=0.01, dt_max=0.02)
    shapes = {name: x.shape for name, x in p.items()}
    assert shapes == {
        **{name: (WIDTH, kept) for name in ("Lambda_re", "Lambda_im")},
        **{name: (2, WIDTH, kept) for name in ("B", "C", "initial_state")},
        **{name: (WIDTH,) for name in ("D", "log_step")},
    }
    Lambda = spectra.s4d(spectrum, STATE_SIZE, conj_sym)
    np.testing.assert_allclose(p["Lambda_re"] + 1j * p["Lambda_im"], [Lambda] * WIDTH, rtol=1e-6)
    np.testing.assert_array_equal(to_complex(p["B"]), 1)
    assert np.all((np.exp(p["log_step"]) >= 0.0099) & (np.exp(p["log_step"]) <= 0.0201))


def test_s4_starts_as_hippo_legs_in_another_basis():
    p = initial_params(S4)
    _, _, V = spectra.dplr_hippo(STATE_SIZE)
    for h in range(WIDTH):
        A, B, _ = continuous_system(p, h, {})
        np.testing.assert_allclose(
            V @ A @ V.conj().T, spectra.hippo_legs(STATE_SIZE), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            V @ B[:, 0], spectra.hippo_legs_input(STATE_SIZE), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", [S4, S4D])
def test_zeros_as_initial_state_is_no_parameter(kind):
    assert "initial_state" not in initial_params(kind, initial_state="zeros")


@pytest.mark.parametrize("kind", [S4, S4D])
def test_features_do_not_meet(kind):
    """An input of one feature moves the output of no other."""
    inputs = np.zeros((BATCH, LENGTH, WIDTH), np.float32)
    inputs[:, :, 1] = 1.0
    outputs, _ = jax.jit(make_layer(kind).apply)({"layer": initial_params(kind)}, inputs)
    assert np.all(outputs[..., 1] != 0) and not np.any(outputs[..., [0, 2]])
