"""Checks of bindscan against independent programs, and comparisons with them."""
