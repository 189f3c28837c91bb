"""What stage 2 needs: metrics, BSS Eval, and the table of scores.

Programs and local.reporting import from here. It imports local.model, local.corpus and local.base.
"""
