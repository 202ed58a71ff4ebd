"""What writes the generated pages: for the checkout, outside the wheel."""
