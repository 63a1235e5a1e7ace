"""Many runs: sweep files, and the runner that keeps so many of them going."""
