"""Settings every test runs under, made before anything imports JAX."""

import os

# The same numbers on every machine: tests which need an accelerator ask for it themselves.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
