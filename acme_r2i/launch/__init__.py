"""Running the agent: what stands behind the `r2i` command. Nothing is imported here."""
