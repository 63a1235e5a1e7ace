"""Recall to Imagine (R2I): a world-model agent with state-space memory, on Acme, Reverb and JAX.

Nothing is imported here, so that every part can be used without the others: `acme_r2i.networks` in
any Haiku project, `acme_r2i.environments` with any agent, `acme_r2i.agents.r2i` inside Acme, and
`load` for a trained policy in anybody's loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from acme_r2i.agents.common.policy import Policy

__version__ = "0.1.0"


def load(
    path: str | os.PathLike[str],
    *,
    mode: str = "greedy",
    seed: int = 0,
    num_environments: int | None = None,
) -> Policy:
    """Loads a policy that `r2i export` has written. It takes JAX, Haiku and NumPy.

    Args:
      path: the folder.
      mode: "greedy" for the likeliest actions, "sampled" to draw them as in training.
      seed: of all that the policy draws.
      num_environments: N to act for N environments at once, with a leading axis [N]; None to act
        for one, without.

    Raises:
      ValueError: if there is no such policy, or an argument is not allowed.
    """
    from acme_r2i.runs.policies import load as load_policy

    return load_policy(path, mode=mode, seed=seed, num_environments=num_environments)
