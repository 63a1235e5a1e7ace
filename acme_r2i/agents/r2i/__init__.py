"""Recall to Imagine, for Acme experiments of your own.

    from acme_r2i.agents import r2i

    builder = r2i.R2IBuilder(r2i.presets.memory())

Names are imported on first use, so the pure half needs no Acme.
``examples/acme_experiment.py`` is a whole experiment.

Where the paper (arXiv 2403.04253) is in the code. Losses, actor and critic are DreamerV3's (arXiv
2301.04104, first version); docs/fidelity.md compares every term.

    paper                                       code
    section 3: posterior q(z_t | o_t)           world_model: WorldModel._infer
    sequence model x, h = SSM(z, a, x_0)        world_model: WorldModel.observe (all steps at once),
                                                observe_step, imagine_step (one step)
    prior p(z_t | h_t)                          world_model: WorldModel._predict_stoch
    decoder, reward and continue heads          world_model: WorldModel.decode, predict
    z: categoricals, 1 % uniform, KL            networks.latents: CategoricalLatent
    prediction losses, dynamics and             model_losses: world_model_losses, weighted_sum
      representation KL, free nats
    symlog, two-hot scalars (DreamerV3,         networks.distributions: symlog;
      equations 2 and 8 to 10)                  networks.heads: SymlogTwoHot
    dx = Lambda x + B u, y = Re(C x) + D u      networks.ssm.layer: SSMLayer; networks.ssm.s5: S5
                                                (variants: S4D, S4)
    discretisation, bilinear and ZOH            networks.ssm.discretisation: bilinear, zoh
    parallel scan with resets                   networks.ssm.scan: linear_recurrence
    section 3.2, block: SSM, GELU, GLU,         networks.ssm.stack: SSMBlock, SSMStack
      residual, LayerNorm
    section 3.3: inputs of actor and critic,    types: state_features
      (h, z), (z, x) or (h, z, x)
    imagination from posterior states           imagination: imagine, roll_out, sample_start_times
    lambda-returns (DreamerV3, equation 7)      actor_critic: lambda_returns
    scale of returns, 5th to 95th percentile    actor_critic: update_return_range
    actor: REINFORCE (DreamerV3, equation 11)   behaviour: actor_loss; actor_critic: reinforce_loss,
      or through the model, plus entropy        reparameterised_loss, mean_entropy
    critic, and its slow copy                   behaviour: critic_loss; actor_critic: value_loss
    one update of world model, actor, critic    update: make_update
    Adam, clipping, a group of SSM parameters   optimisers: make_optimisers
    acting                                      networks: R2INetworks.act
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_r2i.agents.r2i import presets
    from acme_r2i.agents.r2i.builder import R2IBuilder, R2IExperimentBuilder
    from acme_r2i.agents.r2i.config import R2IConfig

__all__ = ["R2IBuilder", "R2IConfig", "R2IExperimentBuilder", "presets"]

_HOMES = {"R2IBuilder": "builder", "R2IConfig": "config", "R2IExperimentBuilder": "builder"}


def __getattr__(name: str) -> Any:
    if name == "presets":
        return importlib.import_module(f"{__name__}.presets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
