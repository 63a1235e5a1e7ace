"""The node that evaluates what was learned so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acme_r2i.distributed.plan import Plan
from acme_r2i.runs.evaluation import Evaluation
from acme_r2i.runs.process import use_compilation_cache

if TYPE_CHECKING:
    from acme_r2i import launchpad_ray


class EvaluatorNode:
    """Evaluates when it is asked to."""

    def __init__(self, plan: Plan, learner: launchpad_ray.Client):
        """Stores the parts.

        Args:
          plan: of the run.
          learner: has the parameters.
        """
        from acme_r2i.runs import evaluation

        options = plan.options
        use_compilation_cache(options.workdir)
        self._learner = learner
        self._evaluator = evaluation.Evaluator(options, plan.blueprint())

    def evaluate(self, env_steps: int) -> Evaluation:
        """Evaluates the newest parameters, of about so many environment steps."""
        learner_steps, params = self._learner.get_all_parameters()
        return self._evaluator.evaluate(params, env_steps=env_steps, learner_steps=learner_steps)
