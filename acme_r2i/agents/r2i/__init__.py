"""Recall to Imagine. The pure half needs no Acme; import Acme's half by its module names."""
