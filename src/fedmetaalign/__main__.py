"""`python -m fedmetaalign` is the command line."""

from fedmetaalign.cli import main

main()
