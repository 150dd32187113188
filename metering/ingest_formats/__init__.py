"""What usage that was counted elsewhere looks like on the wire: one file a format, all giving `ReportedUsage`. Pure."""
