"""Inputs: one table of options, how each is read, what a command is asked to do."""
