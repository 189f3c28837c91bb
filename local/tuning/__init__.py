"""The search for settings: what is varied, Optuna's study of it, one trial, what comes out.

Validation decides; the test split is never read here.
"""
