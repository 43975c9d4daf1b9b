"""Vault policies: their documents, what each rule gives, and the access list that several of them make (vault.md 9.1).

``document`` reads HCL 1 and JSON, ``policy`` gives the words their meaning, ``acl`` joins policies and decides, and
``book`` keeps all policies of one configuration with the access lists made of them.
"""
