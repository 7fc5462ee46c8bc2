"""The risk machine: runs the guards on what moves them, and turns their verdicts into holds and trips."""
