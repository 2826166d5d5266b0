"""A benchmark of real texts for two CPU cores: some of TOFU's authors, and a small language model of their own."""
