"""Counts of one gateway process, and the page on which Prometheus reads them. Not loaded while metrics are off."""
