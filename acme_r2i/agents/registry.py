"""The agents by name; nothing else in the package knows the list of them.

An agent is named by an import string, so one more is one more line.
"""

from __future__ import annotations

import functools
import importlib

from acme_r2i.agents.common.agent_kind import AgentKind

_AGENTS = {
    "r2i": "acme_r2i.agents.r2i.agent:R2I",
    "r2d2": "acme_r2i.agents.r2d2.agent:R2D2",
    "random": "acme_r2i.agents.random.agent:Random",
}

AGENT_NAMES = tuple(_AGENTS)
DEFAULT_AGENT = "r2i"


@functools.cache
def get_agent(name: str) -> AgentKind:
    """Returns the agent of this name; ValueError if there is none."""
    if name not in _AGENTS:
        raise ValueError(f"there is no agent {name!r}; agents: {', '.join(_AGENTS)}")
    module, _, attribute = _AGENTS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)()
