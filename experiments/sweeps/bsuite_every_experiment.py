"""The first and the last setting of each bsuite experiment, for a tiny R2I and for random actions.

A first look at all of bsuite on a machine without a GPU. It does not measure R2I: the agent is the
smallest, and the steps are a fraction of those that bsuite asks for. Each run records bsuite's
results, for the scores in `r2i report`. mnist downloads its images on first use.
"""

from acme_r2i.environments.bsuite import EXPERIMENTS

SWEEP = {
    "envs": [
        f"bsuite:{name}/{setting}"
        for name, settings in EXPERIMENTS.items()
        for setting in (0, settings - 1)
    ],
    "options": {
        "env-steps": 2000,
        "num_environments": 1,
        "env": {"results_dir": "{run}/bsuite", "resume_results": True},
    },
    "variants": {
        "random": {"agent": "random"},
        "r2i": {"preset": "debug"},
    },
}
