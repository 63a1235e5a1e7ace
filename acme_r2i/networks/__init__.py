"""Networks in JAX and Haiku, usable outside of this project.

``cores`` has the interface of all sequence cores, and ``make_core``, which makes one by name:
stacks of state-space layers (``ssm``), GRU and LSTM (``recurrent``), state-space layers with
windowed ``attention`` behind them (``hybrid``). ``encoders``, ``decoders``, ``heads`` and ``mlp``
are the layers around a core; ``distributions`` and ``latents`` interpret their outputs. ``fast``
holds faster forms of a few operations, beside the plain forms that tests compare them with.
"""
