"""POPGym's RepeatPreviousMedium on two CPU cores: memory has to hold 31 suits at any time.

Results: docs/studies/popgym_medium.md.
"""

_DREAMING = {
    "batch_size": 8,
    "sequence_length": 96,
    "train_ratio": 64,
    "behaviour.imagination_starts": 6,
}
_CORE = {"kind": "s5", "state_size": 256, "n_blocks": 8, "dt_min": 0.03, "dt_max": 0.3}

SWEEP = {
    "envs": ["popgym:RepeatPreviousMedium"],
    "seeds": [0, 1, 2],
    "options": {"env-steps": 90_000},
    "variants": {
        "r2i_s5": {"preset": "cpu,mini", **_DREAMING, "world_model.core": _CORE},
        # The state, which is its whole memory, has a number for each of S5's complex states.
        "dreamerv3": {"preset": "cpu,mini,dreamerv3", **_DREAMING, "world_model.deter": 256},
    },
}
