"""A hybrid of state-space and attention layers as a sequence core."""

from __future__ import annotations

from typing import Any

from acme_r2i.networks.attention import WindowedAttention
from acme_r2i.networks.cores import check_options
from acme_r2i.networks.ssm import S5, SSMBlock, SSMStack
from acme_r2i.networks.ssm.stack import InputLayer, Norm, OutputLayer


class HybridStack(SSMStack):
    """A stack of S5 blocks with one block of windowed attention behind the last of them.

    S5 compresses the distant past into a state of fixed size; attention holds the recent outputs of
    the S5 blocks one by one.

    Its state is that of the S5 stack, one complex64 [B, P] a block, and at its end the
    :class:`WindowedAttention`'s tuple of three float32 arrays.
    """

    def __init__(
        self,
        output_size: int,
        width: int,
        num_layers: int,
        window: int = 32,
        heads: int = 4,
        head_size: int = 32,
        norm: Norm = "post",
        glu: bool = True,
        dropout: float = 0.0,
        input_layer: InputLayer = "linear",
        output_layer: OutputLayer = "linear",
        read_out: bool = True,
        name: str | None = None,
        **s5_options: Any,
    ):
        """Initialises the stack.

        Args:
          output_size: features out.
          width: features H between the blocks.
          num_layers: number of S5 blocks.
          window: inputs that are attended to, the current one among them.
          heads: attention heads.
          head_size: size of queries, keys and values.
          norm: as of :class:`SSMStack`, for blocks of both kinds, as the next three are.
          glu: gate the output of each layer.
          dropout: rate in [0, 1), in ``unroll`` with a key only.
          input_layer: as of :class:`SSMStack`, as the next is.
          output_layer: "silu" or "linear".
          read_out: have the output layer.
          name: module name.
          **s5_options: the other arguments of ``S5``, ``state_size`` among them.

        Raises:
          ValueError: for an option that does not exist, or is not allowed.
        """
        check_options("core='hybrid'", S5.option_names(), s5_options)
        super().__init__(
            output_size,
            width,
            num_layers,
            norm=norm,
            glu=glu,
            dropout=dropout,
            input_layer=input_layer,
            output_layer=output_layer,
            read_out=read_out,
            name=name,
            **s5_options,
        )
        attention = WindowedAttention(width, window, heads, head_size, name="attention")
        self._blocks.append(SSMBlock(attention, width, norm, glu, dropout, name="attention_block"))
