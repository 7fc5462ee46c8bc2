"""One operation per file: fields, role, help and what it does."""
