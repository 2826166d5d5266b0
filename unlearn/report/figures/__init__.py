"""The figures of a report: each module makes one from plain values; matplotlib is imported when a figure is drawn."""
