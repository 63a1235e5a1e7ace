"""Acme's R2D2 with this project's sequence cores. Import Acme's half by its module names."""
