"""The machine that runs us: clock, files, signals, terminal."""
