"""The demonstration: calls made of shipped prompts, and how what was heard is held against what was said."""
