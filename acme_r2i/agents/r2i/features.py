"""What the networks on top of the sequence core see of a latent state, as one vector in parts."""

from __future__ import annotations

from jax import Array

from acme_r2i.agents.r2i.types import LatentState
from acme_r2i.networks.parts import OneHots, Parts


def state_features(latent: LatentState, inputs: str) -> Parts:
    """What heads, actor or critic see of a state, as one vector [..., F] (h, z, x, in this order).

    Args:
      latent: state with any leading axes.
      inputs: "output_state" (h, z), "hidden_state" (z, x) or "full_state" (h, z, x)
        (arXiv 2403.04253, section 3.3).
    """
    parts = [stoch_part(latent.stoch, latent.deter.ndim)]
    if inputs in ("output_state", "full_state"):
        parts.insert(0, latent.deter)
    if inputs in ("hidden_state", "full_state"):
        parts.append(latent.flat_hidden)
    return Parts(tuple(parts))


def stoch_part(stoch: Array, axes: int) -> Array | OneHots:
    """z as part of a vector that has so many axes: one-hots, where it is categorical."""
    return OneHots(stoch) if stoch.ndim > axes else stoch
