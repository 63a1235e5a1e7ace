"""Makes dm-acme 0.4.0 importable beside JAX 0.6 and Reverb 0.14. Import this before acme or reverb.

dm-acme 0.4.0 is the newest release, and three things it was written against have gone since:

1. names in `jax` that moved to `jax.tree_util` or became `jax.Array`;
2. dm-launchpad, which Acme imports for its stop handlers even when nothing is distributed, and
   which has no build for Python 3.11: `acme_r2i.launchpad_ray` takes its place;
3. the `get_signature_timeout_ms` argument of `reverb.Client.trajectory_writer`, which Acme's
   adders pass.

Importing this module puts back what is missing and touches nothing that is there: under an older
JAX, a real Launchpad or an older Reverb the matching part does nothing. Importing it twice changes
nothing more. No other module of this package adapts a dependency.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import operator
import os
import sys
import types
import warnings
from typing import Any

import jax
import jax.numpy

# Hides TensorFlow's start-up complaints (no CUDA in this build, and the like) unless the user has
# asked for some level. TensorFlow reads it when it is loaded, which importing reverb or
# acme.jax.networks does. JAX sets it to "1" when imported, so that value is nobody's wish.
if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# What Acme looks up in `jax` -> what it is called now.
_JAX_NAMES = {
    "tree_flatten": "tree_util.tree_flatten",
    "tree_leaves": "tree_util.tree_leaves",
    "tree_map": "tree_util.tree_map",
    "tree_multimap": "tree_util.tree_map",
    "xla.Device": "Device",
    "xla.DeviceArray": "Array",
    "pxla.ShardedDeviceArray": "Array",
    "numpy.DeviceArray": "Array",
    "random.KeyArray": "Array",
}


def restore_jax_names() -> None:
    """Puts back the names Acme uses that newer JAX no longer has."""
    with warnings.catch_warnings():  # looking up a deprecated name warns, even through hasattr
        warnings.simplefilter("ignore", DeprecationWarning)
        for former, present in _JAX_NAMES.items():
            module = jax
            *parents, name = former.split(".")
            for parent in parents:
                if not hasattr(module, parent):
                    setattr(module, parent, types.ModuleType(f"{module.__name__}.{parent}"))
                module = getattr(module, parent)
            if not hasattr(module, name):
                setattr(module, name, operator.attrgetter(present)(jax))


def provide_launchpad() -> None:
    """Makes `import launchpad` work: the real one where there is one, else the one on Ray."""
    if "launchpad" in sys.modules:
        return
    spec = importlib.util.find_spec("launchpad")
    if spec is None or spec.origin is None:  # no origin: just some folder of that name
        from acme_r2i import launchpad_ray

        sys.modules["launchpad"] = launchpad_ray


def accept_signature_timeout() -> None:
    """Lets `reverb.Client.trajectory_writer` take `get_signature_timeout_ms` again.

    The argument means what it did: a server that does not answer within that time (rounded up to
    whole seconds) is a `reverb.errors.DeadlineExceededError`. Without it Reverb waits without end.
    """
    if importlib.util.find_spec("reverb") is None:
        return  # Acme's half needs Reverb and will say so itself.
    import reverb

    original = reverb.Client.trajectory_writer
    parameters = inspect.signature(original).parameters.values()
    if any(p.name == "get_signature_timeout_ms" or p.kind is p.VAR_KEYWORD for p in parameters):
        return

    def trajectory_writer(
        self: reverb.Client,
        num_keep_alive_refs: int,
        *,
        get_signature_timeout_ms: int | None = None,
        **kwargs: Any,
    ) -> reverb.TrajectoryWriter:
        if get_signature_timeout_ms is not None:
            self.server_info(timeout=max(1, math.ceil(get_signature_timeout_ms / 1000)))
        return original(self, num_keep_alive_refs, **kwargs)

    trajectory_writer.__doc__ = original.__doc__
    reverb.Client.trajectory_writer = trajectory_writer


restore_jax_names()
provide_launchpad()
accept_signature_timeout()
