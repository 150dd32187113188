"""OpenTelemetry's spans of one gateway process. Not loaded while they are off, and neither is its SDK."""
