"""What stage 1 needs: mixtures made on the fly, losses, schedules, the training loop.

Programs import from here. It imports local.model, local.corpus and local.base.
"""
