"""Face identification: networks, splits of people, and what is particular to them in training and scoring."""
