"""The report of an experiment: tables, figures and one page, from evaluation logs and the folders of runs; no torch."""
