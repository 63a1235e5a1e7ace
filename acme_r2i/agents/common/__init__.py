"""What the agents share: settings, specs, observations, cores, batched acting."""
