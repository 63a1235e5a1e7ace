"""Settings that agents share: networks, sequence cores, replay; and reading settings again."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from acme_r2i.agents.common.checks import (
    Kind,
    kind_field,
    require,
    require_choice,
    require_non_negative,
    require_positive,
)


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """A multilayer perceptron: hidden layers and their width."""

    layers: int = 2
    units: int = 512

    def __post_init__(self):
        require_non_negative(self, "layers")
        require_positive(self, "units")


@dataclasses.dataclass(frozen=True)
class CNNConfig:
    """Convolutions of images, down to 4 x 4 and back up: kernel 4, stride 2.

    Attributes:
      depth: channels of the stage at the highest resolution; each stage further down has twice as
        many.
    """

    depth: int = 32

    def __post_init__(self):
        require_positive(self, "depth")


@dataclasses.dataclass(frozen=True)
class CoreConfig(Kind):
    """The sequence core, of one of these kinds: s5, s4d, s4, gru, lstm, hybrid."""

    dropout = 0.0  # of cores without any; those with it have a field


@dataclasses.dataclass(frozen=True)
class SSMConfig(CoreConfig):
    """Options of all state-space cores: a stack of residual blocks (``networks.ssm.SSMStack``).

    Attributes:
      layers: number of blocks.
      width: features H between blocks.
      state_size: size of the real system that a block starts from: one in all for s5 (MIMO), one
        for each of the H features for s4d and s4 (SISO).
      dt_min: smallest initial step, in units of one environment step of the agent.
      dt_max: largest initial step.
      clip_eigs: keep Re(Lambda) <= -1e-4.
      initial_state: "learned" or "zeros".
      norm: "post" or "pre".
      glu: gate each SSM's output.
      dropout: rate in the unrolled form during training.
      input_layer: "normed" (linear, norm, SiLU; the released one) or "linear".
      output_layer: "silu" (SiLU of a linear layer; the released one) or "linear", which imagination
        can do without where the policy does not see h.
      scan_form: form of the recurrence in training: "parallel", "sequential", "chunked" (not for
        s4), or "auto", the fastest of them on the device in use.
    """

    layers: int = 3
    width: int = 512
    state_size: int = 128
    dt_min: float = 0.001
    dt_max: float = 0.1
    clip_eigs: bool = False
    initial_state: str = "learned"
    norm: str = "post"
    glu: bool = True
    dropout: float = 0.0
    input_layer: str = "normed"
    output_layer: str = "silu"
    scan_form: str = "auto"

    _scan_forms = ("auto", "parallel", "sequential", "chunked")

    def options(self) -> dict[str, Any]:
        """Returns the arguments of ``networks.cores.make_core``."""
        options = super().options()
        return {"num_layers": options.pop("layers"), **options}

    def __post_init__(self):
        require_positive(self, "layers", "width", "state_size", "dt_min", "dt_max")
        require(
            self, "dt_max", f"it must be at least dt_min={self.dt_min}", self.dt_max >= self.dt_min
        )
        require_choice(self, "initial_state", "learned", "zeros")
        require_choice(self, "norm", "post", "pre")
        require_choice(self, "input_layer", "normed", "linear")
        require_choice(self, "output_layer", "silu", "linear")
        require_choice(self, "scan_form", *self._scan_forms)
        require(self, "dropout", "it must be in [0, 1)", 0 <= self.dropout < 1)


@dataclasses.dataclass(frozen=True)
class S5Config(SSMConfig):
    """S5: diagonal, all features in one state (``networks.ssm.S5``).

    Attributes:
      kind: "s5".
      n_blocks: equal HiPPO blocks at initialisation; divides ``state_size``.
      discretisation: "bilinear" or "zoh".
      conj_sym: keep one of each conjugate pair.
      B_init: "lecun_normal" (variance 1 / state_size; the released one) or "fan_in" (1 / width).
      C_init: "lecun_normal" (variance 2 / (state_size width); the released one), "fan_in"
        (1 / state_size) or "complex_normal" (1).
      input_scaling: "none" (S5's own) or "unit_variance" (sqrt(1 - |Lambda_bar|^2)).
    """

    kind: str = kind_field("s5")
    n_blocks: int = 8
    discretisation: str = "bilinear"
    conj_sym: bool = False
    B_init: str = "lecun_normal"
    C_init: str = "lecun_normal"
    input_scaling: str = "none"

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "n_blocks")
        parts = self.n_blocks * (2 if self.conj_sym else 1)
        require(
            self,
            "state_size",
            f"it must be a multiple of n_blocks={self.n_blocks}"
            + (" and its blocks of even size, with conj_sym" if self.conj_sym else ""),
            self.state_size % parts == 0,
        )
        require_choice(self, "discretisation", "bilinear", "zoh")
        require_choice(self, "B_init", "lecun_normal", "fan_in")
        require_choice(self, "C_init", "lecun_normal", "fan_in", "complex_normal")
        require_choice(self, "input_scaling", "none", "unit_variance")


@dataclasses.dataclass(frozen=True)
class S4DConfig(SSMConfig):
    """S4D: diagonal, a state for every feature (``networks.ssm.S4D``).

    Attributes:
      kind: "s4d".
      spectrum: "legs", "lin" or "inv" (arXiv 2206.11893).
      discretisation: "bilinear" or "zoh".
      conj_sym: keep one of each conjugate pair.
      input_scaling: "none" or "unit_variance" (sqrt(1 - |Lambda_bar|^2)).
    """

    kind: str = kind_field("s4d")
    spectrum: str = "legs"
    discretisation: str = "bilinear"
    conj_sym: bool = True
    input_scaling: str = "none"

    def __post_init__(self):
        super().__post_init__()
        require(
            self,
            "state_size",
            "it must be even, with conj_sym",
            not self.conj_sym or self.state_size % 2 == 0,
        )
        require_choice(self, "spectrum", "legs", "lin", "inv")
        require_choice(self, "discretisation", "bilinear", "zoh")
        require_choice(self, "input_scaling", "none", "unit_variance")


@dataclasses.dataclass(frozen=True)
class S4Config(SSMConfig):
    """S4: diagonal plus low rank, a state for every feature, bilinear (``networks.ssm.S4``).

    Attributes:
      kind: "s4".
    """

    kind: str = kind_field("s4")

    _scan_forms = ("auto", "parallel", "sequential")


@dataclasses.dataclass(frozen=True)
class GRUConfig(CoreConfig):
    """The layer-norm GRU of DreamerV3; its state, which is also h, has the size ``deter``.

    Attributes:
      kind: "gru".
      width: units of the layer before the GRU.
      initial_state: "learned" or "zeros".
    """

    kind: str = kind_field("gru")
    width: int = 512
    initial_state: str = "learned"

    def __post_init__(self):
        require_positive(self, "width")
        require_choice(self, "initial_state", "learned", "zeros")


@dataclasses.dataclass(frozen=True)
class LSTMConfig(CoreConfig):
    """The LSTM; its hidden state, which is also h, and its cell have the size ``deter`` each.

    Attributes:
      kind: "lstm".
      initial_state: "learned" or "zeros".
    """

    kind: str = kind_field("lstm")
    initial_state: str = "learned"

    def __post_init__(self):
        require_choice(self, "initial_state", "learned", "zeros")


@dataclasses.dataclass(frozen=True)
class HybridConfig(S5Config):
    """S5 blocks, and behind them one of windowed attention (``networks.hybrid.HybridStack``).

    Its state holds (window - 1) (2 head_size + 1) numbers beside those of S5. Policies on the
    hidden or the full state see them all, and imagination carries them.

    Attributes:
      kind: "hybrid".
      window: inputs that are attended to, the current one among them.
      heads: attention heads; they share keys and values.
      head_size: size of queries, keys and values.
    """

    kind: str = kind_field("hybrid")
    window: int = 32
    heads: int = 4
    head_size: int = 32

    def __post_init__(self):
        super().__post_init__()
        require(self, "window", "it must be at least 2", self.window >= 2)
        require_positive(self, "heads", "head_size")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer.

    Attributes:
      capacity_env_steps: environment steps kept.
      min_env_steps: environment steps inserted before the first update.
      stride: rows between the starts of two stored sequences of one stream; at most a sequence's
        length.
    """

    capacity_env_steps: int = 1_000_000
    min_env_steps: int = 1024
    stride: int = 16

    def __post_init__(self):
        require_positive(self, "capacity_env_steps", "min_env_steps", "stride")
        require(
            self,
            "min_env_steps",
            f"it must be at most capacity_env_steps={self.capacity_env_steps}",
            self.min_env_steps <= self.capacity_env_steps,
        )


def from_dict(data: dict[str, Any], cls: type) -> Any:
    """Settings from what ``dataclasses.asdict`` made of them, through JSON or not.

    Raises:
      ValueError: for a field that is missing or unknown, or a value that is not allowed.
    """
    if issubclass(cls, Kind):
        data = dict(data)
        kind = data.pop("kind", None)
        if kind not in cls.family:
            raise ValueError(f"{cls.__name__} has no kind {kind!r}: {', '.join(cls.family)}")
        cls = cls.family[kind]
    names = {field.name for field in dataclasses.fields(cls) if field.init}
    for name in sorted(set(data) - names):
        raise ValueError(f"{cls.__name__} has no field {name!r}")
    for name in sorted(names - set(data)):
        raise ValueError(f"{cls.__name__} lacks a value of its field {name!r}")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in data.items():
        if isinstance(value, dict):
            value = from_dict(value, hints[name])
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    return cls(**values)
