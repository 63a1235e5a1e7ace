"""Networks in JAX and Haiku, usable outside of this project."""
