"""Recall to Imagine (R2I): a world-model agent with state-space memory, on Acme, Reverb and JAX.

Nothing is imported here, so that every part can be used without the others: `acme_r2i.networks` in
any Haiku project, `acme_r2i.environments` with any agent, `acme_r2i.agents.r2i` inside Acme.
"""

__version__ = "0.1.0"
