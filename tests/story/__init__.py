"""`make e2e`: the whole story with real parts, told by one program in acts, each of which may fail."""
