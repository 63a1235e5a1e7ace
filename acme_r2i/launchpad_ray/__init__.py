"""The part of Launchpad's interface that Acme's layouts use, on Ray.

Where no Launchpad is installed, `acme_r2i.acme_compat` makes ``import launchpad`` return this
package, so that Acme's ``DistributedLayout`` and ``make_distributed_experiment`` run unchanged:

    program = layout.build()
    launchpad.launch(program, local_resources={"learner": Resources(num_gpus=1)}).wait()

Each node of a program (`program`) is a Ray actor (`node_actor`), a process of its own on some
machine of the cluster. Nodes call one another through clients (`calls`), and reach replay over
Reverb's own gRPC (`reverb_node`). Nodes of the groups in ``max_restarts`` are restarted when they
fail (`supervisor`). Other names of Launchpad that Acme mentions raise NotImplementedError when they
are used (`launchpad_names`).

Ray is imported when a program is launched.
"""

from acme_r2i.launchpad_ray.errors import NodeFailedError, NodeUnavailableError, RayMissingError
from acme_r2i.launchpad_ray.launching import launch
from acme_r2i.launchpad_ray.launchpad_names import (
    CacherNode,
    DockerConfig,
    LaunchType,
    MultiProcessingColocation,
    batched_handler,
    define_flag,
)
from acme_r2i.launchpad_ray.program import CourierNode, MultiThreadingColocation, Program, Resources
from acme_r2i.launchpad_ray.reverb_node import ReverbNode
from acme_r2i.launchpad_ray.stop_handlers import (
    register_stop_handler,
    stop,
    unregister_stop_handler,
)
from acme_r2i.launchpad_ray.supervisor import Restart, RunningProgram

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
