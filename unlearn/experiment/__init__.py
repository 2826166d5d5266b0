"""Experiments: the plan of stages of a file of config/experiment, and what runs one stage."""
