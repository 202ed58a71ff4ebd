"""AWS's wire protocols: requests, shapes, errors, faults."""
