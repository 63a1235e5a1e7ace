"""The multilayer perceptron that every vector-shaped part is made of."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from acme_r2i.networks.layer_norm import LayerNorm
from acme_r2i.networks.parts import Inputs
from acme_r2i.networks.precision import Linear


class MLP(hk.Module):
    """``num_layers`` x (Linear without bias, LayerNorm, SiLU), then an optional Linear.

    The form of DreamerV3 (arXiv 2301.04104, appendix on the model): the norm has the bias, so the
    linear layer needs none.
    """

    def __init__(
        self,
        num_layers: int,
        units: int,
        output_size: int | None = None,
        output_scale: float = 1.0,
        name: str | None = None,
    ):
        """Initialises the perceptron.

        Args:
          num_layers: hidden layers.
          units: their width.
          output_size: size of the linear output layer; None for none.
          output_scale: factor of the variance of the output layer's initial weights, which are
            uniform with variance 2 / (fan in + fan out); 0 for an output of zeros.
          name: module name.
        """
        super().__init__(name=name)
        self._hidden = [
            Linear(units, with_bias=False, name=f"linear_{i}") for i in range(num_layers)
        ]
        self._norms = [LayerNorm(name=f"norm_{i}") for i in range(num_layers)]
        self._output = None
        if output_size is not None:
            w_init = (
                jnp.zeros
                if output_scale == 0.0
                else hk.initializers.VarianceScaling(output_scale, "fan_avg", "uniform")
            )
            self._output = Linear(output_size, w_init=w_init, name="output")

    def __call__(self, inputs: Inputs) -> Array:
        """float32 [..., F] -> [..., output_size or units]."""
        values = inputs
        for linear, norm in zip(self._hidden, self._norms, strict=True):
            values = jax.nn.silu(norm(linear(values)))
        return values if self._output is None else self._output(values)
