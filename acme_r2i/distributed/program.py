"""The program: which nodes there are, and what each of them takes."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from acme_r2i import launchpad_ray as lp
from acme_r2i.distributed import replay_node
from acme_r2i.distributed.actor_node import ActorNode
from acme_r2i.distributed.evaluator_node import EvaluatorNode
from acme_r2i.distributed.learner_node import LearnerNode
from acme_r2i.distributed.plan import Plan
from acme_r2i.runs.checkpoints import Checkpoints

# Calls that a learner answers at once, beside one fetch of parameters by each actor.
_OTHER_CALLS = 8
# Variables of this process that those of the nodes are to have, whichever machine they are on.
_PASSED_ON = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_ENABLE_COMPILATION_CACHE",
    "TF_CPP_MIN_LOG_LEVEL",
    "XLA_FLAGS",
)


class Nodes(NamedTuple):
    """The nodes of a program that runs.

    Attributes:
      program: the program.
      replay: handle of the replay server.
      learner: handle of the learner.
      actors: handles of the actors.
      evaluator: handle of the evaluator; None if there is none.
    """

    program: lp.RunningProgram
    replay: Any
    learner: Any
    actors: list[Any]
    evaluator: Any


@contextlib.contextmanager
def launched(plan: Plan, checkpoints: Checkpoints | None, *, gpus: bool) -> Iterator[Nodes]:
    """Launches the nodes; on leaving, they are stopped.

    Args:
      plan: of the run.
      checkpoints: where the replay server writes its own.
      gpus: whether the cluster has any; the learner takes one.

    Raises:
      TimeoutError: if nodes do not find a place.
    """
    import ray

    options = plan.options
    with contextlib.ExitStack() as stack:
        if checkpoints is not None:
            scratch = checkpoints.replay_scratch
        else:
            scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = lp.Program("r2i_train")
        replay = program.add_node(
            lp.ReverbNode(
                functools.partial(replay_node.make_tables, plan),
                functools.partial(
                    replay_node.make_checkpointer, scratch.absolute(), options.workdir.absolute()
                ),
            ),
            label="replay",
        )
        calls = {"thread_pool_size": plan.num_actors + _OTHER_CALLS}
        learner = program.add_node(
            lp.CourierNode(LearnerNode, plan, replay, courier_kwargs=calls), label="learner"
        )
        actors = [
            program.add_node(lp.CourierNode(ActorNode, plan, number, replay, learner), "actor")
            for number in range(plan.num_actors)
        ]
        evaluator = None
        if options.evaluate_every is not None:
            evaluator = program.add_node(lp.CourierNode(EvaluatorNode, plan, learner), "evaluator")
        here = {f"node:{ray.util.get_node_ip_address()}": 0.001}
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        on_cpu = {**variables, "JAX_PLATFORMS": "cpu"}
        resources = {
            # Its checkpoints are in the run's folder.
            "replay": lp.Resources(num_cpus=0, custom=here, environment=on_cpu),
            "learner": lp.Resources(
                num_gpus=1 if gpus else 0, environment=variables if gpus else on_cpu
            ),
            "actor": lp.Resources(environment=on_cpu),
            "evaluator": lp.Resources(environment=on_cpu),
        }
        running = lp.launch(
            program,
            local_resources={group: resources[group] for group in program.groups},
            max_restarts=dict.fromkeys(program.groups, options.max_restarts),
        )
        try:
            yield Nodes(running, replay, learner, actors, evaluator)
        finally:
            with contextlib.suppress(lp.NodeFailedError):
                running.stop()
