"""What Acme's layouts use of Launchpad, on Ray: an adapter.

`acme_r2i.acme_compat` makes this package answer to ``import launchpad`` where no Launchpad is
installed, so that Acme's ``DistributedLayout`` and ``make_distributed_experiment`` run as they are:

    program = layout.build()
    launchpad.launch(program, local_resources={"learner": Resources(num_gpus=1)}).wait()

Each node of a program is a Ray actor, a process of its own on some machine of the cluster. Nodes
call one another through handles (`handles`), and reach replay over Reverb's own gRPC. Nodes of the
groups that ``launch`` is told of are restarted when they fail (`running.RunningProgram`). The rest
of Launchpad is not here; what Acme names beside that raises NotImplementedError when it is used.

Ray is imported when a program is launched, not before.
"""

from acme_r2i.launchpad_ray.errors import NodeFailedError, NodeUnavailableError, RayMissingError
from acme_r2i.launchpad_ray.launch_types import LaunchType, define_flag
from acme_r2i.launchpad_ray.launching import launch
from acme_r2i.launchpad_ray.node_actor import Restart
from acme_r2i.launchpad_ray.nodes import CourierNode, MultiThreadingColocation, ReverbNode
from acme_r2i.launchpad_ray.program import Program
from acme_r2i.launchpad_ray.resources import Resources
from acme_r2i.launchpad_ray.running import RunningProgram
from acme_r2i.launchpad_ray.stopping import register_stop_handler, stop, unregister_stop_handler
from acme_r2i.launchpad_ray.unsupported import (
    CacherNode,
    DockerConfig,
    MultiProcessingColocation,
    batched_handler,
)

define_flag()

# Tells this package from a real Launchpad.
is_stand_in = True

__all__ = [
    "CacherNode",
    "CourierNode",
    "DockerConfig",
    "LaunchType",
    "MultiProcessingColocation",
    "MultiThreadingColocation",
    "NodeFailedError",
    "NodeUnavailableError",
    "Program",
    "RayMissingError",
    "Resources",
    "Restart",
    "ReverbNode",
    "RunningProgram",
    "batched_handler",
    "is_stand_in",
    "launch",
    "register_stop_handler",
    "stop",
    "unregister_stop_handler",
]
