"""Marks of tests that need what a machine may not have."""

from __future__ import annotations

import pytest

from acme_r2i.environments import rendering

_PROBLEM = rendering.why_no_pixels()

needs_pixels = pytest.mark.skipif(_PROBLEM is not None, reason=f"no pixels: {_PROBLEM}")
