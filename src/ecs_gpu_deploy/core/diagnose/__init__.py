"""From what AWS and containers print to a cause, and from causes to an explanation."""
