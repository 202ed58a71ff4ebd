"""What commands are made of: each is a verb, takes values and returns values."""
