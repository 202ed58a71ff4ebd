"""A retrieval-augmented question answering service for one GPU, and the batch job that feeds it."""

__version__ = "0.1.0"
