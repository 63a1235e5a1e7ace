"""Memory of each agent on bsuite's memory_len, on two CPU cores.

Each agent has the same settings for every memory length. Results: docs/studies/memory_length.md.
"""

# Setting of memory_len, by memory length.
LENGTHS = {10: 9, 30: 15, 60: 18}

_DREAMING = {
    "batch_size": 8,
    "sequence_length": 128,
    "train_ratio": 64,
    "behaviour.imagination_starts": 8,
    "world_model.loss_scales.reward": 30,
}
_STEPS = {"dt_min": 0.01, "dt_max": 0.2, "input_scaling": "unit_variance"}
_WINDOW = {"window": 16, "head_size": 16}
_ACTING = {"agent": "r2d2", "batch_size": 8, "trace_length": 128, "train_ratio": 128}

SWEEP = {
    "envs": [f"bsuite:memory_len/{number}" for number in LENGTHS.values()],
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
        # Attends to the last 16 inputs beside S5, which is enough at length 10 only.
        "hybrid": {
            "preset": "cpu,mini",
            **_DREAMING,
            "world_model.core": {
                "kind": "hybrid",
                "state_size": 128,
                "n_blocks": 4,
                **_STEPS,
                **_WINDOW,
            },
        },
        # The state, which is its whole memory, is twice as large as R2I's h.
        "dreamerv3": {"preset": "cpu,mini,dreamerv3", **_DREAMING, "world_model.deter": 128},
        "r2d2_lstm": {**_ACTING, "core": "lstm"},
        "r2d2_s5": {**_ACTING, "core": "s5"},
    },
}
