"""What the local AWS holds at its start, and its clock."""
