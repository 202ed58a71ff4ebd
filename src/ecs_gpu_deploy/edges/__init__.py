"""Everything that touches the outside: AWS, GitHub, the terminal, the clock."""
