"""Actions drawn uniformly: what benchmarks have beside every agent."""
