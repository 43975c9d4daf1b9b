"""The forms of tokens, the keys that sign them, and whose a presented one is."""
