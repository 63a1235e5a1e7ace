"""The commands of `r2i`, a module each: what it takes, and what it calls.

Importing them imports no JAX and no simulator; a command imports what it needs when it runs.
"""
