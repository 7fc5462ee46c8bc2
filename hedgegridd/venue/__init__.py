"""The venue: its port, NautilusTrader behind it, and the signed client for venue truth."""
