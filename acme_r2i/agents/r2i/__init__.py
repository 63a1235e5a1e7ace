"""Recall to Imagine. The pure half is jax and haiku only; import Acme's half by its module names."""
