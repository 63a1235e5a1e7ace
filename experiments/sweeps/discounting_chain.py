"""bsuite's discounting_chain on two CPU cores: five rewards with different delays, one larger.

Results: docs/studies/discounting_chain.md.
"""

# Setting of discounting_chain, by the delay of the larger reward. The other delays are 3, 10, 100.
DELAYS = {1: 0, 30: 3}

_DREAMING = {
    "batch_size": 8,
    "sequence_length": 128,
    "train_ratio": 64,
    "behaviour.imagination_starts": 8,
}
_STEPS = {"dt_min": 0.01, "dt_max": 0.2, "input_scaling": "unit_variance"}
# R2D2's preset for two cores looks ten steps ahead; discount and bootstrap_n here are Acme's.
_ACTING = {
    "agent": "r2d2",
    "batch_size": 8,
    "trace_length": 128,
    "train_ratio": 128,
    "discount": 0.997,
    "bootstrap_n": 5,
}

SWEEP = {
    "envs": [f"bsuite:discounting_chain/{number}" for number in DELAYS.values()],
    "seeds": [0, 1, 2],
    "options": {"env-steps": 60_000},
    "variants": {
        "r2i_s5": {
            "preset": "cpu,mini",
            **_DREAMING,
            "world_model.core": {"kind": "s5", "state_size": 128, "n_blocks": 4, **_STEPS},
        },
        # Half the width, for the same number of complex states as S5.
        "r2i_s4d": {
            "preset": "cpu,mini",
            **_DREAMING,
            "world_model.core": {"kind": "s4d", "width": 32, "state_size": 8, **_STEPS},
        },
        "dreamerv3": {"preset": "cpu,mini,dreamerv3", **_DREAMING, "world_model.deter": 128},
        "r2d2_lstm": {**_ACTING, "core": "lstm"},
        "r2d2_s5": {**_ACTING, "core": "s5"},
    },
}
