"""Networks in JAX and Haiku, usable outside of this project.

``sequence_core`` is the interface of all sequence cores, and ``cores.make_core`` makes one by name:
stacks of state-space layers (``ssm``), GRU and LSTM (``recurrent``), state-space layers with
windowed ``attention`` behind them (``hybrid``). ``encoders``, ``decoders``, ``heads`` and ``mlp``
are the layers around a core, ``distributions`` and ``two_hot`` what their outputs mean.
"""
