"""What the nodes of a program need of the machines they are placed on."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping

# Groups whose nodes have little to do; Ray may place any number of them anywhere.
_LIGHT_GROUPS = ("counter", "replay")
_LEARNER_GROUP = "learner"


@dataclasses.dataclass(frozen=True)
class Resources:
    """What one node takes.

    Ray counts these to place nodes; it does not hold a process to its CPUs. A GPU is given to the
    node alone (or a share of it): the others do not see it.

    Attributes:
      num_cpus: CPUs, 0 or more.
      num_gpus: GPUs, 0 or more. A node without runs JAX on the CPU.
      custom: amounts by name of resources that the cluster's machines were started with.
      environment: variables of its process, by name.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    custom: Mapping[str, float] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("num_cpus", "num_gpus"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")

    def variables(self) -> dict[str, str]:
        """Variables of the node's process: the given ones, and the CPU for JAX if it has no GPU."""
        without = {} if self.num_gpus or self.custom else {"JAX_PLATFORMS": "cpu"}
        return {**without, **self.environment}

    def totals(self) -> dict[str, float]:
        """Amounts above 0, by Ray's names."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.custom}
        return {name: amount for name, amount in amounts.items() if amount}


def default_resources(group: str, *, gpus: bool) -> Resources:
    """What a node of a group takes unless it is told.

    Args:
      group: the group's label.
      gpus: whether the cluster has any GPU; the learner takes one then.
    """
    if group in _LIGHT_GROUPS:
        return Resources(num_cpus=0)
    return Resources(num_gpus=1 if gpus and group == _LEARNER_GROUP else 0)


def check_that_all_fits(
    wanted: Mapping[str, Resources], available: Mapping[str, float], program: str
) -> None:
    """Raises ValueError if a program asks for more than the whole cluster has.

    Args:
      wanted: resources by node.
      available: totals of the cluster by Ray's names.
      program: the program's name.
    """
    sums: dict[str, float] = collections.Counter()
    for resources in wanted.values():
        for name, amount in resources.totals().items():
            sums[name] += amount
    for name, amount in sums.items():
        if amount > available.get(name, 0):
            raise ValueError(
                f"the {len(wanted)} nodes of program {program!r} take {amount:g} {name} and the "
                f"cluster has {available.get(name, 0):g}: add machines, or give its groups less "
                "with local_resources"
            )
