"""What models of providers cost: a dated table, made from a public source, and how it is read.

table.json is made by make_table.py, and its licence stands beside it.
"""
