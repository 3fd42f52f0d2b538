"""All experiments beside each other: what differs in their settings, what they cost, how good they are.

`gathering` (what trainings and evaluations have written, by experiment), `tables` (as CSV and as text), `plot` (as
curves and points), `page` (all of it as HTML).
"""
