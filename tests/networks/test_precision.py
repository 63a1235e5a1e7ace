"""Products in bfloat16: which are rounded, which are not, and that float32 is plain."""

from __future__ import annotations

import collections

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_r2i.networks import precision
from acme_r2i.networks.hybrid import HybridStack
from acme_r2i.networks.mlp import MLP
from acme_r2i.networks.precision import (
    Linear,
    batch_product,
    product,
    products_in,
    with_products_in,
)
from acme_r2i.networks.recurrent import GRU
from acme_r2i.networks.ssm import SSMStack
from tests.helpers import random_like

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(2, 3, 5)).astype(np.float32)
WEIGHTS = RANDOM.normal(size=(5, 4)).astype(np.float32)


def rounded(x) -> np.ndarray:
    """To the nearest bfloat16, as float64: products of such numbers are exact in float32."""
    return np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)


# One product.


def test_a_bfloat16_product_is_the_float32_product_of_rounded_arguments():
    with products_in("bfloat16"):
        outputs = product(INPUTS, WEIGHTS)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, rounded(INPUTS) @ rounded(WEIGHTS), rtol=0, atol=2e-6)
    # Rounding matters more than what is allowed here.
    assert np.abs(outputs - INPUTS @ WEIGHTS).max() > 1e-3


def test_its_gradients_are_products_of_rounded_arguments_too():
    cotangent = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)

    def pulled_back(inputs, weights):
        with products_in("bfloat16"):
            return jax.vjp(product, inputs, weights)[1](cotangent)

    for to_inputs, to_weights in (
        pulled_back(INPUTS, WEIGHTS),
        jax.jit(pulled_back)(INPUTS, WEIGHTS),
    ):
        assert to_inputs.dtype == to_weights.dtype == jnp.float32
        g = rounded(cotangent)
        np.testing.assert_allclose(to_inputs, g @ rounded(WEIGHTS).T, rtol=0, atol=5e-6)
        expected = np.einsum("btf,btg->fg", rounded(INPUTS), g)
        np.testing.assert_allclose(to_weights, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("leading", [(), (7,), (2, 3)])
def test_leading_axes_and_vmap_are_the_same(leading):
    inputs = RANDOM.normal(size=(*leading, 5)).astype(np.float32)
    with products_in("bfloat16"):
        outputs = product(inputs, WEIGHTS)
        stacked = jax.vmap(product, in_axes=(0, None))(np.stack([inputs, -inputs]), WEIGHTS)
        gradient = jax.grad(lambda w: jnp.sum(product(inputs, w) ** 2))(WEIGHTS)
    assert outputs.shape == (*leading, 4) and gradient.shape == (5, 4)
    np.testing.assert_array_equal(stacked, np.stack([outputs, -outputs]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_product_of_batches_is_the_products_of_their_parts(precision):
    """Forward, and both gradients."""
    left, right = (RANDOM.normal(size=(2, 3, *x)).astype(np.float32) for x in ((4, 5), (5, 6)))

    def objective(function):
        def squared(left, right):
            outputs = function(left, right)
            return jnp.sum(outputs**2), outputs

        return jax.value_and_grad(squared, argnums=(0, 1), has_aux=True)

    with products_in(precision):
        (_, outputs), gradients = objective(batch_product)(left, right)
        for index in np.ndindex(2, 3):
            (_, part), by_part = objective(product)(left[index], right[index])
            np.testing.assert_allclose(outputs[index], part, rtol=1e-6, atol=1e-6)
            for whole, own in zip(gradients, by_part, strict=True):
                np.testing.assert_allclose(whole[index], own, rtol=1e-5, atol=1e-5)


# The context.


def product_dtype():
    """Of the arguments of a product traced here; a new function each time, as JAX keeps traces."""
    jaxpr = jax.make_jaxpr(lambda inputs, weights: product(inputs, weights))(INPUTS, WEIGHTS)
    names = str(jaxpr)
    assert "dot_general" in names
    return "bfloat16" if "bf16" in names else "float32"


def test_products_are_float32_outside_of_the_context():
    assert product_dtype() == "float32"
    with products_in("bfloat16"):
        assert product_dtype() == "bfloat16"
        with products_in("float32"):
            assert product_dtype() == "float32"
        assert product_dtype() == "bfloat16"
    assert product_dtype() == "float32"


def test_the_context_ends_with_an_exception():
    with pytest.raises(KeyError), products_in("bfloat16"):
        raise KeyError
    assert product_dtype() == "float32"


def test_what_is_traced_keeps_its_precision():
    function = jax.jit(lambda inputs, weights: product(inputs, weights))
    with products_in("bfloat16"):
        expected = function(INPUTS, WEIGHTS)
    np.testing.assert_array_equal(function(INPUTS, WEIGHTS), expected)
    assert np.any(expected != product(INPUTS, WEIGHTS))


@pytest.mark.parametrize("name", ["float16", "bf16", "", None])
def test_another_precision_is_refused(name):
    with pytest.raises(ValueError, match=r"precision=.* is not one of float32, bfloat16$"):
        with products_in(name):
            raise AssertionError("entered")


def test_a_wrapped_function_keeps_its_precision_wherever_it_is_traced():
    wrapped = with_products_in("bfloat16", product_dtype)
    assert (wrapped(), product_dtype()) == ("bfloat16", "float32")
    with products_in("bfloat16"):
        assert with_products_in("float32", product_dtype)() == "float32"
    assert wrapped.__name__ == "product_dtype"


# Modules.


@pytest.mark.parametrize("with_bias", [True, False])
def test_in_float32_linear_is_haikus_own(with_bias):
    def run(module):
        transformed = hk.transform(lambda x: module(4, with_bias=with_bias, name="linear")(x))
        params = transformed.init(jax.random.key(3), INPUTS)
        shifted = jax.tree.map(lambda x: x + 0.25, params)
        return params, transformed.apply(shifted, None, INPUTS)

    own, haikus = run(Linear), run(hk.Linear)
    assert jax.tree.structure(own) == jax.tree.structure(haikus)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(haikus), strict=True):
        np.testing.assert_array_equal(a, b)


def test_linear_starts_as_it_is_told():
    transformed = hk.transform(lambda x: Linear(4, w_init=hk.initializers.Constant(2.0))(x))
    params = transformed.init(jax.random.key(0), INPUTS)
    np.testing.assert_allclose(
        transformed.apply(params, None, INPUTS)[..., 1], 2 * INPUTS.sum(-1), rtol=1e-5
    )


def mlp(inputs, is_first):
    return MLP(2, 8, 6)(inputs), ()


def s5(inputs, is_first):
    core = SSMStack(6, width=8, num_layers=2, ssm="s5", state_size=4, n_blocks=1)
    return core.unroll(inputs, core.initial_state(2), is_first)


def s4d(inputs, is_first):
    core = SSMStack(6, width=8, num_layers=2, ssm="s4d", state_size=4)
    return core.unroll(inputs, core.initial_state(2), is_first)


def gru(inputs, is_first):
    core = GRU(6, width=8)
    return core.unroll(inputs, core.initial_state(2), is_first)


def hybrid(inputs, is_first):
    core = HybridStack(6, width=8, num_layers=1, state_size=4, n_blocks=1, window=2)
    return core.unroll(inputs, core.initial_state(2), is_first)


class Traced:
    """A module's equations, values and gradients by parameters and inputs together."""

    def __init__(self, build, name, all_equations):
        transformed = hk.without_apply_rng(hk.transform(build))
        is_first = np.zeros((2, 3), bool)
        shapes = jax.eval_shape(transformed.init, jax.random.key(0), INPUTS, is_first)
        self.params = random_like(shapes, 0)

        def loss(params, inputs):
            outputs, states = transformed.apply(params, inputs, is_first)
            real = jax.tree.map(lambda x: jnp.sum(jnp.abs(x) ** 2), (outputs, states))
            return sum(jax.tree.leaves(real)), (outputs, states)

        function = jax.grad(with_products_in(name, loss), argnums=(0, 1), has_aux=True)
        jaxpr, self.shapes = jax.make_jaxpr(function, return_shape=True)(self.params, INPUTS)
        self.equations = list(all_equations(jaxpr))

    def products(self):
        """Numbers of products by dtypes of arguments and result, the norms' means apart."""
        counts = collections.Counter()
        for equation in self.equations:
            if equation.primitive.name == "dot_general":
                arguments = [v.aval for v in equation.invars]
                is_mean = arguments[1].shape[1:] == (1,)
                dtypes = (*(str(a.dtype) for a in arguments), str(equation.outvars[0].aval.dtype))
                counts["mean", *dtypes] += is_mean
                counts[dtypes] += not is_mean
        return +counts


IN_FLOAT32 = ("float32", "float32", "float32")
IN_BFLOAT16 = ("bfloat16", "bfloat16", "float32")
# Linear layers of each. S5 has input, output, and B, C and a gate in each of its two blocks; a GRU
# the input layer and the gates; S4D's B and C act on each feature alone, and are no products. A
# hybrid's attention has a gate too, projection and output, queries by keys and weights by values.
LAYERS = {"mlp": 3, "s5": 8, "s4d": 4, "gru": 2, "hybrid": 10}
MODULES = pytest.mark.parametrize("build", [mlp, s5, s4d, gru, hybrid], ids=lambda f: f.__name__)


@MODULES
def test_forward_and_backward_every_product_is_in_bfloat16_and_summed_in_float32(
    build, all_equations
):
    """Each layer has one product forward, and one backward by its inputs and by its weights."""
    counts = Traced(build, "bfloat16", all_equations).products()
    means = counts.pop(("mean", *IN_FLOAT32))
    assert means > 0
    assert counts == {IN_BFLOAT16: 3 * LAYERS[build.__name__]}


@MODULES
def test_float32_traces_no_bfloat16(build, all_equations):
    counts = Traced(build, "float32", all_equations).products()
    del counts["mean", *IN_FLOAT32]
    assert counts == {IN_FLOAT32: 3 * LAYERS[build.__name__]}


@MODULES
def test_nothing_but_products_is_done_in_bfloat16(build, all_equations):
    """Recurrences, norms, states and gradients stay float32 and complex64."""
    traced = Traced(build, "bfloat16", all_equations)
    touching = {
        equation.primitive.name
        for equation in traced.equations
        for variable in (*equation.invars, *equation.outvars)
        if getattr(variable.aval, "dtype", None) == jnp.bfloat16
    }
    moving = {"convert_element_type", "transpose", "reshape", "dot_general"}
    # What carries values from one program to another, or from step to step.
    calls = {"pjit", "scan", "custom_vjp_call", "custom_vjp_call_jaxpr", "closed_call"}
    assert {"convert_element_type", "dot_general"} <= touching <= moving | calls
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(traced.shapes)}
    states = {np.dtype(np.complex64)} if build in (s5, s4d, hybrid) else set()
    assert dtypes == {np.dtype(np.float32)} | states


def test_the_names_are_those_of_the_settings():
    assert set(precision.PRECISIONS) == {"float32", "bfloat16"}
