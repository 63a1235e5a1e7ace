"""Atari 100K: 26 games with 100,000 steps (400,000 frames) each, with the paper's settings."""

from acme_r2i.environments.atari_scores import ATARI_100K_GAMES

SWEEP = {
    "envs": [f"atari:{game}" for game in ATARI_100K_GAMES],
    "seeds": [0, 1, 2],
    "options": {"env-steps": 100_000},
    "variants": {
        "r2i": {"preset": "atari100k"},
        "dreamerv3": {"preset": "atari100k,dreamerv3"},
    },
}
