"""hedgegridd: a daemon that trades a hedge-mode grid and can be trusted with real money."""

__version__ = "0.1.0"
