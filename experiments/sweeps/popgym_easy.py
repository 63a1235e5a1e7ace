"""Four POPGym tasks at the easy level, with the same settings for all, on two CPU cores.

Results: docs/studies/popgym_easy.md.
"""

_DREAMING = {
    "batch_size": 8,
    "sequence_length": 128,
    "train_ratio": 32,
    "behaviour.imagination_starts": 8,
}
_CORE = {"kind": "s5", "state_size": 128, "n_blocks": 4, "dt_min": 0.01, "dt_max": 0.3}

SWEEP = {
    "envs": [
        "popgym:RepeatPreviousEasy",
        "popgym:RepeatFirstEasy",
        "popgym:ConcentrationEasy",
        "popgym:AutoencodeEasy",
    ],
    "seeds": [0, 1, 2],
    "options": {"env-steps": 50_000},
    "variants": {
        "r2i_s5": {"preset": "cpu,mini", **_DREAMING, "world_model.core": _CORE},
        "hybrid": {
            "preset": "cpu,mini",
            **_DREAMING,
            "world_model.core": {**_CORE, "kind": "hybrid", "window": 16, "head_size": 16},
        },
        "dreamerv3": {"preset": "cpu,mini,dreamerv3", **_DREAMING, "world_model.deter": 128},
        "r2d2_lstm": {
            "agent": "r2d2",
            "core": "lstm",
            "batch_size": 8,
            "trace_length": 128,
            "train_ratio": 64,
        },
    },
}
