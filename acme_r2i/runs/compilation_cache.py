"""What JAX has compiled, kept on the disk: a run that is started again compiles nothing.

It lies beside the runs, where those with the same settings share it.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform

CACHE = ".jax_cache"


def use_compilation_cache(workdir: pathlib.Path) -> pathlib.Path | None:
    """Has JAX read and write its cache in the parent of a run's folder.

    Must be called before anything is compiled. JAX's own variables win: with
    ``JAX_COMPILATION_CACHE_DIR`` it is elsewhere, with ``JAX_ENABLE_COMPILATION_CACHE=false`` there
    is none. A folder that cannot be written makes JAX warn, and compile.

    Returns:
      Its folder; None where a variable of JAX's decides.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = workdir.absolute().parent / CACHE / _processor()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Everything: starting is a few large programs and some hundred that take little each.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _processor() -> str:
    """A name for what machine code was compiled for: it must not run on a lesser processor."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    described = "\n".join([platform.machine(), *sorted(set(features))])
    return f"{platform.machine()}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
