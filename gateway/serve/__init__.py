"""The daemon's HTTP side: one room per dialect. A dialect translates; it never decides."""
