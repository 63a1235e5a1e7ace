"""Reports: reads runs, and shows their scores in tables, figures and a page."""
