"""The studies of docs/studies/: what was run, the results as CSV files, tables and figures."""
