"""Replay: rows, the adder that writes them, and the table and its server on Reverb."""
