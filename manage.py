#!/usr/bin/env python3
"""Django's command line; `tokenworks` is the same with our own commands in front."""

from config.cli import main

if __name__ == "__main__":
    main()
