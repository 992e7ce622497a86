"""Linescribe: calls, their transcripts, delivery, and the operator's surface."""

__version__ = "0.1.0"
