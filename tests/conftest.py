"""Fixtures for every folder of tests; with this file, modules beside it can be imported from all of them."""
