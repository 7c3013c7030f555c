"""Lets `python -m attento` stand for the `attento` command."""

from attento.cli.app import main

if __name__ == "__main__":
    main()
