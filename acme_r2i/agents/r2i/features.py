"""What the networks on top of the world model see of a latent state, as one vector in parts."""

from __future__ import annotations

from jax import Array

from acme_r2i.agents.r2i.types import LatentState
from acme_r2i.networks.parts import OneHots, Parts


def model_features(latent: LatentState) -> Parts:
    """(h, z) as one vector [..., deter + size of z]: what the heads see, never x."""
    return Parts((latent.deter, stoch_part(latent.stoch, latent.deter.ndim)))


def policy_features(latent: LatentState, policy_inputs: str) -> Parts:
    """What actor and critic see of a state, as one vector [..., F].

    Args:
      latent: state with any leading axes.
      policy_inputs: "output_state" (z, h), "hidden_state" (z, x) or "full_state" (z, h, x)
        (arXiv 2403.04253, section 3.3).
    """
    parts = [stoch_part(latent.stoch, latent.deter.ndim)]
    if policy_inputs in ("output_state", "full_state"):
        parts.append(latent.deter)
    if policy_inputs in ("hidden_state", "full_state"):
        parts.append(latent.flat_hidden)
    return Parts(tuple(parts))


def stoch_part(stoch: Array, axes: int) -> Array | OneHots:
    """z as part of a vector that has so many axes: one-hots, where it is categorical."""
    return OneHots(stoch) if stoch.ndim > axes else stoch
