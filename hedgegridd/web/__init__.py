"""The web page's own files: one document, one style sheet and plain modules, served as they are by `control/page.py`."""
