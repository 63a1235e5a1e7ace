"""Tasks and variants of each study, and the form of its table and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from acme_r2i.runs.metrics import EPISODES_IN_MEAN


@dataclasses.dataclass(frozen=True)
class Study:
    """One study. Its sweep, page and files share its name.

    Attributes:
      name: name of the study.
      tasks: name of each task in tables and figures, by its full name, in their order.
      variants: name of each variant in tables and figures, by its name in the sweep.
      scale: a score is ``scale[0] + scale[1] * mean return``.
      score: name of the score.
      episodes: number of episodes in a mean return.
      reached: score until which the table counts steps and minutes; None for no such columns.
      shows_memory: show the peak memory of the runs.
      parameter: name of the number in which the tasks differ, and over which scores are drawn. The
        names of the tasks are numbers then. None if tasks differ in more.
      published: scores by the parameter, by author, in this study's scale.
    """

    name: str
    tasks: Mapping[str, str]
    variants: Mapping[str, str]
    scale: tuple[float, float] = (0.0, 1.0)
    score: str = "return"
    episodes: int = EPISODES_IN_MEAN
    reached: float | None = 0.9
    shows_memory: bool = False
    parameter: str | None = None
    published: Mapping[str, Mapping[float, float]] = dataclasses.field(default_factory=dict)

    def shown(self, returns: np.ndarray | float) -> np.ndarray | float:
        """Returns the scores of mean returns."""
        return self.scale[0] + self.scale[1] * returns


AGENTS = {
    "r2i_s5": "R2I, S5",
    "r2i_s4d": "R2I, S4D",
    "hybrid": "R2I, S5 and attention",
    "dreamerv3": "DreamerV3 twin",
    "r2d2_lstm": "R2D2, LSTM",
    "r2d2_s5": "R2D2, S5",
}
_TWINS = {"r2i": "R2I", "dreamerv3": "DreamerV3 twin"}

STUDIES = {
    study.name: study
    for study in (
        Study(
            "memory_length",
            {
                "bsuite:memory_len/9": "10",
                "bsuite:memory_len/15": "30",
                "bsuite:memory_len/18": "60",
            },
            AGENTS,
            parameter="memory length",
            # Read off a figure of the paper, arXiv 2403.04253; approximate. Chance is 0 there, too.
            published={
                "R2I (paper)": {31: 0.98, 41: 0.95, 51: 0.93, 61: 0.85, 81: 0.78, 91: 0.75},
                "DreamerV3 (paper)": {18: 0.98, 21: 0.0, 61: 0.0},
            },
        ),
        Study(
            "discounting_chain",
            {f"bsuite:discounting_chain/{i}": str(d) for i, d in {0: 1, 3: 30}.items()},
            {name: text for name, text in AGENTS.items() if name != "hybrid"},
            # Four of the delays pay 1, the fifth pays 1.1.
            scale=(-10.0, 10.0),
            score="share of the larger reward",
            parameter="delay",
            published={
                "R2I (paper)": {1: 0.99, 3: 0.99, 10: 0.98, 30: 0.66, 100: 0.0},
                "DreamerV3 (paper)": {1: 0.99, 3: 0.99, 10: 0.99, 30: 0.0, 100: 0.0},
            },
        ),
        Study(
            "popgym_easy",
            {
                "popgym:RepeatPreviousEasy": "RepeatPreviousEasy",
                "popgym:RepeatFirstEasy": "RepeatFirstEasy",
                "popgym:ConcentrationEasy": "ConcentrationEasy",
                "popgym:AutoencodeEasy": "AutoencodeEasy",
            },
            {name: AGENTS[name] for name in ("r2i_s5", "hybrid", "dreamerv3", "r2d2_lstm")},
        ),
        Study(
            "popgym_medium",
            {"popgym:RepeatPreviousMedium": "RepeatPreviousMedium"},
            {name: AGENTS[name] for name in ("r2i_s5", "dreamerv3")},
            reached=0.7,
        ),
        Study(
            "memory",
            {
                "popgym:RepeatPreviousEasy": "RepeatPreviousEasy",
                "popgym:RepeatPreviousMedium": "RepeatPreviousMedium",
                "popgym:RepeatPreviousHard": "RepeatPreviousHard",
                "popgym:RepeatFirstEasy": "RepeatFirstEasy",
                "bsuite:memory_len/9": "memory_len, length 10",
                "bsuite:memory_len/15": "memory_len, length 30",
                "bsuite:memory_len/18": "memory_len, length 60",
                "bsuite:memory_len/22": "memory_len, length 100",
            },
            {"memory": "R2I, preset memory"},
        ),
        Study(
            "control_vectors",
            {
                "bsuite:catch/0": "catch",
                "bsuite:cartpole/0": "cartpole (bsuite)",
                "dmc:cartpole_swingup": "cartpole swing-up",
                "dmc:reacher_easy": "reacher, easy",
            },
            _TWINS,
            episodes=10,  # runs have few, because each takes 1000 frames
            reached=None,
        ),
        Study("control_catch", {"bsuite_vision:catch/0": "catch, 16 x 16"}, _TWINS),
        Study(
            "control_images",
            {
                "dmc_vision:cartpole_balance": "cartpole balance",
                "atari:breakout": "Breakout",
                "atari:ms_pacman": "Ms. Pac-Man",
            },
            _TWINS,
            episodes=10,
            reached=None,
        ),
        Study(
            "ablations",
            {"popgym:RepeatPreviousEasy": "RepeatPreviousEasy"},
            {
                "r2i": "R2I: S5, non-recurrent, policy sees x",
                "recurrent": "recurrent representation",
                "output_state": "policy sees z, h",
                "full_state": "policy sees z, h, x",
                "s4d": "S4D (SISO)",
                "s4": "S4 (SISO, DPLR)",
                "gru": "GRU in its place",
            },
        ),
        Study(
            "head_inputs",
            {
                "popgym:RepeatFirstEasy": "RepeatFirstEasy",
                "popgym:RepeatPreviousMedium": "RepeatPreviousMedium",
                "bsuite:memory_len/18": "memory_len, length 60",
            },
            {
                "memory": "heads see z, h, x; balanced",
                "fixed": "heads see z, h, x; fixed weight",
                "output_state": "heads see z, h; balanced",
                "output_state_fixed": "heads see z, h; fixed weight",
            },
        ),
        Study(
            "plateau",
            {"popgym:RepeatPreviousEasy": "RepeatPreviousEasy"},
            {
                "cpu": "preset cpu",
                "paper_steps": "the paper's steps and input scaling",
                "paper_latent": "the paper's z",
                "paper_weights": "the paper's loss weights",
                "paper": "all three of the paper's",
            },
        ),
        Study(
            "sequence_length",
            {"bsuite:memory_len/15": "memory length 30"},
            {f"rows_{rows}": f"{rows} rows" for rows in (64, 256, 1024, 2048, 4096, 8192)},
            shows_memory=True,
        ),
    )
}
