"""Studies in docs/studies/: results of sweeps as CSV files, tables and figures."""
