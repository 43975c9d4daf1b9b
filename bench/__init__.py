"""Benchmarks: each module measures something of ours and a baseline in the same run, and prints their ratio.

``make bench`` runs all, ``python -m bench ldap_login`` one. Absolute figures say something about the machine; ratios
about the code.
"""
