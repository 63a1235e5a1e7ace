"""Replay: rows, the adder that writes them, and two backends, native and Reverb."""
