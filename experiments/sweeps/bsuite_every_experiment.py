"""The first and the last setting of each of bsuite's experiments: a tiny R2I beside random actions.

A first look at all that bsuite tests, on a machine without a GPU, and no measure of R2I: the agent
is the smallest, and the steps are a fraction of what bsuite asks for. The results are recorded as
bsuite does it, for its scores in `r2i report`. mnist downloads its images when it is first used.
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
