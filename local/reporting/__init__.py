"""What stages 3 and 4 and the READMEs need: statistics, comparisons, tables, figures, pages.

Only programs import from here. It imports local.scoring and the rooms below it.
"""
