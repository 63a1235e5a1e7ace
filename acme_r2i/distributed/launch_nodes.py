"""Launches the nodes of a run; the replay server and the evaluator are here, too."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from acme_r2i import launchpad_ray as lp
from acme_r2i.distributed.actor_node import ActorNode
from acme_r2i.distributed.learner_node import LearnerNode
from acme_r2i.distributed.node_settings import NodeSettings
from acme_r2i.replay import reverb_server
from acme_r2i.runs import checkpoints
from acme_r2i.runs.process import use_compilation_cache

if TYPE_CHECKING:
    from acme_r2i.launchpad_ray.calls import Client
    from acme_r2i.runs.evaluation import Evaluation

# Calls that the learner answers at once, beside one fetch of parameters by each actor.
_OTHER_CALLS = 8
# Variables of this process that nodes on all machines get.
_PASSED_ON = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_ENABLE_COMPILATION_CACHE",
    "TF_CPP_MIN_LOG_LEVEL",
    "XLA_FLAGS",
)


class EvaluatorNode:
    """The node that evaluates the newest parameters when it is called."""

    def __init__(self, settings: NodeSettings, learner: Client):
        from acme_r2i.runs import evaluation

        use_compilation_cache(settings.options.workdir)
        self._learner = learner
        self._evaluator = evaluation.Evaluator(settings.options, settings.blueprint())

    def evaluate(self, env_steps: int) -> Evaluation:
        """Evaluates the newest parameters, learned from about ``env_steps`` environment steps."""
        learner_steps, params = self._learner.get_all_parameters()
        return self._evaluator.evaluate(params, env_steps=env_steps, learner_steps=learner_steps)


def make_tables(settings: NodeSettings) -> list[Any]:
    """Returns the agent's replay tables, whose limiters hold both sides to the train ratio."""
    builder, _ = settings.make_builder()
    return builder.make_replay_tables(settings.spec)


def make_checkpointer(scratch: pathlib.Path, run_folder: pathlib.Path) -> Any:
    """Returns a checkpointer that writes in ``scratch`` and loads the run's newest checkpoint."""
    from acme_r2i.runs.agent import REPLAY

    shutil.rmtree(scratch, ignore_errors=True)  # may hold a part of a checkpoint
    scratch.mkdir(parents=True)
    newest, _ = checkpoints.find_newest(run_folder)
    return reverb_server.make_checkpointer(scratch, newest and newest.path / REPLAY)


class Nodes(NamedTuple):
    """The nodes of a running program.

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
def launched(
    settings: NodeSettings, run_checkpoints: checkpoints.Checkpoints | None, *, gpus: bool
) -> Iterator[Nodes]:
    """Launches the nodes, and stops them at the end of the context.

    Args:
      settings: settings of the run.
      run_checkpoints: gives the replay server a folder to write its checkpoints in.
      gpus: whether the cluster has a GPU; the learner takes one.

    Raises:
      TimeoutError: if nodes find no room.
    """
    options = settings.options
    with contextlib.ExitStack() as stack:
        if run_checkpoints is not None:
            scratch = run_checkpoints.replay_scratch
        else:
            scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = lp.Program("r2i_train")
        replay = program.add_node(
            lp.ReverbNode(
                functools.partial(make_tables, settings),
                functools.partial(
                    make_checkpointer, scratch.absolute(), options.workdir.absolute()
                ),
            ),
            label="replay",
        )
        calls = {"thread_pool_size": options.num_actors + _OTHER_CALLS}
        learner = program.add_node(
            lp.CourierNode(LearnerNode, settings, replay, courier_kwargs=calls), label="learner"
        )
        actors = [
            program.add_node(lp.CourierNode(ActorNode, settings, number, replay, learner), "actor")
            for number in range(options.num_actors)
        ]
        evaluator = None
        if options.evaluate_every is not None:
            evaluator = program.add_node(
                lp.CourierNode(EvaluatorNode, settings, learner), "evaluator"
            )
        resources = _resources(gpus=gpus)
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


def _resources(*, gpus: bool) -> dict[str, lp.Resources]:
    import ray

    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    on_cpu = {**variables, "JAX_PLATFORMS": "cpu"}
    here = {f"node:{ray.util.get_node_ip_address()}": 0.001}
    return {
        # On this machine, since its checkpoints are in the run's folder.
        "replay": lp.Resources(num_cpus=0, custom=here, environment=on_cpu),
        "learner": lp.Resources(
            num_gpus=1 if gpus else 0, environment=variables if gpus else on_cpu
        ),
        "actor": lp.Resources(environment=on_cpu),
        "evaluator": lp.Resources(environment=on_cpu),
    }
