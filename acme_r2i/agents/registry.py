"""The agents by name; nothing else in the package knows the list of them."""

from __future__ import annotations

import functools
import importlib

from acme_r2i.agents.common.agent_kind import AgentKind

AGENTS: dict[str, str] = {
    "r2i": "acme_r2i.agents.r2i.agent:R2I",
    "r2d2": "acme_r2i.agents.r2d2.agent:R2D2",
    "random": "acme_r2i.agents.random.agent:Random",
}
"""Import strings of the agents' classes, by name; looked up when an agent is used."""

DEFAULT_AGENT = "r2i"


def get_agent(name: str) -> AgentKind:
    """Returns the agent of this name; ValueError if there is none."""
    if name not in AGENTS:
        raise ValueError(f"there is no agent {name!r}; agents: {', '.join(AGENTS)}")
    return _make_agent(AGENTS[name])


@functools.cache
def _make_agent(import_string: str) -> AgentKind:
    module, _, attribute = import_string.partition(":")
    return getattr(importlib.import_module(module), attribute)()
