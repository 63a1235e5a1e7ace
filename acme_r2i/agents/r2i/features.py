"""What the networks on top of the world model see of a latent state, as one vector."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from acme_r2i.agents.r2i.types import LatentState


def model_features(latent: LatentState) -> Array:
    """(h, z) as one vector [..., deter + size of z]: what the heads see, never x."""
    return jnp.concatenate([latent.deter, latent.flat_stoch], axis=-1)


def policy_features(latent: LatentState, policy_inputs: str) -> Array:
    """What actor and critic see of a state, as one vector [..., F].

    Args:
      latent: state with any leading axes.
      policy_inputs: "output_state" (z, h), "hidden_state" (z, x) or "full_state" (z, h, x)
        (arXiv 2403.04253, section 3.3).
    """
    parts = [latent.flat_stoch]
    if policy_inputs in ("output_state", "full_state"):
        parts.append(latent.deter)
    if policy_inputs in ("hidden_state", "full_state"):
        parts.append(latent.flat_hidden)
    return jnp.concatenate(parts, axis=-1)
