"""The workers that make what is due happen."""
